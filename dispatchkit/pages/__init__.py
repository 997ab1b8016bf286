"""ReportResult as people read them: Markdown, one self-contained HTML file, charts. Nothing here measures anything."""

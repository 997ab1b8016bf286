"""A report as Markdown: each metric on one line with its counts, each table in full."""

from __future__ import annotations

from dispatchkit.kernel.metrics import ReportResult, Section, Table
from dispatchkit.pages import words

MAX_ROWS = 200  # of a table; the rest is in the CSV and Parquet files


def markdown(result: ReportResult) -> str:
    """Return the result as one Markdown document, the same bytes for the same result."""
    parts = [
        f"# {result.title}, {result.day}",
        f"Window {words.span(result)}, as of {words.instant(result.as_of, result.tz)}.",
    ]
    if result.faults:
        parts.append("**Do not trust this report:** " + "; ".join(result.faults) + ".")
    for section in result.sections:
        parts += _section(section, result.tz)
    if result.source:
        parts.append(
            "Source: " + ", ".join(f"{k} {v}" for k, v in sorted(result.source.items())) + "."
        )
    return "\n\n".join(parts) + "\n"


def _section(section: Section, tz: str) -> list[str]:
    lines = []
    for metric in section.metrics:
        target = f"; target {metric.target.text}" if metric.target else ""
        title = words.title(metric.name)
        lines.append(f"- {title} (`{metric.name}`): {metric.summary()}{target}")
    parts = [f"## {section.title}", "\n".join(lines)]
    checks = [
        f"- {'holds' if c.holds else '**fails**'}: {c.name} ({c.detail})" for c in section.checks
    ]
    if checks:
        parts.append("\n".join(checks))
    for table in section.tables:
        parts += _table(table, tz)
    return parts + [f"{note}" for note in section.notes]


def _table(table: Table, tz: str) -> list[str]:
    if table.frame.is_empty():
        return [f"### {table.title}", "No rows."]
    head = "| " + " | ".join(words.heading(c) for c in table.frame.columns) + " |"
    rule = "|" + "|".join("--:" if c in table.units else "---" for c in table.frame.columns) + "|"
    body = [
        "| " + " | ".join(c.replace("|", "\\|") for c in row) + " |"
        for row in words.rows(table, tz)
    ]
    more = [f"... and {len(body) - MAX_ROWS:,} more"] if len(body) > MAX_ROWS else []
    note = [table.note] if table.note else []
    return [f"### {table.title}", "\n".join([head, rule, *body[:MAX_ROWS]]), *more, *note]

"""ReportResult as Markdown: every figure on one line with all it was made from, every table in full."""

from __future__ import annotations

from dispatchkit.kernel.metrics import ReportResult, Section, Table
from dispatchkit.pages import words

LONGEST = 200  # rows of a table; the rest is in the CSV and Parquet files


def markdown(findings: ReportResult) -> str:
    """Return the findings as one Markdown document, the same bytes for the same findings."""
    parts = [
        f"# {findings.title}, {findings.day}",
        f"Window {words.span(findings)}, as of {words.instant(findings.as_of, findings.tz)}.",
    ]
    if findings.faults:
        parts.append("**Not to be trusted as it stands:** " + "; ".join(findings.faults) + ".")
    for section in findings.sections:
        parts += _section(section, findings.tz)
    if findings.source:
        parts.append(
            "Source: " + ", ".join(f"{k} {v}" for k, v in sorted(findings.source.items())) + "."
        )
    return "\n\n".join(parts) + "\n"


def _section(section: Section, tz: str) -> list[str]:
    lines = []
    for metric in section.metrics:
        target = f"; target {metric.target.text}" if metric.target else ""
        lines.append(f"- `{metric.name}` {metric.line()}{target}")
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
    more = [f"... and {len(body) - LONGEST:,} more"] if len(body) > LONGEST else []
    note = [table.note] if table.note else []
    return [f"### {table.title}", "\n".join([head, rule, *body[:LONGEST]]), *more, *note]

"""`report`: what happened on a day, on the terminal or as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dispatchkit.cli import output

if TYPE_CHECKING:
    from dispatchkit.kernel.metrics import ReportResult, Section

COMMANDS = {
    "nightly": """The whole report of a day: every section, with the planned targets.

    Exit 3 when a metric had to exclude more than a tenth of its rows, or the ledger does not
    add up.""",
    "funnel": "Orders from creation to the door, on time and how fast, offers and reassignment.",
    "economics": "Revenue, cost and contribution to the cent, and whether the ledger adds up.",
    "drivers": "Scores with their evidence, hours, earnings, and how evenly offers were spread.",
    "zones": "Health of every zone over the day and by hour, with its band and evidence.",
    "etas": "How accurate the predicted delivery times were, by quote event.",
}

app = typer.Typer(
    help="What happened: funnel, money, zones, drivers, predicted times; each metric with its "
    "evidence."
)

Day = Annotated[str, typer.Option("--day", help="Service day, YYYY-MM-DD.")]
Days = Annotated[
    int, typer.Option("--days", min=1, max=366, help="Number of days, the last of them --day.")
]
To = Annotated[
    Path | None,
    typer.Option("--to", help="Folder for HTML, Markdown, JSON, CSV and Parquet files."),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        max=output.MAX_SEED,
        help="Seed of the bootstrap over days (five and more).",
    ),
]


def register(app_: typer.Typer) -> None:
    """Add this group's commands."""
    app_.add_typer(app, name="report")


def _add_command(name: str, text: str) -> None:
    """Add the command that prints or writes the report of this name."""

    @app.command(
        name, help=f"{text}\n\nExample: dispatchkit report {name} --day 2026-03-06 --to out"
    )
    def command(
        ctx: typer.Context, day: Day, days: Days = 1, to: To = None, seed: Seed = 0
    ) -> None:
        _run(ctx, name, day, days, to, seed)


for _name, _text in COMMANDS.items():
    _add_command(_name, _text)


def _run(ctx: typer.Context, name: str, day: str, days: int, to: Path | None, seed: int) -> None:
    from dispatchkit.flows.data import data_io, report
    from dispatchkit.kernel.clock import parse_day
    from dispatchkit.warehouse import WAREHOUSE_FILE

    call = output.call(ctx)
    if to:
        data_io.inside(to)
    with output.working(ctx, "measuring"):
        result = report.report(
            name, parse_day(day), call.data / WAREHOUSE_FILE, call.settings(), days=days, seed=seed
        )
        files = report.write(result, to) if to else []

    if call.json:
        output.line(report.as_json(result).rstrip())
    elif to:
        output.note(ctx, f"{len(files)} files in {to}")
        for path in files[:3]:
            output.line(str(path))
    else:
        _print(result, tables=name != "nightly")
    for fault in result.faults:
        output.refuse(ctx, fault)


def _print(result: ReportResult, *, tables: bool) -> None:
    from dispatchkit.kernel.clock import rfc3339

    output.line(f"{result.title} {result.day}, as of {rfc3339(result.as_of)}")
    for section in result.sections:
        _print_section(section, result.tz, tables=tables)


def _print_section(section: Section, tz: str, *, tables: bool) -> None:
    from dispatchkit.pages import words

    columns = ("metric", "value", "95 % interval", "calculated from", "excluded, open", "target")
    rows = [
        (
            words.title(m.name),
            words.value(m.value, m.unit),
            words.interval(m),
            m.fraction,
            words.remarks(m),
            m.target.text if m.target else "",
        )
        for m in section.metrics
    ]
    output.line("")
    output.table(columns, rows, title=section.title)

    for table in section.tables if tables else ():
        output.line("")
        output.table(
            [words.heading(c) for c in table.frame.columns],
            words.rows(table, tz),
            title=table.title,
        )
        if table.note:
            output.line(table.note)
    for note in section.notes if tables else ():
        output.line(note)

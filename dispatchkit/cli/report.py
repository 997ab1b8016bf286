"""`report`: what happened on a day, on the terminal or as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dispatchkit.cli import output

if TYPE_CHECKING:
    from dispatchkit.kernel.metrics import ReportResult, Section

app = typer.Typer(
    help="What happened: funnel, money, zones, drivers, predicted times; every figure with its evidence."
)

Day = Annotated[str, typer.Option("--day", help="Service day, YYYY-MM-DD.")]
Days = Annotated[
    int, typer.Option("--days", min=1, max=366, help="So many days, ending with --day.")
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


@app.command()
def nightly(ctx: typer.Context, day: Day, days: Days = 1, to: To = None, seed: Seed = 0) -> None:
    """The whole report of a day: every section, with the plan's targets.

    Exit 3 when a figure had to leave out more than a tenth of its rows, or the ledger does not add up.

    Example: dispatchkit report nightly --day 2026-03-06 --to out
    """
    _run(ctx, "nightly", day, days, to, seed)


@app.command()
def funnel(ctx: typer.Context, day: Day, days: Days = 1, to: To = None, seed: Seed = 0) -> None:
    """Orders from creation to the door, on time and how fast, offers and reassignment.

    Example: dispatchkit report funnel --day 2026-03-06
    """
    _run(ctx, "funnel", day, days, to, seed)


@app.command()
def economics(ctx: typer.Context, day: Day, days: Days = 1, to: To = None, seed: Seed = 0) -> None:
    """Revenue, cost and contribution to the cent, and whether the ledger adds up.

    Example: dispatchkit report economics --day 2026-03-06
    """
    _run(ctx, "economics", day, days, to, seed)


@app.command()
def drivers(ctx: typer.Context, day: Day, days: Days = 1, to: To = None, seed: Seed = 0) -> None:
    """Scores with their evidence, hours, earnings, and how evenly offers fell.

    Example: dispatchkit report drivers --day 2026-03-06
    """
    _run(ctx, "drivers", day, days, to, seed)


@app.command()
def zones(ctx: typer.Context, day: Day, days: Days = 1, to: To = None, seed: Seed = 0) -> None:
    """Health of every zone over the day and by hour, with its band and evidence.

    Example: dispatchkit report zones --day 2026-03-06
    """
    _run(ctx, "zones", day, days, to, seed)


@app.command()
def etas(ctx: typer.Context, day: Day, days: Days = 1, to: To = None, seed: Seed = 0) -> None:
    """How true predicted delivery times were, by quote event.

    Example: dispatchkit report etas --day 2026-03-06
    """
    _run(ctx, "etas", day, days, to, seed)


def _run(ctx: typer.Context, name: str, day: str, days: int, to: Path | None, seed: int) -> None:
    from dispatchkit.flows.data import data_io as upkeep
    from dispatchkit.flows.data import report
    from dispatchkit.kernel.clock import parse_day
    from dispatchkit.warehouse import WAREHOUSE_FILE

    call = output.call(ctx)
    if to:
        upkeep.inside(to)
    with output.working(ctx, "measuring"):
        found = report.report(
            name, parse_day(day), call.data / WAREHOUSE_FILE, call.settings(), days=days, seed=seed
        )
        files = report.write(found, to) if to else []
    if call.json:
        output.line(report.as_json(found).rstrip())
    elif to:
        output.note(ctx, f"{len(files)} files in {to}")
        for path in files[:3]:
            output.line(str(path))
    else:
        _print(found, tables=name != "nightly")
    for fault in found.faults:
        output.refuse(ctx, fault)


def _print(found: ReportResult, *, tables: bool) -> None:
    from dispatchkit.kernel.clock import rfc3339

    output.line(f"{found.title} {found.day}, as of {rfc3339(found.as_of)}")
    for section in found.sections:
        _section(section, found.tz, tables=tables)


def _section(section: Section, tz: str, *, tables: bool) -> None:
    from dispatchkit.pages import words

    columns = ("figure", "value", "95 % interval", "made of", "left out, open", "target")
    rows = [
        (
            m.name,
            words.value(m.value, m.unit),
            words.interval(m),
            m.made_of,
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

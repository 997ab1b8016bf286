"""`demo`: the whole program on a made-up city, with one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.output import call
from dispatchkit.kernel.errors import Usage


def register(app: typer.Typer) -> None:
    """Add `demo`."""
    app.command()(demo)


def demo(
    ctx: typer.Context,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the city, its database and the report; DATA/demo if not given."
        ),
    ] = None,
) -> None:
    """Make a city, run all sweeps and write a report: migrate, fill, sweep, extract, load, report.

    It starts its own Postgres under the folder; a second run replaces everything there.

    Example: dispatchkit demo
    """
    from dispatchkit.flows.data.demo import demo as run

    if call(ctx).db != "embedded":
        raise Usage("demo fills a database of its own; leave --db and DISPATCHKIT_DATABASE_URL out")
    to = to or call(ctx).data / "demo"
    result = run(to, call(ctx).settings(), lambda text: output.note(ctx, text))
    if call(ctx).json:
        output.document(
            {"report": str(result.report), "now": result.as_of, "steps": list(result.steps)}
        )
        return
    program = f"{_program()} --data {to}"
    now, later = result.as_of, _one_minute_after(result.as_of)
    delivery = result.unassigned_delivery or 1
    output.line(f"""
Open {result.report} in a browser. Then try, on the same evening:

  {program} show unassigned --now {now}
  {program} why {delivery} --now {now}
  {program} audit show {delivery}
  {program} sweep offers --now {later} --dry-run --explain
  {program} sweep all --now {later}
  {program} show runs
  {program} db check --now {later}
  {program} report drivers --day {result.day}""")


def _program() -> str:
    """Return the command that runs this program from the working directory."""
    import os
    import shutil
    import sys

    beside = Path(sys.executable).parent / "dispatchkit"
    return (
        "dispatchkit"
        if shutil.which("dispatchkit") or not beside.exists()
        else os.path.relpath(beside)
    )


def _one_minute_after(instant: str) -> str:
    """Return the instant a minute later, when the pending offers have expired."""
    from datetime import timedelta

    from dispatchkit.kernel.clock import parse_instant

    return f"{parse_instant(instant) + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"

"""`demo`: the main job, on a made-up city, with one command."""

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
    """Make a city, run a night on it and leave a report: migrate, fill, sweep, extract, load, report.

    It starts a Postgres of its own under the folder; a second run begins anew.

    Example: dispatchkit demo
    """
    from dispatchkit.flows.data.demo import demo as run

    if call(ctx).db != "embedded":
        raise Usage("demo fills a database of its own; leave --db and DISPATCHKIT_DATABASE_URL out")
    to = to or call(ctx).data / "demo"
    done = run(to, call(ctx).settings(), lambda text: output.note(ctx, text))
    if call(ctx).json:
        output.document(
            {"report": str(done.report), "now": done.evening, "steps": list(done.steps)}
        )
        return
    there = f"{_program()} --data {to}"
    output.line(f"""
Open {done.report} in a browser. Then try, on the same evening:

  {there} show unassigned --now {done.evening}
  {there} why {done.seeking or 1} --now {done.evening}
  {there} audit show {done.seeking or 1}
  {there} sweep offers --now {_later(done.evening)} --dry-run --explain
  {there} sweep all --now {_later(done.evening)}
  {there} show runs
  {there} db check --now {_later(done.evening)}
  {there} report drivers --day {done.day}""")


def _program() -> str:
    """Return what to type to run this program from here."""
    import os
    import shutil
    import sys

    beside = Path(sys.executable).parent / "dispatchkit"
    return (
        "dispatchkit"
        if shutil.which("dispatchkit") or not beside.exists()
        else os.path.relpath(beside)
    )


def _later(evening: str) -> str:
    """One minute on: the offers that were pending have run out by then."""
    from datetime import timedelta

    from dispatchkit.kernel.clock import parse_instant

    return f"{parse_instant(evening) + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"

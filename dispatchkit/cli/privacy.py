"""`data erase` and `data purge`: personal data, gone on request or when its time is over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.output import call
from dispatchkit.kernel.clock import parse_instant
from dispatchkit.kernel.errors import Usage

DryRun = Annotated[bool, typer.Option("--dry-run", help="Count what would go; remove nothing.")]
Limit = Annotated[int | None, typer.Option(min=0, help="Refuse to remove more than this.")]


def register(group: typer.Typer) -> None:
    """Add `data erase` and `data purge` to the commands of `data`."""
    group.command()(erase)
    group.command()(purge)


def erase(
    ctx: typer.Context,
    people: Annotated[
        list[str] | None, typer.Argument(metavar="PERSON", help="customer:ID or driver:ID.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Everybody who was erased once more, after a restore.")
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Outside file of who was erased: added to, and read by --again."
        ),
    ] = None,
    dry_run: DryRun = False,
    max_changes: Limit = None,
) -> None:
    """Remove what names or places a person, on record by id only; every audit chain still verifies.

    A driver on duty and a customer whose delivery is under way are refused, and nobody else of that call goes: exit 3.
    Exports made before keep what they held until `data purge` removes them.

    A restored backup does not know who was erased after it was made: keep --journal FILE on another host. Under --again
    whoever may go goes; the others are listed, exit 3, and go with another --again.

    Example: dispatchkit data erase customer:1017 --journal /mnt/elsewhere/erased.txt --dry-run
    """
    from dispatchkit.flows.trail import privacy

    if bool(people) == again:
        raise Usage(
            "`data erase` takes customer:ID or driver:ID, or --again for everybody who was erased"
        )
    done = privacy.erase(
        call(ctx).store(), people or (), outside=journal, dry_run=dry_run, max_changes=max_changes
    )
    if call(ctx).json:
        output.document({"dry_run": dry_run, "erased": done.held, "refused": done.refused})
    else:
        rows = [
            (person, what, count)
            for person, counts in done.held.items()
            for what, count in counts.items()
        ]
        output.table(("person", "held in", "rows"), rows)
        output.note(ctx, f"{len(done.held)} people {'would be ' if dry_run else ''}erased")
        if done.refused:
            output.table(("person", "not erased, because"), list(done.refused.items()))
    for first in list(done.refused.values())[:1]:
        output.refuse(ctx, f"{len(done.refused)} people not erased, the first: {first}")


def purge(
    ctx: typer.Context,
    dry_run: DryRun = False,
    max_changes: Limit = None,
    now: Annotated[
        str | None, typer.Option(help="Judge ages at this instant instead of the database clock.")
    ] = None,
) -> None:
    """Remove what is past its time in [audit]: pings, payloads of events that have left, our own exports under --data.

    Example: dispatchkit data purge --dry-run
    """
    from dispatchkit.flows.trail import privacy

    settings, at = call(ctx).settings(), parse_instant(now) if now else None
    store = call(ctx).store()
    with output.working(ctx, "purging"):
        done = privacy.purge(
            store, call(ctx).data, settings, at, dry_run=dry_run, max_changes=max_changes
        )
    if call(ctx).json:
        output.document({"dry_run": dry_run, **done})
    else:
        output.table(("what", "would go" if dry_run else "gone"), list(done.items()))

"""`outbox`: what a person does about events that did not get out."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.output import call


def register(app: typer.Typer) -> None:
    """Add `outbox retry`."""
    group = typer.Typer(
        help="Events that did not get out.", no_args_is_help=True, rich_markup_mode=None
    )
    group.callback()(lambda: None)
    group.command()(retry)
    app.add_typer(group, name="outbox")


def retry(
    ctx: typer.Context,
    sender: Annotated[
        str, typer.Argument(help="The sender, as its table [senders.NAME] calls it.")
    ],
    now: Annotated[
        str | None, typer.Option(help="Due at this instant instead of the database clock.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them; touch nothing.")] = False,
    max_changes: Annotated[
        int | None, typer.Option(min=0, help="Refuse to make more events due than this.")
    ] = None,
) -> None:
    """Make events due again that a sender could not get out for so long that they were given up on.

    Example: dispatchkit outbox retry push
    """
    from dispatchkit.flows.live import outbox

    settings, store = call(ctx).settings(), call(ctx).store(now)
    due = outbox.retry(store, settings, sender, dry_run=dry_run, max_changes=max_changes)
    if call(ctx).json:
        output.document({"sender": sender, "due": due, "dry_run": dry_run})
    else:
        output.table(("sender", "due"), [(sender, due)])

"""`act ticket`: a person is done with what a ticket asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.act.options import Dry, Now, send


def close(
    ctx: typer.Context,
    ticket: Annotated[int, typer.Argument(min=1, max=output.MAX_ID, help="Ticket id.")],
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Close a ticket; the ladder closes its own once the search has ended well.

    Example: dispatchkit act ticket close 3401
    """
    send(ctx, now, dry_run, name="close_ticket", actor="ops", args={"ticket": ticket})


COMMANDS = (close,)

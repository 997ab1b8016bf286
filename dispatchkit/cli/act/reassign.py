"""`act delivery reassign`: operations take a delivery from its driver, or hand it to another."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli import show
from dispatchkit.cli.act.words import Delivery, Dry, Now, send, word


def reassign(
    ctx: typer.Context,
    delivery: Delivery,
    reason: Annotated[str, typer.Option(help="Why, in one word such as FLAT_TYRE; kept in the audit trail.")],
    to: Annotated[
        int | None, typer.Option(min=1, max=show.MAX_ID, help="Hand it to this driver; otherwise it is offered anew.")
    ] = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Take a delivery from its driver before pickup, to offer it anew or to hand it to another.

    Example: dispatchkit act delivery reassign 12 --to 7 --reason FLAT_TYRE
    """
    args = {"to": to, "reason": word(reason, "--reason")}
    send(ctx, now, dry_run, name="reassign", actor="ops", delivery_id=delivery, driver_id=to, args=args)


COMMANDS = (reassign,)

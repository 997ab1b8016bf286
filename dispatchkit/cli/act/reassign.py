"""`act delivery reassign`, `unassign`, `breakdown`: a delivery leaves its driver before pickup, or is about to."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.act.options import Delivery, Dry, Now, send, word


def reassign(
    ctx: typer.Context,
    delivery: Delivery,
    reason: Annotated[
        str, typer.Option(help="Why, in one word such as FLAT_TYRE; kept in the audit trail.")
    ],
    to: Annotated[
        int | None,
        typer.Option(
            min=1, max=output.MAX_ID, help="Hand it to this driver; otherwise it is offered anew."
        ),
    ] = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Take a delivery from its driver before pickup, to offer it anew or to hand it to another.

    The answer tells what it leads to: who carries it now and then, when, with what slack, and what else he holds.
    With --dry-run nothing happens but that.

    Example: dispatchkit act delivery reassign 12 --to 7 --reason FLAT_TYRE
    """
    args = {"to": to, "reason": word(reason, "--reason")}
    told = send(
        ctx,
        now,
        dry_run,
        name="reassign",
        actor="ops",
        delivery_id=delivery,
        driver_id=to,
        args=args,
    )
    if (sooner := told.get("sooner_s")) is not None and sooner < 0:
        output.warn(f"the pickup would be {-sooner} s later than by the driver who has it now")


def unassign(
    ctx: typer.Context,
    delivery: Delivery,
    driver: Annotated[
        int, typer.Option(min=1, max=output.MAX_ID, help="The driver who gives it back.")
    ],
    reason: Annotated[
        str, typer.Option(help="Why, in one word such as TOO_HEAVY; kept in the audit trail.")
    ],
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Give a delivery back before pickup: it is offered anew at once; after a long wait at the counter without a rest.

    Example: dispatchkit act delivery unassign 12 --driver 7 --reason TOO_HEAVY
    """
    args, actor = {"reason": word(reason, "--reason")}, f"driver:{driver}"
    send(
        ctx,
        now,
        dry_run,
        name="unassign",
        actor=actor,
        delivery_id=delivery,
        driver_id=driver,
        args=args,
    )


def breakdown(
    ctx: typer.Context,
    delivery: Delivery,
    driver: Annotated[
        int | None,
        typer.Option(min=1, max=output.MAX_ID, help="The driver who tells it; else operations do."),
    ] = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Tell that the vehicle is broken: unless it gets going again, somebody else takes over.

    Example: dispatchkit act delivery breakdown 12 --driver 7
    """
    actor = f"driver:{driver}" if driver else "ops"
    send(ctx, now, dry_run, name="breakdown", actor=actor, delivery_id=delivery, driver_id=driver)


COMMANDS = (reassign, unassign, breakdown)

"""`act delivery reassign`, `unassign`, `breakdown`: a delivery may leave its driver before pickup."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.act.options import Delivery, Dry, Now, send, word


def reassign(
    ctx: typer.Context,
    delivery: Delivery,
    reason: Annotated[
        str, typer.Option(help="One word such as FLAT_TYRE; kept in the audit trail.")
    ],
    to: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=output.MAX_ID,
            help="Assign it to this driver; otherwise it is offered again.",
        ),
    ] = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Take a delivery from its driver before pickup, to offer it again or to assign it to another.

    The answer compares the current and the proposed driver: pickup, dropoff, slack, other deliveries.
    With --dry-run only this comparison is made.

    Example: dispatchkit act delivery reassign 12 --to 7 --reason FLAT_TYRE
    """
    args = {"to": to, "reason": word(reason, "--reason")}
    details = send(
        ctx,
        now,
        dry_run,
        name="reassign",
        actor="ops",
        delivery_id=delivery,
        driver_id=to,
        args=args,
    )
    earlier_s = details.get("pickup_earlier_s")
    if earlier_s is not None and earlier_s < 0:
        output.warn(f"the pickup would be {-earlier_s} s later than with the current driver")


def unassign(
    ctx: typer.Context,
    delivery: Delivery,
    driver: Annotated[
        int, typer.Option(min=1, max=output.MAX_ID, help="The driver who gives it back.")
    ],
    reason: Annotated[
        str, typer.Option(help="One word such as TOO_HEAVY; kept in the audit trail.")
    ],
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Give a delivery back before pickup: it is offered again at once.

    The driver gets a cooldown, except after a long wait at the merchant.

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
        typer.Option(
            min=1, max=output.MAX_ID, help="The driver who reports it; otherwise operations."
        ),
    ] = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Report a broken vehicle: unless the driver moves on, another driver takes over.

    Example: dispatchkit act delivery breakdown 12 --driver 7
    """
    actor = f"driver:{driver}" if driver else "ops"
    send(ctx, now, dry_run, name="breakdown", actor=actor, delivery_id=delivery, driver_id=driver)


COMMANDS = (reassign, unassign, breakdown)

"""`act delivery`: what happens to a delivery from its creation to its end."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from dispatchkit.cli import output
from dispatchkit.cli.act.options import Delivery, Dry, Now, send, word
from dispatchkit.kernel.clock import parse_instant

Driver = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=output.MAX_ID,
        help="The driver who reports it; without one, operations report it.",
    ),
]
At = Annotated[
    str | None, typer.Option(help="When it happened, if it is told late or out of order.")
]
Reason = Annotated[
    str, typer.Option(help="Why, in one word such as NOBODY_HOME; kept in the audit trail.")
]


class CancelledBy(StrEnum):
    """Who may cancel."""

    customer = "customer"
    merchant = "merchant"
    ops = "ops"


class Liable(StrEnum):
    """Who may answer for a delivery that came to nothing."""

    customer = "customer"
    merchant = "merchant"
    ops = "ops"
    driver = "driver"
    system = "system"


Answers = Annotated[
    Liable | None, typer.Option(help="Who answers for it; without this, who ended it.")
]


def create(
    ctx: typer.Context,
    order: Annotated[int, typer.Argument(min=1, max=output.MAX_ID, help="Order id.")],
    replaces: Annotated[
        int | None,
        typer.Option(
            min=1, max=output.MAX_ID, help="The delivery that came to nothing, for a second try."
        ),
    ] = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Ask for the delivery of an order: a driver is sought from shortly before the goods are ready.

    Example: dispatchkit act delivery create 4711
    """
    send(ctx, now, dry_run, name="create", actor="ops", args={"order": order, "replaces": replaces})


def cancel(
    ctx: typer.Context,
    delivery: Delivery,
    by: Annotated[CancelledBy, typer.Option(help="Who cancels.")],
    liable: Answers = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Cancel a delivery; goods that a driver already holds go back instead.

    Example: dispatchkit act delivery cancel 12 --by merchant --liable merchant
    """
    args = {"by": by.value, "liable": liable.value if liable else None}
    send(ctx, now, dry_run, name="cancel", actor=by.value, delivery_id=delivery, args=args)


STEPS = {
    "start": "The driver sets out for the merchant.",
    "arrive-pickup": "The driver is at the merchant.",
    "pickup": "The driver has the goods, even one from whom the delivery was just taken while nobody else was found.",
    "depart": "The driver sets out for the customer.",
    "arrive-dropoff": "The driver is at the customer's door.",
    "deliver": "The customer has the goods.",
    "returned": "The merchant has the goods back.",
}


def step(name: str) -> Callable[..., None]:
    """Return the command of one step: they differ in nothing but their names."""

    def command(
        ctx: typer.Context,
        delivery: Delivery,
        driver: Driver = None,
        at: At = None,
        now: Now = None,
        dry_run: Dry = False,
    ) -> None:
        _report(ctx, name, delivery, driver, at, now, dry_run)

    command.__name__ = name
    command.__doc__ = f"{STEPS[name]}\n\nExample: dispatchkit act delivery {name} 12 --driver 7"
    return command


def fail(
    ctx: typer.Context,
    delivery: Delivery,
    reason: Reason,
    driver: Driver = None,
    liable: Answers = None,
    at: At = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Give up on goods that a driver holds: they will reach nobody.

    Example: dispatchkit act delivery fail 12 --driver 7 --reason SPILT
    """
    _report(ctx, "fail", delivery, driver, at, now, dry_run, reason=reason, liable=liable)


def return_(
    ctx: typer.Context,
    delivery: Delivery,
    reason: Reason,
    driver: Driver = None,
    liable: Answers = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Send goods that cannot be delivered back to the merchant.

    Example: dispatchkit act delivery return 12 --driver 7 --reason NOBODY_HOME
    """
    _report(ctx, "return", delivery, driver, None, now, dry_run, reason=reason, liable=liable)


def rescue(
    ctx: typer.Context, delivery: Delivery, reason: Reason, now: Now = None, dry_run: Dry = False
) -> None:
    """Approve that goods under way change hands; the driver holds them until somebody takes over.

    Example: dispatchkit act delivery rescue 12 --reason FLAT_TYRE
    """
    args = {"reason": word(reason, "--reason")}
    send(ctx, now, dry_run, name="rescue", actor="ops", delivery_id=delivery, args=args)


def handover(
    ctx: typer.Context,
    delivery: Delivery,
    to: Annotated[
        int, typer.Option(min=1, max=output.MAX_ID, help="The driver who now has the goods.")
    ],
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Confirm that a rescued delivery's goods are with another driver.

    Example: dispatchkit act delivery handover 12 --to 9
    """
    send(
        ctx,
        now,
        dry_run,
        name="handover",
        actor="ops",
        delivery_id=delivery,
        driver_id=to,
        args={"to": to},
    )


def _report(
    ctx: typer.Context,
    name: str,
    delivery: int,
    driver: int | None,
    at: str | None,
    now: str | None,
    dry_run: bool,
    *,
    reason: str | None = None,
    liable: Liable | None = None,
) -> None:
    """Send what a driver, or operations instead, reports about a delivery."""
    args: dict[str, Any] = {"at": parse_instant(at)} if at else {}
    if reason:
        args |= {"reason": word(reason, "--reason"), "liable": liable.value if liable else None}
    actor = f"driver:{driver}" if driver else "ops"
    send(
        ctx, now, dry_run, name=name, actor=actor, delivery_id=delivery, driver_id=driver, args=args
    )


COMMANDS = (create, cancel, *map(step, STEPS), fail, return_, rescue, handover)

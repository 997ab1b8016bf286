"""`act delivery escalate`, `ack` and `snooze`: operations answer what the ladder says of an open search."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli.act.options import Delivery, Dry, Now, send

A_DAY = 24 * 60  # minutes


def escalate(
    ctx: typer.Context,
    delivery: Delivery,
    level: Annotated[
        int | None, typer.Option(min=1, max=4, help="Up to this level; otherwise one up.")
    ] = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Raise the search for a delivery's driver without waiting for the clock; the clocks go on from there.

    Example: dispatchkit act delivery escalate 12 --level 3
    """
    send(
        ctx, now, dry_run, name="escalate", actor="ops", delivery_id=delivery, args={"level": level}
    )


def ack(ctx: typer.Context, delivery: Delivery, now: Now = None, dry_run: Dry = False) -> None:
    """Say that somebody looks after a delivery: no reminders until the search reaches its next level.

    Example: dispatchkit act delivery ack 12
    """
    send(ctx, now, dry_run, name="ack", actor="ops", delivery_id=delivery)


def snooze(
    ctx: typer.Context,
    delivery: Delivery,
    minutes: Annotated[int, typer.Option(min=1, max=A_DAY, help="For so long.")],
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Ask for no reminders for a while; levels are told all the same.

    Example: dispatchkit act delivery snooze 12 --minutes 15
    """
    send(
        ctx,
        now,
        dry_run,
        name="snooze",
        actor="ops",
        delivery_id=delivery,
        args={"minutes": minutes},
    )


COMMANDS = (escalate, ack, snooze)

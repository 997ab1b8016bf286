"""`act driver`: a driver starts, rests, comes back and leaves; operations suspend and reinstate."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.act.options import Dry, Now, send, word
from dispatchkit.kernel.clock import parse_instant

Driver = Annotated[int, typer.Argument(min=1, max=output.MAX_ID, help="Driver id.")]
Until = Annotated[str | None, typer.Option(help="When the shift is planned to end (an instant).")]
Why = Annotated[
    str, typer.Option(help="Why, in one word such as DOCUMENTS_MISSING; kept in the audit trail.")
]


def start_shift(
    ctx: typer.Context, driver: Driver, until: Until = None, now: Now = None, dry_run: Dry = False
) -> None:
    """Put a driver on duty; also takes back the end of a shift that deliveries in hand still hold up.

    Refused with HOURS_CAP, and the instant from which it is allowed, before a long rest after long hours.

    Example: dispatchkit act driver start-shift 7 --until 2026-03-02T22:00:00Z
    """
    args = {"until": parse_instant(until)} if until else {}
    send(
        ctx, now, dry_run, name="start-shift", actor=f"driver:{driver}", driver_id=driver, args=args
    )


def break_(
    ctx: typer.Context,
    driver: Driver,
    minutes: Annotated[
        int | None, typer.Option(min=1, help="How long; at most availability.break_max.")
    ] = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Let a driver rest: at once, or once the deliveries in hand are done. A pending offer is withdrawn.

    Example: dispatchkit act driver break 7 --minutes 20
    """
    args = {} if minutes is None else {"minutes": minutes}
    send(ctx, now, dry_run, name="break", actor=f"driver:{driver}", driver_id=driver, args=args)


def resume(ctx: typer.Context, driver: Driver, now: Now = None, dry_run: Dry = False) -> None:
    """Bring a driver back from a break, or withdraw a break or an end of shift that has not come yet.

    Example: dispatchkit act driver resume 7
    """
    send(ctx, now, dry_run, name="resume", actor=f"driver:{driver}", driver_id=driver)


def end_shift(ctx: typer.Context, driver: Driver, now: Now = None, dry_run: Dry = False) -> None:
    """Take a driver off duty: at once, or once the deliveries in hand are done. A pending offer is withdrawn.

    Example: dispatchkit act driver end-shift 7
    """
    send(ctx, now, dry_run, name="end-shift", actor=f"driver:{driver}", driver_id=driver)


def suspend(
    ctx: typer.Context, driver: Driver, reason: Why, now: Now = None, dry_run: Dry = False
) -> None:
    """Bar a driver from work: what is not picked up finds another driver, what is in hand comes to operations.

    Example: dispatchkit act driver suspend 7 --reason DOCUMENTS_MISSING
    """
    send(
        ctx,
        now,
        dry_run,
        name="suspend",
        actor="ops",
        driver_id=driver,
        args={"reason": word(reason, "--reason")},
    )


def reinstate(
    ctx: typer.Context, driver: Driver, reason: Why, now: Now = None, dry_run: Dry = False
) -> None:
    """Allow a suspended driver to work again; the driver is off duty, and starts a shift when ready.

    Example: dispatchkit act driver reinstate 7 --reason DOCUMENTS_SEEN
    """
    send(
        ctx,
        now,
        dry_run,
        name="reinstate",
        actor="ops",
        driver_id=driver,
        args={"reason": word(reason, "--reason")},
    )


COMMANDS = (start_shift, break_, resume, end_shift, suspend, reinstate)

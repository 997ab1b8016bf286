"""`act offer`: a driver answers an offer, or word comes of its push."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.act.options import Dry, Now, send, word

Offer = Annotated[int, typer.Argument(min=1, max=output.MAX_ID, help="Offer id.")]
Driver = Annotated[int, typer.Option(min=1, max=output.MAX_ID, help="The driver it was made to.")]


def accept(
    ctx: typer.Context,
    offer: Offer,
    driver: Driver,
    payload: Annotated[
        str | None, typer.Option(help="SHA-256 of the payload the driver saw.")
    ] = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Accept an offer: the first commit wins, and the same accept twice has the same answer.

    Example: dispatchkit act offer accept 81 --driver 7
    """
    args = {"payload_sha256": payload} if payload else {}
    send(
        ctx,
        now,
        dry_run,
        name="accept",
        actor=f"driver:{driver}",
        offer_id=offer,
        driver_id=driver,
        args=args,
    )


def decline(
    ctx: typer.Context,
    offer: Offer,
    driver: Driver,
    reason: Annotated[
        str, typer.Option(help="TOO_FAR, LOW_PAY, MERCHANT_WAIT, UNSAFE_AREA, ... or OTHER.")
    ] = "OTHER",
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Decline an offer, with a reason.

    Example: dispatchkit act offer decline 81 --driver 7 --reason TOO_FAR
    """
    args = {"reason": reason}
    send(
        ctx,
        now,
        dry_run,
        name="decline",
        actor=f"driver:{driver}",
        offer_id=offer,
        driver_id=driver,
        args=args,
    )


def delivered(
    ctx: typer.Context, offer: Offer, driver: Driver, now: Now = None, dry_run: Dry = False
) -> None:
    """Note that an offer has reached the driver's phone: from then on silence is a time-out.

    Example: dispatchkit act offer delivered 81 --driver 7
    """
    send(
        ctx,
        now,
        dry_run,
        name="delivered",
        actor=f"driver:{driver}",
        offer_id=offer,
        driver_id=driver,
    )


def viewed(
    ctx: typer.Context, offer: Offer, driver: Driver, now: Now = None, dry_run: Dry = False
) -> None:
    """Note that the driver has looked at an offer.

    Example: dispatchkit act offer viewed 81 --driver 7
    """
    send(
        ctx, now, dry_run, name="viewed", actor=f"driver:{driver}", offer_id=offer, driver_id=driver
    )


def undeliverable(
    ctx: typer.Context,
    offer: Offer,
    driver: Driver,
    reason: Annotated[
        str, typer.Option(help="One word: PUSH_REFUSED, NO_ACKNOWLEDGEMENT, ...")
    ] = "PUSH_REFUSED",
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """End an offer whose push failed: the next driver is asked, and this one is not blamed.

    Example: dispatchkit act offer undeliverable 81 --driver 7 --reason NO_ACKNOWLEDGEMENT
    """
    args = {"reason": word(reason, "--reason")}
    send(
        ctx,
        now,
        dry_run,
        name="undeliverable",
        actor="system:push",
        offer_id=offer,
        driver_id=driver,
        args=args,
    )


COMMANDS = (accept, decline, delivered, viewed, undeliverable)

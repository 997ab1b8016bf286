"""`act`: one event by a person or a system, with its legal result or a named refusal."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from dispatchkit.cli import show
from dispatchkit.cli.show import call
from dispatchkit.kernel.clock import parse_instant
from dispatchkit.kernel.errors import Usage

Dry = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; touch nothing.")]
Now = Annotated[str | None, typer.Option(help="Reason at this instant instead of the database clock.")]


def register(app: typer.Typer) -> None:
    """Add `act offer` and `act delivery`."""
    group = typer.Typer(help="One event by a person or a system.", no_args_is_help=True, rich_markup_mode=None)
    offer = typer.Typer(help="A driver answers an offer.", no_args_is_help=True, rich_markup_mode=None)
    offer.command()(accept)
    offer.command()(decline)
    group.add_typer(offer, name="offer")
    delivery = typer.Typer(help="Operations act on a delivery.", no_args_is_help=True, rich_markup_mode=None)
    delivery.command()(reassign)
    group.add_typer(delivery, name="delivery")
    app.add_typer(group, name="act")


def accept(
    ctx: typer.Context,
    offer: Annotated[int, typer.Argument(min=1, max=show.MAX_ID, help="Offer id.")],
    driver: Annotated[int, typer.Option(min=1, max=show.MAX_ID, help="The driver who answers.")],
    payload: Annotated[str | None, typer.Option(help="SHA-256 of the payload the driver saw.")] = None,
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Accept an offer: the first commit wins, and the same accept twice has the same answer.

    Example: dispatchkit act offer accept 81 --driver 7
    """
    args = {"payload_sha256": payload} if payload else {}
    _act(ctx, now, dry_run, name="accept", actor=f"driver:{driver}", offer_id=offer, driver_id=driver, args=args)


def decline(
    ctx: typer.Context,
    offer: Annotated[int, typer.Argument(min=1, max=show.MAX_ID, help="Offer id.")],
    driver: Annotated[int, typer.Option(min=1, max=show.MAX_ID, help="The driver who answers.")],
    reason: Annotated[str, typer.Option(help="TOO_FAR, LOW_PAY, MERCHANT_WAIT, UNSAFE_AREA, ... or OTHER.")] = "OTHER",
    now: Now = None,
    dry_run: Dry = False,
) -> None:
    """Decline an offer, with a reason.

    Example: dispatchkit act offer decline 81 --driver 7 --reason TOO_FAR
    """
    _act(
        ctx,
        now,
        dry_run,
        name="decline",
        actor=f"driver:{driver}",
        offer_id=offer,
        driver_id=driver,
        args={"reason": reason},
    )


def reassign(
    ctx: typer.Context,
    delivery: Annotated[int, typer.Argument(min=1, max=show.MAX_ID, help="Delivery id.")],
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
    if not re.fullmatch(r"[A-Z][A-Z_]{1,39}", reason):
        raise Usage("--reason is one word such as FLAT_TYRE: free text may name people, and the audit trail keeps none")
    _act(
        ctx,
        now,
        dry_run,
        name="reassign",
        actor="ops",
        delivery_id=delivery,
        driver_id=to,
        args={"to": to, "reason": reason},
    )


def _act(ctx: typer.Context, now: str | None, dry_run: bool, **event: Any) -> None:
    from dispatchkit.flows import database
    from dispatchkit.flows.act import act
    from dispatchkit.kernel.feature import Event

    settings = call(ctx).settings()
    store = database.store(call(ctx).db, call(ctx).data, settings, now=parse_instant(now) if now else None)
    result = act(store, settings, Event(**event), dry_run=dry_run)
    if call(ctx).json:
        show.document(result.document())
    else:
        show.line(result.answer.code)
        rows = [(c.event, f"{c.entity} {c.id}", c.version, c.reason) for c in result.answer.changes]
        if rows:
            show.table(("event", "row", "version", "reason"), rows)
    if result.answer.refused:
        show.refuse(ctx, f"{result.event.name} refused: {result.answer.code}")

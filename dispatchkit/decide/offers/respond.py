"""What an answer to an offer, or a report about its push, leads to. The first acceptance wins.

Only an offer that has reached a phone can be left unanswered. A push that failed has its own state:
it ends the offer without waiting for the deadline, and does not count against the driver.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from dispatchkit.decide.offers.model import OfferContext, Params
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ActResult, ChangeReason, EventName
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import free_slot, rest_until
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.domain.rows import Delivery, Driver, Episode, Offer
from dispatchkit.domain.search import close_search, end_round, withdraw
from dispatchkit.domain.states import (
    OPEN,
    DeclineReason,
    DeliveryState,
    DutyState,
    EpisodeState,
    OfferState,
)
from dispatchkit.kernel.errors import Usage, shown

RECEIPTS = {"delivered": EventName.OFFER_DELIVERED, "viewed": EventName.OFFER_VIEWED}
EVENTS = ("accept", "decline", *RECEIPTS, "undeliverable")
ENDED = {
    OfferState.EXPIRED: ActResult.OFFER_EXPIRED,
    OfferState.REVOKED: ActResult.OFFER_REVOKED,
    OfferState.UNDELIVERABLE: ActResult.OFFER_REVOKED,
}
REVOKED_BY: dict[str, ActResult] = {  # by cause
    ChangeReason.TAKEN_BY_OTHER: ActResult.LOST_RACE,
    ChangeReason.DELIVERY_CANCELLED: ActResult.DELIVERY_CANCELLED,
}


def respond(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return the result of an answer or a report about the push, with the changes if it counts.

    frames: the locked rows of the offer's delivery. `now` is read after the locks. An offer to
    another driver is answered as if it did not exist. Raises Usage for an unknown decline reason.
    """
    reason = str(event.args.get("reason") or DeclineReason.OTHER)
    if event.name == "decline" and reason not in set(DeclineReason):
        raise Usage(f"{shown(reason)!r} is no reason to decline; known: {', '.join(DeclineReason)}")
    context = _context(frames, event)
    if context is None:
        return refused(ActResult.NOT_FOUND)
    if code := _ended(context, event.name):
        details = {"cause": context.offer.cause} if code == ActResult.OFFER_REVOKED else {}
        return Answer(code, refused=code != ActResult.OK_REPLAY, details=details)
    if code := _closed(context):
        return refused(code)

    changes = ChangeSet(("delivery", context.delivery.id), now)
    if event.name == "undeliverable":
        return _push_failed(changes, context, event, params)
    if event.name in RECEIPTS:
        return _receipt(changes, context, event.name)
    if now >= context.offer.hard_deadline:
        return refused(ActResult.OFFER_EXPIRED)
    if event.name == "decline":
        return _decline(changes, context, DeclineReason(reason), params)
    return _accept(changes, frames, context, event, params)


def _context(frames: Frames, event: Event) -> OfferContext | None:
    """Return the offer with its delivery and driver; None if another driver has the offer."""
    offers = sorted(rows(frames["offers"], Offer), key=lambda o: o.id)
    offer = next(
        (o for o in offers if o.id == event.offer_id and o.driver_id == event.driver_id), None
    )
    driver = next((d for d in rows(frames["drivers"], Driver) if d.id == event.driver_id), None)
    if offer is None or driver is None:
        return None
    delivery = next(
        (d for d in rows(frames["delivery"], Delivery) if d.id == offer.delivery_id), None
    )
    if delivery is None:
        return None
    rivals = tuple(o for o in offers if o.state == OfferState.PENDING and o.id != offer.id)
    return OfferContext(offer, delivery, driver, rivals)


def _ended(context: OfferContext, name: str) -> ActResult | None:
    """Return the result for an offer that has ended; the same answer given twice is a replay."""
    offer, delivery = context.offer, context.delivery
    if offer.state == OfferState.PENDING:
        return ActResult.OK_REPLAY if _known(offer, name) else None
    if name == "accept":
        has_delivery = (delivery.driver_id, delivery.episode) == (offer.driver_id, offer.episode)
        is_replay = offer.state == OfferState.ACCEPTED and has_delivery
    elif name == "decline":
        is_replay = offer.state == OfferState.DECLINED
    else:
        is_replay = _known(offer, name)
    if is_replay:
        return ActResult.OK_REPLAY
    if offer.state == OfferState.ACCEPTED and delivery.state == DeliveryState.CANCELLED:
        return ActResult.DELIVERY_CANCELLED
    revoked = REVOKED_BY.get(offer.cause or "")
    return revoked or ENDED.get(offer.state, ActResult.ILLEGAL_TRANSITION)


def _known(offer: Offer, name: str) -> bool:
    """Return whether a report about the push says nothing new; an answer says more than a receipt."""
    if name == "undeliverable":
        return offer.state == OfferState.UNDELIVERABLE
    times = {"delivered": offer.delivered_at, "viewed": offer.viewed_at}
    answered = offer.state in (OfferState.ACCEPTED, OfferState.DECLINED)
    return name in times and (times[name] is not None or answered)


def _closed(context: OfferContext) -> ActResult | None:
    """Return why the delivery of a pending offer takes no answer any more, or None."""
    delivery = context.delivery
    if delivery.state == DeliveryState.CANCELLED:
        return ActResult.DELIVERY_CANCELLED
    is_open = delivery.state in OPEN and delivery.episode == context.offer.episode
    return None if is_open else ActResult.ILLEGAL_TRANSITION


def _accept(
    changes: ChangeSet, frames: Frames, context: OfferContext, event: Event, params: Params
) -> Answer:
    """Assign the delivery to the driver and withdraw the other offers.

    Refused if the driver agreed to other terms, is not on duty, or has no free slot.
    """
    offer, delivery, driver = context.offer, context.delivery, context.driver
    if event.args.get("payload_sha256", offer.payload_sha256) != offer.payload_sha256:
        return refused(ActResult.PAYLOAD_CHANGED)
    slot = free_slot(frames["held"], driver.id, min(driver.max_stack, params.max_stack))
    if driver.duty != DutyState.ON_DUTY or slot is None:
        return refused(ActResult.ILLEGAL_TRANSITION)

    now, late = changes.at, changes.at >= offer.expires_at
    changes.update(
        offer,
        EventName.OFFER_ACCEPTED,
        ChangeReason.DRIVER_ACCEPTED,
        payload={
            **_ids(context),
            "responseTime": round((now - offer.sent_at).total_seconds(), 3),
            "late": late,
        },
        state=OfferState.ACCEPTED,
        responded_at=now,
        late=late,
    )
    withdraw(changes, context.rivals, ChangeReason.TAKEN_BY_OTHER)
    accepted = ChangeReason.OFFER_ACCEPTED
    changes.update(
        delivery,
        EventName.DELIVERY_ASSIGNED,
        accepted,
        state=DeliveryState.ASSIGNED,
        driver_id=driver.id,
        slot=slot,
        assigned_at=now,
    )
    close_search(changes, rows(frames["episode"], Episode), EpisodeState.ASSIGNED, accepted)
    # Written even if no timeout is reset: the version must rise, so that a decision that was based
    # on the driver being free is stale.
    changes.update(driver, EventName.DRIVER_ANSWERED, ChangeReason.DRIVER_ACCEPTED, timeouts=0)
    return Answer(ActResult.OK_LATE if late else ActResult.OK, tuple(changes.changes))


def _decline(
    changes: ChangeSet, context: OfferContext, reason: DeclineReason, params: Params
) -> Answer:
    """End the offer, and its round if no other offer is pending. Any answer resets the timeouts."""
    driver = context.driver
    changes.update(
        context.offer,
        EventName.OFFER_REJECTED,
        reason,
        payload={**_ids(context), "reason": reason, "countable": reason.counts_in_score},
        state=OfferState.DECLINED,
        cause=reason,
        responded_at=changes.at,
    )
    _end_round(changes, context)
    columns: dict[str, Any] = {"timeouts": 0} if driver.timeouts else {}
    if params.cooldown_decline:
        columns["cooldown_until"] = rest_until(driver, changes.at + params.cooldown_decline)
    if columns:
        event, declined = EventName.DRIVER_ANSWERED, ChangeReason.DRIVER_DECLINED
        changes.update(driver, event, declined, **columns)
    return Answer(ActResult.OK, tuple(changes.changes))


def _receipt(changes: ChangeSet, context: OfferContext, name: str) -> Answer:
    """Note that the offer reached the phone or was viewed; refused once its time has run out."""
    offer, now = context.offer, changes.at
    if now >= offer.expires_at:
        return refused(ActResult.OFFER_EXPIRED)
    columns: dict[str, Any] = {} if offer.delivered_at else {"delivered_at": now}
    if name == "viewed":
        columns["viewed_at"] = now
    reason = ChangeReason.PUSH_RECEIPT
    changes.update(offer, RECEIPTS[name], reason, payload=_ids(context), **columns)
    return Answer(ActResult.OK, tuple(changes.changes))


def _push_failed(changes: ChangeSet, context: OfferContext, event: Event, params: Params) -> Answer:
    """End the offer, and its round if no other offer is pending; the driver is not blamed.

    The driver rests as after an unanswered offer: otherwise the same dead phone, being nearest, would
    be tried for one delivery after another. Refused if the phone has already shown the offer. Raises
    Usage for a reason that is not one word.
    """
    reason = str(event.args.get("reason") or ChangeReason.PUSH_REFUSED)
    if not re.fullmatch(r"[A-Z][A-Z_]{1,39}", reason):
        raise Usage(
            f"{shown(reason)!r} is no reason: one word such as PUSH_REFUSED or NO_ACKNOWLEDGEMENT"
        )
    if context.offer.delivered_at is not None:
        return refused(ActResult.ILLEGAL_TRANSITION)
    changes.update(
        context.offer,
        EventName.OFFER_UNDELIVERABLE,
        reason,
        payload={**_ids(context), "reason": reason},
        state=OfferState.UNDELIVERABLE,
        cause=reason,
        responded_at=changes.at,
    )
    _end_round(changes, context)
    changes.update(
        context.driver,
        EventName.DRIVER_COOLED_DOWN,
        ChangeReason.PUSH_FAILED,
        cooldown_until=rest_until(context.driver, changes.at + params.cooldown_expire),
    )
    return Answer(ActResult.OK, tuple(changes.changes))


def _ids(context: OfferContext) -> dict[str, int]:
    offer = context.offer
    return {"offerId": offer.id, "deliveryId": offer.delivery_id, "driverId": offer.driver_id}


def _end_round(changes: ChangeSet, context: OfferContext) -> None:
    if context.delivery.state == DeliveryState.OFFERING and not context.rivals:
        end_round(changes, context.delivery)

"""What a driver's answer to an offer does. The first acceptance wins; every refusal has its name (semantics 3)."""

from __future__ import annotations

from datetime import datetime

from dispatchkit.decide.offers import receipt
from dispatchkit.decide.offers.model import Asked, Episode, Job, Offer, Params
from dispatchkit.domain.change_set import ChangeSet, Values
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Driver, free_slot, rest_until
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.domain.search import close_search, end_round, withdraw
from dispatchkit.domain.states import OPEN, DeclineReason
from dispatchkit.kernel.errors import Usage, shown

EVENTS = ("accept", "decline", *receipt.EVENTS)
ENDED = {"EXPIRED": "OFFER_EXPIRED", "REVOKED": "OFFER_REVOKED", "UNDELIVERABLE": "OFFER_REVOKED"}
CAUSES = {"TAKEN_BY_OTHER": "LOST_RACE", "DELIVERY_CANCELLED": "DELIVERY_CANCELLED"}


def respond(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return what an answer to an offer, or word of its push, comes to: its code, and the changes if it counts.

    frames: the locked rows of the offer's delivery. `now` is read after the locks. Someone else's offer answers as a
    missing one. Raises Usage for a decline reason that is not in the vocabulary.
    """
    if event.name == "decline" and _reason(event) not in set(DeclineReason):
        raise Usage(
            f"{shown(_reason(event))!r} is no reason to decline; known: {', '.join(DeclineReason)}"
        )
    asked = _asked(frames, event)
    if asked is None:
        return refused("NOT_FOUND")
    if code := _already(asked, event):
        details = {"cause": asked.offer.cause} if code == "OFFER_REVOKED" else {}
        return Answer(code, refused=code != "OK_REPLAY", details=details)
    if code := _closed(asked):
        return refused(code)
    group = ChangeSet(("delivery", asked.delivery.id), now)
    if event.name in receipt.EVENTS:
        return receipt.note(group, asked, event, params)
    if now >= asked.offer.hard_deadline:
        return refused("OFFER_EXPIRED")
    if event.name == "decline":
        return _decline(group, asked, _reason(event), params)
    return _accept(group, frames, asked, event, params)


def _asked(frames: Frames, event: Event) -> Asked | None:
    """Return the offer that a driver answers, with its delivery; None if it was made to somebody else."""
    offers = sorted(rows(frames["offers"], Offer), key=lambda o: o.id)
    offer = next(
        (o for o in offers if o.id == event.offer_id and o.driver_id == event.driver_id), None
    )
    delivery = next(
        (d for d in rows(frames["delivery"], Job) if offer and d.id == offer.delivery_id), None
    )
    driver = next((d for d in rows(frames["drivers"], Driver) if d.id == event.driver_id), None)
    if offer is None or delivery is None or driver is None:
        return None
    rivals = tuple(o for o in offers if o.state == "PENDING" and o.id != offer.id)
    return Asked(offer, delivery, driver, rivals)


def _reason(event: Event) -> str:
    return str(event.args.get("reason") or "OTHER")


def _already(asked: Asked, event: Event) -> str | None:
    """Return the code for an offer that has ended; the same answer given twice is a replay."""
    offer, delivery = asked.offer, asked.delivery
    if offer.state == "PENDING":
        return "OK_REPLAY" if receipt.known(offer, event.name) else None
    in_force = delivery.driver_id == offer.driver_id and delivery.episode == offer.episode
    again = {"accept": offer.state == "ACCEPTED" and in_force, "decline": offer.state == "DECLINED"}
    if again.get(event.name, receipt.known(offer, event.name)):
        return "OK_REPLAY"
    if offer.state == "ACCEPTED" and delivery.state == "CANCELLED":
        return "DELIVERY_CANCELLED"
    return CAUSES.get(offer.cause or "") or ENDED.get(offer.state, "ILLEGAL_TRANSITION")


def _closed(asked: Asked) -> str | None:
    """Return why the delivery of a pending offer takes no answer any more, or None."""
    if asked.delivery.state == "CANCELLED":
        return "DELIVERY_CANCELLED"
    is_open = asked.delivery.state in OPEN and asked.delivery.episode == asked.offer.episode
    return None if is_open else "ILLEGAL_TRANSITION"


def _accept(group: ChangeSet, frames: Frames, asked: Asked, event: Event, params: Params) -> Answer:
    offer, delivery, driver = asked.offer, asked.delivery, asked.driver
    if event.args.get("payload_sha256", offer.payload_sha256) != offer.payload_sha256:
        return refused("PAYLOAD_CHANGED")
    slot = free_slot(frames["held"], driver.id, min(driver.max_stack, params.max_stack))
    if driver.duty != "ON_DUTY" or slot is None:
        return refused("ILLEGAL_TRANSITION")
    now, late = group.at, group.at >= offer.expires_at
    took_s = round((now - offer.sent_at).total_seconds(), 3)
    told = {
        "offerId": offer.id,
        "deliveryId": delivery.id,
        "driverId": driver.id,
        "responseTime": took_s,
        "late": late,
    }
    yes: Values = {"state": "ACCEPTED", "responded_at": now, "late": late}
    group.change("offer", offer, "offer_accepted", "DRIVER_ACCEPTED", yes, payload=told)
    withdraw(group, asked.rivals, "TAKEN_BY_OTHER")
    with_driver: Values = {
        "state": "ASSIGNED",
        "driver_id": driver.id,
        "slot": slot,
        "assigned_at": now,
    }
    group.change("delivery", delivery, "delivery_assigned", "OFFER_ACCEPTED", with_driver)
    close_search(group, rows(frames["episode"], Episode), "ASSIGNED", "OFFER_ACCEPTED")
    # Written even if no timeout is reset: the version must move, so that a decision that
    # took the driver for free is stale.
    group.change("driver", driver, "driver_answered", "DRIVER_ACCEPTED", {"timeouts": 0})
    return Answer("OK_LATE" if late else "OK", tuple(group.changes))


def _decline(group: ChangeSet, asked: Asked, reason: str, params: Params) -> Answer:
    offer, delivery, driver = asked.offer, asked.delivery, asked.driver
    no: Values = {"state": "DECLINED", "cause": reason, "responded_at": group.at}
    told = {"offerId": offer.id, "deliveryId": delivery.id, "driverId": driver.id, "reason": reason}
    group.change(
        "offer",
        offer,
        "offer_rejected",
        reason,
        no,
        payload={**told, "countable": DeclineReason(reason).counts_in_score},
    )
    if delivery.state == "OFFERING" and not asked.rivals:
        end_round(group, delivery)
    answered: Values = {"timeouts": 0} if driver.timeouts else {}
    if params.cooldown_decline:
        answered["cooldown_until"] = rest_until(driver, group.at + params.cooldown_decline)
    if answered:
        group.change("driver", driver, "driver_answered", "DRIVER_DECLINED", answered)
    return Answer("OK", tuple(group.changes))

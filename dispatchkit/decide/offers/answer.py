"""What a driver's answer to an offer does. The first acceptance wins; every refusal has its name (semantics 3)."""

from __future__ import annotations

from datetime import datetime

from dispatchkit.decide.offers.model import Episode, Job, Offer, Params
from dispatchkit.kernel.dispatch import Driver
from dispatchkit.kernel.errors import Usage, shown
from dispatchkit.kernel.feature import Answer, Event, Frames
from dispatchkit.kernel.group import Group, Values, rows
from dispatchkit.kernel.search import close_search, end_round, withdraw
from dispatchkit.kernel.states import DECLINE_REASONS, OPEN

ENDED = {"EXPIRED": "OFFER_EXPIRED", "REVOKED": "OFFER_REVOKED", "UNDELIVERABLE": "OFFER_REVOKED"}
CAUSES = {"TAKEN_BY_OTHER": "LOST_RACE", "DELIVERY_CANCELLED": "DELIVERY_CANCELLED"}


def respond(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return what an `accept` or `decline` comes to: its code, and the changes if it counts.

    frames: the locked rows of the offer's delivery. `now` is read after the locks. Someone else's offer answers as a
    missing one. Raises Usage for a decline reason that is not in the vocabulary.
    """
    if event.name == "decline" and _reason(event) not in DECLINE_REASONS:
        raise Usage(f"{shown(_reason(event))!r} is no reason to decline; known: {', '.join(DECLINE_REASONS)}")
    offers = sorted(rows(frames["offers"], Offer), key=lambda o: o.id)
    offer = next((o for o in offers if o.id == event.offer_id and o.driver_id == event.driver_id), None)
    delivery = next((d for d in rows(frames["delivery"], Job) if offer and d.id == offer.delivery_id), None)
    driver = next((d for d in rows(frames["drivers"], Driver) if d.id == event.driver_id), None)
    if offer is None or delivery is None or driver is None:
        return _refused("NOT_FOUND")
    if code := _already(offer, delivery, event):
        return Answer(code, refused=code != "OK_REPLAY")
    if code := _too_late(offer, delivery, now):
        return _refused(code)
    rivals = [o for o in offers if o.state == "PENDING" and o.id != offer.id]
    group = Group(("delivery", delivery.id), now)
    if event.name == "decline":
        return _decline(group, offer, delivery, driver, _reason(event), rivals, params)
    if event.args.get("payload_sha256", offer.payload_sha256) != offer.payload_sha256:
        return _refused("PAYLOAD_CHANGED")
    slot = free_slot(frames, driver.id, min(driver.max_stack, params.max_stack))
    if driver.duty != "ON_DUTY" or slot is None:
        return _refused("ILLEGAL_TRANSITION")
    return _accept(group, frames, offer, delivery, driver, slot, rivals)


def free_slot(frames: Frames, driver_id: int, max_stack: int) -> int | None:
    """Return the lowest slot of a driver that no active delivery occupies, or None if all are taken."""
    taken = {row["slot"] for row in frames["held"].iter_rows(named=True) if row["driver_id"] == driver_id}
    return next((slot for slot in range(1, max_stack + 1) if slot not in taken), None)


def _reason(event: Event) -> str:
    return str(event.args.get("reason") or "OTHER")


def _refused(code: str) -> Answer:
    return Answer(code, refused=True)


def _already(offer: Offer, delivery: Job, event: Event) -> str | None:
    """Return the code for an offer that has ended; the same answer given twice is a replay."""
    if offer.state == "PENDING":
        return None
    in_force = delivery.driver_id == offer.driver_id and delivery.episode == offer.episode
    if event.name == "accept" and offer.state == "ACCEPTED" and in_force:
        return "OK_REPLAY"
    if event.name == "decline" and offer.state == "DECLINED":
        return "OK_REPLAY"
    return CAUSES.get(offer.cause or "") or ENDED.get(offer.state, "ILLEGAL_TRANSITION")


def _too_late(offer: Offer, delivery: Job, now: datetime) -> str | None:
    if delivery.state == "CANCELLED":
        return "DELIVERY_CANCELLED"
    if delivery.state not in OPEN or delivery.episode != offer.episode:
        return "ILLEGAL_TRANSITION"
    return "OFFER_EXPIRED" if now >= offer.hard_deadline else None


def _accept(
    group: Group, frames: Frames, offer: Offer, delivery: Job, driver: Driver, slot: int, rivals: list[Offer]
) -> Answer:
    now, late = group.at, group.at >= offer.expires_at
    took_s = round((now - offer.sent_at).total_seconds(), 3)
    told = {"offerId": offer.id, "deliveryId": delivery.id, "driverId": driver.id, "responseTime": took_s, "late": late}
    yes: Values = {"state": "ACCEPTED", "responded_at": now, "late": late}
    group.change("offer", offer, "offer_accepted", "DRIVER_ACCEPTED", yes, payload=told)
    withdraw(group, rivals, "TAKEN_BY_OTHER")
    with_driver: Values = {"state": "ASSIGNED", "driver_id": driver.id, "slot": slot, "assigned_at": now}
    group.change("delivery", delivery, "delivery_assigned", "OFFER_ACCEPTED", with_driver)
    close_search(group, rows(frames["episode"], Episode), "ASSIGNED", "OFFER_ACCEPTED")
    # Always, also without a timeout to forget: whoever saw him free a moment ago must find his version moved.
    group.change("driver", driver, "driver_answered", "DRIVER_ACCEPTED", {"timeouts": 0})
    return Answer("OK_LATE" if late else "OK", tuple(group.changes))


def _decline(
    group: Group, offer: Offer, delivery: Job, driver: Driver, reason: str, rivals: list[Offer], params: Params
) -> Answer:
    no: Values = {"state": "DECLINED", "cause": reason, "responded_at": group.at}
    told = {"offerId": offer.id, "deliveryId": delivery.id, "driverId": driver.id, "reason": reason}
    group.change("offer", offer, "offer_rejected", reason, no, payload=told)
    if delivery.state == "OFFERING" and not rivals:
        end_round(group, delivery)
    answered: Values = {"timeouts": 0} if driver.timeouts else {}
    if params.cooldown_decline:
        answered["cooldown_until"] = group.at + params.cooldown_decline
    if answered:
        group.change("driver", driver, "driver_answered", "DRIVER_DECLINED", answered)
    return Answer("OK", tuple(group.changes))

"""What becomes of an offer's push: it reached the phone, the driver looked at it, or it could not be delivered.

Only what has reached a phone can be met with silence. A push that failed is a state of its own: it ends the offer, it
never counts against the driver, and nobody waits for the deadline of an offer that no one has seen.
"""

from __future__ import annotations

import re

from dispatchkit.decide.offers.model import Asked, Offer, Params
from dispatchkit.domain.change_set import ChangeSet, Values
from dispatchkit.domain.dispatching import rest_until
from dispatchkit.domain.feature import Answer, Event, refused
from dispatchkit.domain.search import end_round
from dispatchkit.kernel.errors import Usage, shown

EVENTS = ("delivered", "viewed", "undeliverable")
ANSWERED = ("ACCEPTED", "DECLINED")


def known(offer: Offer, event: str) -> bool:
    """Return whether word of the push says nothing new; an answer says more than any receipt."""
    if event == "undeliverable":
        return offer.state == "UNDELIVERABLE"
    noted = {"delivered": offer.delivered_at, "viewed": offer.viewed_at}
    return event in noted and (noted[event] is not None or offer.state in ANSWERED)


def note(group: ChangeSet, asked: Asked, event: Event, params: Params) -> Answer:
    """Return what word of the push of a pending offer comes to.

    A receipt counts while the offer is shown (`t < expires_at`): later, there is nothing left to see. A failure counts
    until something else has ended the offer, unless the phone has already shown it. Raises Usage for a reason that is
    not one word.
    """
    if event.name == "undeliverable":
        return _failed(group, asked, event, params)
    offer, now = asked.offer, group.at
    if now >= offer.expires_at:
        return refused("OFFER_EXPIRED")
    seen: Values = {} if offer.delivered_at else {"delivered_at": now}
    if event.name == "viewed":
        seen["viewed_at"] = now
    told = {"offerId": offer.id, "deliveryId": offer.delivery_id, "driverId": offer.driver_id}
    group.change("offer", offer, f"offer_{event.name}", "PUSH_RECEIPT", seen, payload=told)
    return Answer("OK", tuple(group.changes))


def _failed(group: ChangeSet, asked: Asked, event: Event, params: Params) -> Answer:
    """End the offer, and its round if no other is pending; the driver rests as after silence, and is not blamed.

    Without the rest the same dead phone, being nearest, would be tried for one delivery after another.
    """
    offer, delivery, driver = asked.offer, asked.delivery, asked.driver
    reason = str(event.args.get("reason") or "PUSH_REFUSED")
    if not re.fullmatch(r"[A-Z][A-Z_]{1,39}", reason):
        raise Usage(
            f"{shown(reason)!r} is no reason: one word such as PUSH_REFUSED or NO_ACKNOWLEDGEMENT"
        )
    if offer.delivered_at is not None:
        return refused("ILLEGAL_TRANSITION")
    told = {"offerId": offer.id, "deliveryId": delivery.id, "driverId": driver.id, "reason": reason}
    ended: Values = {"state": "UNDELIVERABLE", "cause": reason, "responded_at": group.at}
    group.change("offer", offer, "offer_undeliverable", reason, ended, payload=told)
    if delivery.state == "OFFERING" and not asked.rivals:
        end_round(group, delivery)
    rest: Values = {"cooldown_until": rest_until(driver, group.at + params.cooldown_expire)}
    group.change("driver", driver, "driver_cooled_down", "PUSH_FAILED", rest)
    return Answer("OK", tuple(group.changes))

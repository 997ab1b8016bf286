"""What time alone does: deliveries become due, offers run out, rounds end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from dispatchkit.decide.offers.model import Episode, Offer, Params, Sought
from dispatchkit.domain.change_set import ChangeSet, Values
from dispatchkit.domain.dispatching import Driver, rest_until
from dispatchkit.domain.search import end_round, episode_id, open_search, withdraw


def begin_search(group: ChangeSet, delivery: Sought, now: datetime) -> Episode | None:
    """Move a delivery to where its dispatch time puts it; once due, its first episode opens and is returned.

    The episode counts from when the search was due, not from when a late sweep noticed.
    """
    if delivery.state not in ("CREATED", "SCHEDULED"):
        return None
    if now < delivery.dispatch_at:
        if delivery.state == "CREATED":
            group.change(
                "delivery", delivery, "delivery_scheduled", "DISPATCH_AHEAD", {"state": "SCHEDULED"}
            )
        return None
    group.change(
        "delivery", delivery, "delivery_dispatchable", "DISPATCH_DUE", {"state": "UNASSIGNED"}
    )
    since = search_began(delivery)
    open_search(group, delivery.id, delivery.episode, "DISPATCH_DUE", since)
    return Episode(
        id=episode_id(delivery.id, delivery.episode),
        delivery_id=delivery.id,
        episode=delivery.episode,
        state="OPEN",
        opened_at=since,
        closed_at=None,
        level=0,
        version=1,
    )


def search_began(delivery: Sought) -> datetime:
    """Return since when a delivery has been due."""
    return max(delivery.dispatch_at, delivery.created_at)


def expire(
    group: ChangeSet,
    delivery: Sought,
    offers: Sequence[Offer],
    drivers: Mapping[int, Driver],
    params: Params,
    now: datetime,
) -> list[Offer]:
    """Close the offers whose hard deadline is reached and return them; a round of which none is left ends.

    A driver rests for `cooldown_expire` after silence. It counts as a timeout only if the offer is known to have
    reached the phone: a lost connection is nobody's fault. However late the sweep, an offer is one silence.
    Offers to drivers who are on duty no more are withdrawn: nobody could accept them.
    """
    pending = [offer for offer in offers if offer.state == "PENDING"]
    overdue = [offer for offer in pending if now >= offer.hard_deadline]
    for offer in overdue:
        after: Values = {"state": "EXPIRED", "responded_at": now}
        seen = offer.delivered_at is not None
        told = {
            "offerId": offer.id,
            "deliveryId": delivery.id,
            "driverId": offer.driver_id,
            "countable": seen,
        }
        group.change("offer", offer, "offer_expired", "HARD_DEADLINE_REACHED", after, payload=told)
        if driver := drivers.get(offer.driver_id):
            until = rest_until(driver, now + params.cooldown_expire)
            rest: Values = {"timeouts": driver.timeouts + seen, "cooldown_until": until}
            group.change("driver", driver, "driver_cooled_down", "OFFER_EXPIRED", rest)
    gone = [offer for offer in pending if offer not in overdue and offer.driver_id not in drivers]
    withdraw(group, gone, "DRIVER_UNAVAILABLE")
    if delivery.state == "OFFERING" and len(overdue) + len(gone) == len(pending):
        end_round(group, delivery)
    return overdue

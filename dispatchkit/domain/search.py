"""The steps of a search for a driver that several features share.

An episode opens, a round of offers ends, offers are revoked, the episode closes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ChangeReason, EventName
from dispatchkit.domain.rows import Delivery, Driver, Episode, Offer
from dispatchkit.domain.states import DeliveryState, EpisodeState, OfferState
from dispatchkit.kernel.stable_random import stable_id


def episode_id(delivery_id: int, episode: int) -> int:
    """Return the id of the n-th episode of a delivery."""
    return stable_id("episode", delivery_id, episode)


def open_search(
    changes: ChangeSet, delivery_id: int, episode: int, reason: str, since: datetime
) -> Episode:
    """Add an episode and return it. It begins at `since`, which may be before a late sweep."""
    opened = Episode(
        id=episode_id(delivery_id, episode),
        delivery_id=delivery_id,
        episode=episode,
        state=EpisodeState.OPEN,
        opened_at=since,
        version=1,
    )
    return changes.add(opened, EventName.EPISODE_OPENED, reason)


def close_search(
    changes: ChangeSet, episodes: Iterable[Episode], state: EpisodeState, reason: str
) -> None:
    """Close the open episodes of a delivery."""
    for episode in episodes:
        changes.update(episode, EventName.EPISODE_CLOSED, reason, state=state, closed_at=changes.at)


def withdraw(changes: ChangeSet, offers: Iterable[Offer], cause: str) -> None:
    """Revoke the pending offers among these for a named cause, in ascending id."""
    pending = [offer for offer in offers if offer.state == OfferState.PENDING]
    for offer in sorted(pending, key=lambda o: o.id):
        changes.update(
            offer,
            EventName.OFFER_REVOKED,
            cause,
            payload={"offerId": offer.id, "driverId": offer.driver_id, "cause": cause},
            state=OfferState.REVOKED,
            cause=cause,
            responded_at=changes.at,
        )


def end_round(changes: ChangeSet, delivery: Delivery) -> None:
    """Put a delivery back to UNASSIGNED after a round that nobody accepted; count the attempt."""
    changes.update(
        delivery,
        EventName.DELIVERY_UNASSIGNED,
        ChangeReason.ROUND_OVER,
        state=DeliveryState.UNASSIGNED,
        attempt=delivery.attempt + 1,
    )


def touch_driver(changes: ChangeSet, driver: Driver, reason: str) -> None:
    """Write the unchanged row of a driver who is assigned a delivery without an offer.

    This raises the row's version: a decision that was based on the driver being free is stale.
    """
    changes.update(driver, EventName.DRIVER_GIVEN, reason, timeouts=driver.timeouts)

"""The steps of a search for a driver that several features share.

An episode opens, a round of offers ends, offers are revoked, the episode closes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from dispatchkit.domain.change_set import ChangeSet, Row, Values
from dispatchkit.domain.codes import ChangeReason, EventName
from dispatchkit.domain.rows import Episode
from dispatchkit.domain.states import DeliveryState, EpisodeState, OfferState
from dispatchkit.kernel.stable_random import stable_id


class OfferRow(Row, Protocol):
    """An offer's row, as far as `withdraw` needs it; it also has `cause` and `responded_at`."""

    @property
    def driver_id(self) -> int: ...
    @property
    def state(self) -> str: ...


class DeliveryRow(Row, Protocol):
    """A delivery's row, as far as `end_round` needs it."""

    @property
    def attempt(self) -> int: ...


class DriverRow(Row, Protocol):
    """A driver's row, as far as `touch_driver` needs it."""

    @property
    def timeouts(self) -> int: ...


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


def close_search(changes: ChangeSet, episodes: Iterable[Row], state: str, reason: str) -> None:
    """Close the open episodes of a delivery; the rows have `state` and `closed_at`."""
    for episode in episodes:
        changes.change(
            "episode",
            episode,
            EventName.EPISODE_CLOSED,
            reason,
            {"state": state, "closed_at": changes.at},
        )


def withdraw(changes: ChangeSet, offers: Iterable[OfferRow], cause: str) -> None:
    """Revoke the pending offers among these for a named cause, in ascending id."""
    pending = [offer for offer in offers if offer.state == OfferState.PENDING]
    for offer in sorted(pending, key=lambda o: o.id):
        changes.change(
            "offer",
            offer,
            EventName.OFFER_REVOKED,
            cause,
            {"state": OfferState.REVOKED, "cause": cause, "responded_at": changes.at},
            payload={"offerId": offer.id, "driverId": offer.driver_id, "cause": cause},
        )


def end_round(changes: ChangeSet, delivery: DeliveryRow) -> None:
    """Put a delivery back to UNASSIGNED after a round that nobody accepted; count the attempt."""
    changes.change(
        "delivery",
        delivery,
        EventName.DELIVERY_UNASSIGNED,
        ChangeReason.ROUND_OVER,
        {"state": DeliveryState.UNASSIGNED, "attempt": delivery.attempt + 1},
    )


def touch_driver(changes: ChangeSet, driver: DriverRow, reason: str) -> None:
    """Write the unchanged row of a driver who is assigned a delivery without an offer.

    This raises the row's version: a decision that was based on the driver being free is stale.
    """
    unchanged: Values = {"timeouts": driver.timeouts}
    changes.change("driver", driver, EventName.DRIVER_GIVEN, reason, unchanged)

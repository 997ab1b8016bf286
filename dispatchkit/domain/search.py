"""The search for a driver, as steps that rooms share: it opens, a round ends, offers are withdrawn, it closes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dispatchkit.domain.change_set import ChangeSet, Row, Values
from dispatchkit.kernel.stable_random import stable_id


class Asked(Row, Protocol):
    """An offer's row as far as withdrawing it needs it; it also has `cause` and `responded_at`."""

    @property
    def driver_id(self) -> int: ...
    @property
    def state(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer's row as far as withdrawing it needs it."""

    id: int
    driver_id: int
    state: str
    cause: str | None
    responded_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A search's row as far as closing it needs it."""

    id: int
    state: str
    closed_at: datetime | None
    version: int


class Held(Row, Protocol):
    """A driver's row as far as being given a delivery touches it."""

    @property
    def timeouts(self) -> int: ...


class Sought(Row, Protocol):
    """A delivery's row as far as the end of a round changes it."""

    @property
    def attempt(self) -> int: ...


def episode_id(delivery_id: int, episode: int) -> int:
    """Return the id of the n-th search for a delivery's driver."""
    return stable_id("episode", delivery_id, episode)


def open_search(
    group: ChangeSet, delivery_id: int, episode: int, reason: str, since: datetime
) -> None:
    """Add the episode that begins `since`, which may be earlier than a late sweep noticed."""
    group.insert(
        "episode",
        episode_id(delivery_id, episode),
        "episode_opened",
        reason,
        {
            "delivery_id": delivery_id,
            "episode": episode,
            "state": "OPEN",
            "opened_at": since,
            "closed_at": None,
            "level": 0,
            "reminders": 0,
        },
    )


def close_search(group: ChangeSet, episodes: Iterable[Row], state: str, reason: str) -> None:
    """Close the open episodes of a delivery; the rows have `state` and `closed_at`."""
    for episode in episodes:
        group.change(
            "episode", episode, "episode_closed", reason, {"state": state, "closed_at": group.at}
        )


def withdraw(group: ChangeSet, offers: Iterable[Asked], cause: str) -> None:
    """Revoke the pending ones of these offers for a named cause, in ascending id."""
    for offer in sorted((o for o in offers if o.state == "PENDING"), key=lambda o: o.id):
        after: Values = {"state": "REVOKED", "cause": cause, "responded_at": group.at}
        told = {"offerId": offer.id, "driverId": offer.driver_id, "cause": cause}
        group.change("offer", offer, "offer_revoked", cause, after, payload=told)


def end_round(group: ChangeSet, delivery: Sought) -> None:
    """Put a delivery whose round ended unaccepted back to UNASSIGNED, one attempt richer."""
    after: Values = {"state": "UNASSIGNED", "attempt": delivery.attempt + 1}
    group.change("delivery", delivery, "delivery_unassigned", "ROUND_OVER", after)


def touch_driver(group: ChangeSet, driver: Held, reason: str) -> None:
    """Write the row of a driver who is given a delivery unasked, though nothing in it changes.

    So his version moves, and who saw him free a moment ago is stale.
    """
    group.change("driver", driver, "driver_given", reason, {"timeouts": driver.timeouts})

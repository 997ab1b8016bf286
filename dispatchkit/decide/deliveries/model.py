"""The words of deliveries: parameters, the locked rows around one delivery, and the chain that it passes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Dispatch, free_slot
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.domain.rows import Driver
from dispatchkit.domain.search import Offer


@dataclass(frozen=True, kw_only=True)
class Params(Dispatch):
    """When a search begins and how far off a phone's clock may be: the shared parameters, none of our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery's row as far as an act changes it."""

    id: int
    order_id: int
    replaces: int | None
    state: str
    episode: int
    attempt: int
    driver_id: int | None
    slot: int | None
    assigned_at: datetime | None
    started_at: datetime | None
    arrived_pickup_at: datetime | None
    picked_up_at: datetime | None
    arrived_dropoff_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    ended_while: str | None
    liable: str | None
    version: int


@dataclass(frozen=True, slots=True)
class Scene:
    """One act on one delivery. at: when it happened, by the driver's clock if he told, never later than `now`.

    max_skew: how far that clock may be off.
    """

    frames: Frames
    event: Event
    delivery: Delivery
    at: datetime
    now: datetime
    max_skew: timedelta

    @property
    def by(self) -> str:
        """Return which party acts."""
        return "driver" if self.event.driver_id else "ops"

    def no_earlier_than(self, *known: datetime | None) -> datetime | None:
        """Return when it happened, at the last of these times if it was told as up to `max_skew` before: a slow phone.

        None if it was told as earlier still.
        """
        last = max((at for at in known if at is not None), default=self.at)
        return None if last - self.at > self.max_skew else max(last, self.at)

    def group(self) -> ChangeSet:
        return ChangeSet(("delivery", self.delivery.id), self.now)

    def driver(self, id: int | None) -> Driver | None:
        return next((d for d in rows(self.frames["drivers"], Driver) if d.id == id), None)

    def free_slot(self, driver: Driver) -> int | None:
        """Return the lowest slot of a driver that no active delivery occupies, None if his hands are full."""
        return free_slot(self.frames["held"], driver.id, driver.max_stack)

    def had_it(self, driver: Driver) -> bool:
        """Return whether a driver once had this delivery: it was taken from him, or he had accepted it."""
        released = (
            (row["driver_id"], row["released_at"])
            for row in self.frames["cases"].iter_rows(named=True)
        )
        accepted = (
            o.driver_id for o in rows(self.frames["offers"], Offer) if o.state == "ACCEPTED"
        )
        return driver.id in accepted or any(
            who == driver.id and at is not None for who, at in released
        )

    def not_his(self) -> Answer:
        """Return the refusal for a driver who has not got the delivery; who once had it learns that it is cancelled."""
        driver = self.driver(self.event.driver_id)
        told = driver is not None and self.delivery.state == "CANCELLED" and self.had_it(driver)
        return refused("DELIVERY_CANCELLED" if told else "NOT_FOUND")


def closed(delivery: Delivery) -> Answer:
    """Return the refusal of an act that a delivery's state does not allow."""
    return refused("DELIVERY_CANCELLED" if delivery.state == "CANCELLED" else "ILLEGAL_TRANSITION")

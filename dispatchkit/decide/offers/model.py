"""The words of offers: rows as the policy sees them, and the contracts of what reads.sql brings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import dataframely as dy

from dispatchkit.decide.offers.params import Params
from dispatchkit.domain.dispatching import Driver, DriverRead, HeldRead, PingRead
from dispatchkit.domain.tables import Deliveries, Episodes, Merchants, Offers, Orders
from dispatchkit.kernel.geo import Point, point

__all__ = ["READS", "Asked", "Episode", "Job", "Offer", "Params", "Refusal", "Sought"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """A delivery that may need a driver, with what an offer tells about it.

    outside: it is outside the rollout: its search begins, for a person and the ladder to see, offers that are out are
    brought to their end, and nobody else is asked. disputed: who lost it says to have its goods, and a person has yet
    to look; nobody else is asked then either.
    """

    id: int
    state: str
    episode: int
    attempt: int
    priority: int
    driver_id: int | None
    slot: int | None
    created_at: datetime
    dispatch_at: datetime
    assigned_at: datetime | None
    version: int
    ready_at: datetime | None
    merchant_id: int
    pickup_lat: float | None
    pickup_lon: float | None
    dropoff_lat: float | None
    dropoff_lon: float | None
    disputed: bool
    outside: bool

    @property
    def pickup(self) -> Point | None:
        return point(self.pickup_lat, self.pickup_lon)

    @property
    def dropoff(self) -> Point | None:
        return point(self.dropoff_lat, self.dropoff_lon)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A delivery's row as an answer needs it."""

    id: int
    state: str
    episode: int
    attempt: int
    driver_id: int | None
    slot: int | None
    assigned_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """The open episode of a delivery, with the level that the ladder has reached."""

    id: int
    delivery_id: int
    episode: int
    state: str
    opened_at: datetime
    closed_at: datetime | None
    level: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer's row, as far as deciding and answering need it."""

    id: int
    delivery_id: int
    driver_id: int
    episode: int
    attempt: int
    state: str
    cause: str | None
    payload_sha256: str
    sent_at: datetime
    expires_at: datetime
    hard_deadline: datetime
    delivered_at: datetime | None
    viewed_at: datetime | None
    responded_at: datetime | None
    late: bool
    version: int


@dataclass(frozen=True, slots=True)
class Asked:
    """An offer with what hangs on it: its delivery, the driver, and the rival offers that are pending too."""

    offer: Offer
    delivery: Job
    driver: Driver
    rivals: tuple[Offer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An offer of an earlier episode that a driver declined or let run out, with the terms he had."""

    id: int
    delivery_id: int
    driver_id: int
    responded_at: datetime
    pay_cents: int
    payload: str


class SoughtRead(dy.Schema):
    """deliveries: those that may need a driver now."""

    id = Deliveries.id
    state = Deliveries.state
    episode = Deliveries.episode
    attempt = Deliveries.attempt
    priority = Deliveries.priority
    driver_id = Deliveries.driver_id
    slot = Deliveries.slot
    created_at = Deliveries.created_at
    dispatch_at = Deliveries.dispatch_at
    assigned_at = Deliveries.assigned_at
    version = Deliveries.version
    ready_at = Orders.ready_at
    merchant_id = Orders.merchant_id
    pickup_lat = Merchants.lat
    pickup_lon = Merchants.lon
    dropoff_lat = Orders.dropoff_lat
    dropoff_lon = Orders.dropoff_lon
    disputed = dy.Bool(nullable=False)
    outside = dy.Bool(nullable=False)


class OfferRead(dy.Schema):
    """offers: every offer so far for a delivery that is open."""

    id = Offers.id
    delivery_id = Offers.delivery_id
    driver_id = Offers.driver_id
    episode = Offers.episode
    attempt = Offers.attempt
    state = Offers.state
    cause = Offers.cause
    payload_sha256 = Offers.payload_sha256
    sent_at = Offers.sent_at
    expires_at = Offers.expires_at
    hard_deadline = Offers.hard_deadline
    delivered_at = Offers.delivered_at
    viewed_at = Offers.viewed_at
    responded_at = Offers.responded_at
    late = Offers.late
    version = Offers.version


class RefusalRead(dy.Schema):
    """refusals: who said no in an earlier episode, and to what."""

    id = Offers.id
    delivery_id = Offers.delivery_id
    driver_id = Offers.driver_id
    responded_at = dy.Datetime(time_zone="UTC", time_unit="us")
    pay_cents = Offers.pay_cents
    payload = Offers.payload


class EpisodeRead(dy.Schema):
    """episodes: since when each open delivery has been seeking, and how far that has been escalated."""

    id = Episodes.id
    delivery_id = Episodes.delivery_id
    episode = Episodes.episode
    state = Episodes.state
    opened_at = Episodes.opened_at
    closed_at = Episodes.closed_at
    level = Episodes.level
    version = Episodes.version


class SlotRead(HeldRead):
    """held: deliveries that occupy a driver, in which slot and since when."""

    slot = dy.Int64(min=1, max=3)
    assigned_at = Deliveries.assigned_at


class ReleasedRead(dy.Schema):
    """released: drivers who lost an open delivery and are not asked about it again."""

    id = Deliveries.id
    delivery_id = Offers.delivery_id
    driver_id = Offers.driver_id


READS: dict[str, type[dy.Schema]] = {
    "deliveries": SoughtRead,
    "offers": OfferRead,
    "refusals": RefusalRead,
    "episodes": EpisodeRead,
    "drivers": DriverRead,
    "pings": PingRead,
    "held": SlotRead,
    "released": ReleasedRead,
}

"""The words of offers: rows as the policy sees them, and the contracts of what reads.sql brings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from dispatchkit.decide.offers.params import Params
from dispatchkit.domain.contract import Column, Contract
from dispatchkit.domain.dispatching import Driver, DriverRead, HeldRead, PingRead
from dispatchkit.domain.tables import TABLES
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
    """An offer of an earlier episode that a driver declined or let run out, with its terms."""

    id: int
    delivery_id: int
    driver_id: int
    responded_at: datetime
    pay_cents: int
    payload: str


# deliveries: those that may need a driver now.
SoughtRead = (
    TABLES["deliveries"]
    .only(
        "id state episode attempt priority driver_id slot created_at dispatch_at "
        "assigned_at version"
    )
    .with_columns(
        ready_at=TABLES["orders"].fields["ready_at"],
        merchant_id=TABLES["orders"].fields["merchant_id"],
        pickup_lat=TABLES["merchants"].fields["lat"],
        pickup_lon=TABLES["merchants"].fields["lon"],
        dropoff_lat=TABLES["orders"].fields["dropoff_lat"],
        dropoff_lon=TABLES["orders"].fields["dropoff_lon"],
        disputed=Column(dtype=pl.Boolean()),
        outside=Column(dtype=pl.Boolean()),
    )
)


# offers: every offer so far for a delivery that is open.
OfferRead = TABLES["driver_offers"].only(
    "id delivery_id driver_id episode attempt state cause payload_sha256 sent_at expires_at "
    "hard_deadline delivered_at viewed_at responded_at late version"
)


# refusals: who said no in an earlier episode, and to what.
RefusalRead = (
    TABLES["driver_offers"]
    .only("id delivery_id driver_id pay_cents payload")
    .with_columns(responded_at=Column(dtype=pl.Datetime("us", "UTC")))
)


# episodes: since when each open delivery has been seeking, and how far that has been escalated.
EpisodeRead = TABLES["unassigned_orders"].only(
    "id delivery_id episode state opened_at closed_at level version"
)


# held: deliveries that occupy a driver, in which slot and since when.
SlotRead = HeldRead.with_columns(
    slot=Column(dtype=pl.Int64(), min=1, max=3),
    assigned_at=TABLES["deliveries"].fields["assigned_at"],
)


# released: drivers who lost an open delivery and are not asked about it again.
ReleasedRead = (
    TABLES["deliveries"]
    .only("id")
    .with_columns(
        delivery_id=TABLES["driver_offers"].fields["delivery_id"],
        driver_id=TABLES["driver_offers"].fields["driver_id"],
    )
)


READS: dict[str, Contract] = {
    "deliveries": SoughtRead,
    "offers": OfferRead,
    "refusals": RefusalRead,
    "episodes": EpisodeRead,
    "drivers": DriverRead,
    "pings": PingRead,
    "held": SlotRead,
    "released": ReleasedRead,
}

"""The words of offers: parameters, the reads with their contracts, and rows as the policy sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

import dataframely as dy

from dispatchkit.kernel.dispatch import Dispatch, Driver, DriverRead, HeldRead, PingRead, Point
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.kernel.money import to_cents
from dispatchkit.kernel.tables import Deliveries, Episodes, Merchants, Offers, Orders


@dataclass(frozen=True, kw_only=True)
class Params(Dispatch):
    """How long and how widely a driver is sought, and what an offer pays."""

    timeout: timedelta = timedelta(seconds=30)
    accept_grace: timedelta = timedelta(seconds=2)
    max_attempts: int = 8
    cooldown_decline: timedelta = timedelta()
    cooldown_expire: timedelta = timedelta(seconds=60)
    radius_start_m: int = 1500
    radius_step_m: int = 1500  # wider by one step after each attempt, and after each `widen_after` of waiting
    radius_max_m: int = 6000
    widen_after: timedelta = timedelta(minutes=3)
    pay_base_cents: int = 1000
    pay_per_km_cents: int = 19

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.accept_grace > self.timeout:
            raise BadConfig(f"accept_grace {self.accept_grace} is longer than timeout {self.timeout}")
        if not 0 < self.radius_start_m <= self.radius_max_m:
            raise BadConfig(f"radius_start_m {self.radius_start_m} must lie in 1..radius_max_m {self.radius_max_m}")
        for name in ("timeout", "cooldown_expire", "widen_after"):  # a driver just timed out must not be asked at once
            if getattr(self, name) <= timedelta():
                raise BadConfig(f"{name} must be longer than zero")
        for name in ("accept_grace", "cooldown_decline"):
            if getattr(self, name) < timedelta():
                raise BadConfig(f"{name} is below zero")
        for name in ("max_attempts", "radius_step_m", "pay_base_cents", "pay_per_km_cents"):
            if getattr(self, name) < 0:
                raise BadConfig(f"{name} is below zero")

    def radius_m(self, attempts: int, waited: timedelta) -> int:
        """Return how far by air a driver may be from the pickup: one step more for each attempt and each wait."""
        steps = attempts + max(0, waited // self.widen_after)
        return min(self.radius_start_m + steps * self.radius_step_m, self.radius_max_m)

    def pay_cents(self, distance_m: int) -> int:
        """Return what carrying a delivery over this distance pays."""
        return self.pay_base_cents + to_cents(Fraction(self.pay_per_km_cents * distance_m, 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """A delivery that may need a driver, with what an offer tells about it."""

    id: int
    state: str
    episode: int
    attempt: int
    priority: int
    driver_id: int | None
    created_at: datetime
    dispatch_at: datetime
    version: int
    ready_at: datetime | None
    merchant_id: int
    pickup_lat: float | None
    pickup_lon: float | None
    dropoff_lat: float | None
    dropoff_lon: float | None

    @property
    def pickup(self) -> Point | None:
        return None if self.pickup_lat is None or self.pickup_lon is None else (self.pickup_lat, self.pickup_lon)

    @property
    def dropoff(self) -> Point | None:
        return None if self.dropoff_lat is None or self.dropoff_lon is None else (self.dropoff_lat, self.dropoff_lon)


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
    """The open episode of a delivery."""

    id: int
    state: str
    closed_at: datetime | None
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


class SoughtRead(dy.Schema):
    """deliveries: those that may need a driver now."""

    id = Deliveries.id
    state = Deliveries.state
    episode = Deliveries.episode
    attempt = Deliveries.attempt
    priority = Deliveries.priority
    driver_id = Deliveries.driver_id
    created_at = Deliveries.created_at
    dispatch_at = Deliveries.dispatch_at
    version = Deliveries.version
    ready_at = Orders.ready_at
    merchant_id = Orders.merchant_id
    pickup_lat = Merchants.lat
    pickup_lon = Merchants.lon
    dropoff_lat = Orders.dropoff_lat
    dropoff_lon = Orders.dropoff_lon


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


class EpisodeRead(dy.Schema):
    """episodes: since when each open delivery has been seeking."""

    id = Episodes.id
    delivery_id = Episodes.delivery_id
    episode = Episodes.episode
    opened_at = Episodes.opened_at


class ReleasedRead(dy.Schema):
    """released: drivers who lost an open delivery and are not asked about it again."""

    id = Deliveries.id
    delivery_id = Offers.delivery_id
    driver_id = Offers.driver_id


READS: dict[str, type[dy.Schema]] = {
    "deliveries": SoughtRead,
    "offers": OfferRead,
    "episodes": EpisodeRead,
    "drivers": DriverRead,
    "pings": PingRead,
    "held": HeldRead,
    "released": ReleasedRead,
}

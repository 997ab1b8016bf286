"""Parameters of offers, and what the queries read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dispatchkit.domain.acceptance import Acceptance
from dispatchkit.domain.contract import Contract, contract_of
from dispatchkit.domain.dispatching import Dispatch, DriverRead, PingRead
from dispatchkit.domain.rows import (
    Case,
    Delivery,
    Driver,
    Episode,
    Instant,
    Lat,
    Lon,
    MerchantId,
    Offer,
)
from dispatchkit.domain.states import OfferMode
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.kernel.geo import Point, point

MODES = tuple(OfferMode)


@dataclass(frozen=True, kw_only=True)
class Params(Dispatch, Acceptance):
    """How a search for a driver goes. Only `mode` decides how many drivers get offers at once."""

    mode: str = "cascade"
    timeout: timedelta = timedelta(seconds=30)
    accept_grace: timedelta = timedelta(seconds=2)
    max_attempts: int = 8
    wave_size: int = 3
    wave_gap: timedelta = timedelta(seconds=20)
    broadcast_limit: int = 20
    reoffer_same_driver: timedelta = timedelta(minutes=10)
    reoffer_more_cents: int = 100
    reoffer_nearer: timedelta = timedelta(minutes=3)
    cooldown_decline: timedelta = timedelta()
    cooldown_expire: timedelta = timedelta(seconds=60)
    radius_start_m: int = 1500
    radius_step_m: int = 1500
    radius_max_m: int = 6000
    widen_after: timedelta = timedelta(minutes=3)
    pay_base_cents: int = 1000
    pay_per_km_cents: int = 19
    boost_after: int = 3
    boost_step_cents: int = 100
    boost_max_cents: int = 300

    def __post_init__(self) -> None:
        Dispatch.__post_init__(self)
        Acceptance.__post_init__(self)
        if self.mode not in MODES:
            raise BadConfig(f"mode is {self.mode!r}; expected one of {', '.join(MODES)}")
        if self.accept_grace > self.timeout:
            raise BadConfig(
                f"accept_grace {self.accept_grace} is longer than timeout {self.timeout}"
            )
        if not 0 < self.radius_start_m <= self.radius_max_m:
            raise BadConfig(
                f"radius_start_m {self.radius_start_m} must lie in "
                f"1..radius_max_m {self.radius_max_m}"
            )
        if self.boost_step_cents > self.boost_max_cents:
            raise BadConfig(
                f"boost_step_cents {self.boost_step_cents} is more than "
                f"boost_max_cents {self.boost_max_cents}"
            )
        # A driver who has just not answered gets no offer at once, and two waves never go out at
        # the same instant.
        for name in ("timeout", "cooldown_expire", "widen_after", "wave_gap"):
            if getattr(self, name) <= timedelta():
                raise BadConfig(f"{name} must be longer than zero")
        for name in ("accept_grace", "cooldown_decline", "reoffer_same_driver", "reoffer_nearer"):
            if getattr(self, name) < timedelta():
                raise BadConfig(f"{name} is below zero")
        for name in ("wave_size", "broadcast_limit", "boost_after"):
            if getattr(self, name) < 1:
                raise BadConfig(f"{name} is {getattr(self, name)}; expected 1 or more")
        amounts = "max_attempts radius_step_m pay_base_cents pay_per_km_cents boost_step_cents"
        for name in amounts.split():
            if getattr(self, name) < 0:
                raise BadConfig(f"{name} is below zero")

    @property
    def at_once(self) -> int:
        """Return how many drivers get an offer in one round."""
        return {"waves": self.wave_size, "broadcast": self.broadcast_limit}.get(self.mode, 1)

    def radius_m(self, attempts: int, waited: timedelta, level: int = 0) -> int:
        """Return the straight-line distance from the pickup within which drivers get offers.

        It grows one step for each attempt, for each `widen_after` of waiting, and once when the
        search has been escalated.
        """
        steps = attempts + max(0, waited // self.widen_after) + (level >= 1)
        return min(self.radius_start_m + steps * self.radius_step_m, self.radius_max_m)

    def boost_cents(self, unwanted: int, level: int = 0) -> int:
        """Return the extra pay after `unwanted` rounds with a refusal or without an answer.

        An escalated search has at least one step.
        """
        steps = max(unwanted - self.boost_after + 1, int(level >= 1), 0)
        return min(steps * self.boost_step_cents, self.boost_max_cents)

    def pay_cents(self, distance_m: int) -> int:
        """Return the pay for a delivery over this distance, without boost, rounded half up."""
        return self.pay_base_cents + (self.pay_per_km_cents * distance_m + 500) // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDelivery(Delivery):
    """A delivery that may need a driver now, with its places.

    outside: not in the rollout. disputed: another driver reports having the goods, and a person has
    not yet decided. In both cases the search begins and its offers run out, but there is no new offer.
    """

    ready_at: Instant | None
    merchant_id: MerchantId
    pickup_lat: Lat | None
    pickup_lon: Lon | None
    dropoff_lat: Lat | None
    dropoff_lon: Lon | None
    disputed: bool
    outside: bool

    @property
    def pickup(self) -> Point | None:
        return point(self.pickup_lat, self.pickup_lon)

    @property
    def dropoff(self) -> Point | None:
        return point(self.dropoff_lat, self.dropoff_lon)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(Offer):
    """An offer of an earlier episode that the driver declined or did not answer."""

    responded_at: Instant


@dataclass(frozen=True, slots=True)
class OfferContext:
    """An offer with its delivery, its driver, and the other pending offers of the delivery."""

    offer: Offer
    delivery: Delivery
    driver: Driver
    rivals: tuple[Offer, ...]


READS: dict[str, Contract] = {
    "deliveries": contract_of(OpenDelivery),
    "offers": contract_of(Offer),
    "refusals": contract_of(Refusal),
    "episodes": contract_of(Episode),
    "drivers": DriverRead,
    "pings": PingRead,
    "held": contract_of(Delivery).only("id driver_id slot assigned_at", driver_id=True, slot=True),
    "released": contract_of(Case).only("id delivery_id driver_id"),
}

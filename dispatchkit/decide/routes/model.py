"""The words of routes: parameters, the reads with their contracts, and rows as the policy sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from dispatchkit.domain.contract import Column, Contract
from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.kernel.geo import Point, point
from dispatchkit.routing.exact import MAX_TASKS
from dispatchkit.routing.problem import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """How stops are ordered. Costs are in weighted seconds: `*_weight` says what one second of its kind costs."""

    late_weight: int = 10  # a second past the promise, at the door
    finish_weight: int = 1  # a second until the driver is free again
    travel_weight: int = 1  # a second on the road
    pickup_service: timedelta = timedelta(minutes=2)
    dropoff_service: timedelta = timedelta(minutes=2)
    exact_up_to: int = 6  # deliveries
    solutions: int = 500  # how many solutions OR-Tools may look at
    min_gain: timedelta = timedelta(
        seconds=30
    )  # a known order is kept unless a new one saves this much
    eta_tolerance: timedelta = timedelta(
        minutes=2
    )  # smaller shifts, or a first stop less overdue, need no new plan

    def __post_init__(self) -> None:
        for name in ("late_weight", "finish_weight", "travel_weight"):
            if getattr(self, name) < 0:
                raise BadConfig(f"{name} is {getattr(self, name)}; a weight is 0 or more")
        if self.late_weight < self.finish_weight:
            raise BadConfig(
                f"late_weight ({self.late_weight}) is below finish_weight ({self.finish_weight}): "
                "being late would cost less than being busy; raise the first or lower the second"
            )
        if not 0 <= 2 * self.exact_up_to <= MAX_TASKS:
            raise BadConfig(
                f"exact_up_to is {self.exact_up_to}; the exact engine takes 0 to {MAX_TASKS // 2}"
            )
        if self.solutions < 1:
            raise BadConfig(f"solutions is {self.solutions}; OR-Tools must look at one at least")
        for name in ("pickup_service", "dropoff_service", "min_gain", "eta_tolerance"):
            if getattr(self, name) < timedelta(0):
                raise BadConfig(f"{name} is below zero")

    @property
    def weights(self) -> Weights:
        """Return the weights as an engine reads them."""
        return Weights(late=self.late_weight, finish=self.finish_weight, travel=self.travel_weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An active delivery with its two places and its two times."""

    id: int
    driver_id: int
    state: str
    version: int
    arrived_pickup_at: datetime | None
    picked_up_at: datetime | None
    ready_at: datetime | None
    promised_at: datetime | None
    pickup_lat: float | None
    pickup_lon: float | None
    dropoff_lat: float | None
    dropoff_lon: float | None

    @property
    def pickup(self) -> Point | None:
        return point(self.pickup_lat, self.pickup_lon)

    @property
    def dropoff(self) -> Point | None:
        return point(self.dropoff_lat, self.dropoff_lon)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """A driver who holds at least one active delivery."""

    id: int
    vehicle: str
    max_stack: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Where such a driver was last seen, if recently."""

    driver_id: int
    lat: float
    lon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The plan that stands for a driver."""

    id: int
    driver_id: int
    state: str
    planned_at: datetime
    stops: str
    distance_m: int
    duration_s: int
    engine: str
    inputs_sha256: str
    version: int


# deliveries with a driver at work, their orders and merchants.
HeldRead = (
    TABLES["deliveries"]
    .only("id driver_id state version arrived_pickup_at picked_up_at", driver_id=True)
    .with_columns(
        ready_at=TABLES["orders"].fields["ready_at"],
        promised_at=TABLES["orders"].fields["promised_at"],
        pickup_lat=TABLES["merchants"].fields["lat"],
        pickup_lon=TABLES["merchants"].fields["lon"],
        dropoff_lat=TABLES["orders"].fields["dropoff_lat"],
        dropoff_lon=TABLES["orders"].fields["dropoff_lon"],
    )
)


# drivers of those deliveries.
CarrierRead = TABLES["drivers"].only("id vehicle max_stack")


# driver_locations: the last recent one of each of those drivers.
PingRead = (
    TABLES["driver_locations"]
    .only("at lat lon")
    .with_columns(driver_id=Column(dtype=pl.Int64(), min=1), id=Column(dtype=pl.Int64(), min=1))
)


READS: dict[str, Contract] = {
    "held": HeldRead,
    "carriers": CarrierRead,
    "pings": PingRead,
    "plans": TABLES["route_optimization_data"],
}

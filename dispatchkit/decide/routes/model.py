"""Parameters of routes, and the rows that its queries read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dispatchkit.domain.contract import Contract, contract_of
from dispatchkit.domain.rows import DriverId, Id, Instant, Lat, Lon, Ordinal, Slot, Vehicle
from dispatchkit.domain.states import DeliveryState
from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.kernel.geo import Point, point
from dispatchkit.routing.exact import MAX_TASKS
from dispatchkit.routing.problem import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """How stops are ordered. Costs are weighted seconds: a `*_weight` is the cost of one second of its kind."""

    late_weight: int = 10  # a second after the promised time, at the door
    finish_weight: int = 1  # a second until the driver is free again
    travel_weight: int = 1  # a second on the road
    pickup_service: timedelta = timedelta(minutes=2)
    dropoff_service: timedelta = timedelta(minutes=2)
    exact_up_to: int = 6  # deliveries
    solutions: int = 500  # OR-Tools stops after so many solutions
    # The order that the driver knows is kept unless a new one saves this much:
    min_gain: timedelta = timedelta(seconds=30)
    # An ETA that moves less, or a first stop that is less overdue, needs no new plan:
    eta_tolerance: timedelta = timedelta(minutes=2)

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
            raise BadConfig(f"solutions is {self.solutions}; OR-Tools must be allowed at least one")
        for name in ("pickup_service", "dropoff_service", "min_gain", "eta_tolerance"):
            if getattr(self, name) < timedelta(0):
                raise BadConfig(f"{name} is below zero")

    @property
    def weights(self) -> Weights:
        """Return the weights as an engine reads them."""
        return Weights(late=self.late_weight, finish=self.finish_weight, travel=self.travel_weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldDelivery:
    """An active delivery with its two places and its two times."""

    id: Id
    driver_id: DriverId
    state: DeliveryState
    version: Ordinal
    arrived_pickup_at: Instant | None
    picked_up_at: Instant | None
    ready_at: Instant | None
    promised_at: Instant | None
    pickup_lat: Lat | None
    pickup_lon: Lon | None
    dropoff_lat: Lat | None
    dropoff_lon: Lon | None

    @property
    def pickup(self) -> Point | None:
        """Return where the goods are picked up, if known."""
        return point(self.pickup_lat, self.pickup_lon)

    @property
    def dropoff(self) -> Point | None:
        """Return where the goods are delivered, if known."""
        return point(self.dropoff_lat, self.dropoff_lon)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """A driver who holds at least one active delivery."""

    id: Id
    vehicle: Vehicle
    max_stack: Slot


READS: dict[str, Contract] = {
    "held": contract_of(HeldDelivery),
    "carriers": contract_of(Carrier),
    "pings": TABLES["driver_locations"],
    "plans": TABLES["route_optimization_data"],
}

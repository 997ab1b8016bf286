"""The work of one driver as a routing problem: the stops left to make, where the driver starts, which stop is first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256

from dispatchkit.decide.routes.model import Carrier, HeldDelivery, Params
from dispatchkit.domain.rows import Ping
from dispatchkit.domain.states import CUSTODY, HOLDS_GOODS
from dispatchkit.kernel.canonical_json import canonical
from dispatchkit.kernel.clock import LATEST
from dispatchkit.kernel.geo import Point
from dispatchkit.routing.problem import Problem, Task, VehicleType
from dispatchkit.travel.interface import Travel

# States in which a stop is in motion. If several deliveries are, the first state listed decides.
_IN_MOTION = (
    "ARRIVED_DROPOFF",
    "ARRIVED_PICKUP",
    "EN_ROUTE_DROPOFF",
    "EN_ROUTE_PICKUP",
)
# Decimals of a degree, about 100 m: a driver who moved less counts as not moved.
_POSITION_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class PlannableStop:
    """A stop left to make, with a position."""

    delivery: HeldDelivery
    kind: str  # pickup, dropoff or return
    point: Point

    @property
    def key(self) -> tuple[int, str]:
        """Return (delivery, kind): what names a stop."""
        return self.delivery.id, self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverWork:
    """The work of one driver."""

    driver: Carrier
    held: tuple[HeldDelivery, ...]
    start: Point
    start_from: str  # what the start is: the last ping, or the best guess without one
    stops: tuple[PlannableStop, ...]  # to be put in order
    without_position: tuple[tuple[int, str, str], ...]  # (delivery, kind, reason) of the others

    @property
    def first(self) -> int | None:
        """Return the index of the stop in motion, if any: it stays the first of the plan.

        Of several, one where the driver has arrived comes before one under way, a drop-off
        before a pickup, a lower delivery id before a higher one.
        """
        states = [stop.delivery.state for stop in self.stops]
        return min(
            (i for i, state in enumerate(states) if state in _IN_MOTION),
            key=lambda i: (_IN_MOTION.index(states[i]), i),
            default=None,
        )

    def fingerprint(self, params: Params, travel_name: str, seed: int) -> str:
        """Return SHA-256 over everything that the plan depends on, except the clock."""
        inputs = [
            (
                self.driver.vehicle,
                self.driver.max_stack,
                self.start_from,
                [round(x, _POSITION_DECIMALS) for x in self.start],
            ),
            [(row.id, row.state, row.ready_at, row.promised_at) for row in self.held],
            [(*stop.key, *stop.point) for stop in self.stops],
            _as_text(params),
            travel_name,
            seed,
        ]
        return sha256(canonical(inputs).encode()).hexdigest()


@cache
def _as_text(params: Params) -> dict[str, str]:
    """Return each parameter as text; kept, since one run asks it for every driver."""
    return {name: str(value) for name, value in asdict(params).items()}


def work_of(held: Sequence[HeldDelivery], driver: Carrier, ping: Ping | None) -> DriverWork:
    """Return the work of a driver.

    Without a ping the driver starts at the merchant visited last. If none was visited, at the
    stop whose goods are ready first: that is where the driver is going, or should be.
    """
    stops: list[PlannableStop] = []
    without_position: list[tuple[int, str, str]] = []
    for delivery in held:
        plannable, others = _stops(delivery)
        stops += plannable
        without_position += others
    start, start_from = _start(held, stops, ping)
    return DriverWork(
        driver=driver,
        held=tuple(held),
        start=start,
        start_from=start_from,
        stops=tuple(stops),
        without_position=tuple(without_position),
    )


def problem_of(
    work: DriverWork, params: Params, now: datetime, travel: Travel
) -> tuple[Problem, list[list[int]]]:
    """Return the routing problem, in seconds from `now`, and the metres between its places.

    Place 0 is the start, place n the n-th stop.
    """
    points = [work.start, *(stop.point for stop in work.stops)]
    seconds, metres = (
        array.tolist() for array in travel.matrix(points, points, work.driver.vehicle, now)
    )
    pickups = {stop.delivery.id: i for i, stop in enumerate(work.stops) if stop.kind == "pickup"}
    tasks = tuple(_task(stop, i, pickups, params, now) for i, stop in enumerate(work.stops, 1))
    on_board = sum(row.state in HOLDS_GOODS for row in work.held)
    driver = VehicleType(
        id=work.driver.id, start=0, capacity=work.driver.max_stack, load=on_board, first=work.first
    )
    return Problem(tasks=tasks, vehicles=(driver,), time=seconds, weights=params.weights), metres


def _task(
    stop: PlannableStop, place: int, pickups: Mapping[int, int], params: Params, now: datetime
) -> Task:
    """Return the task of a stop: a pickup waits for the goods, a drop-off is due as promised."""
    delivery = stop.delivery
    if stop.kind == "pickup":
        return Task(
            job=delivery.id,
            kind="pickup",
            place=place,
            load=1,
            earliest=max(0, _seconds(now, delivery.ready_at) or 0),
            service=int(params.pickup_service.total_seconds()),
        )
    return Task(
        job=delivery.id,
        kind=stop.kind,
        place=place,
        load=-1,
        due=_seconds(now, delivery.promised_at) if stop.kind == "dropoff" else None,
        service=int(params.dropoff_service.total_seconds()),
        after=pickups.get(delivery.id),
    )


def _seconds(now: datetime, instant: datetime | None) -> int | None:
    """Return the seconds from `now` to an instant, rounded up."""
    return None if instant is None else math.ceil((instant - now).total_seconds())


def _stops(
    delivery: HeldDelivery,
) -> tuple[list[PlannableStop], list[tuple[int, str, str]]]:
    """Return the stops left of a delivery; if one has no position, none, and (delivery, kind, reason) of all."""
    if delivery.state == "RESCUE":
        return [], [(delivery.id, "dropoff", "waits for its handover to another driver")]
    if delivery.state == "RETURNING":
        points = {"return": delivery.pickup}
    elif delivery.state in CUSTODY:
        points = {"dropoff": delivery.dropoff}
    else:
        points = {"pickup": delivery.pickup, "dropoff": delivery.dropoff}
    stops = [
        PlannableStop(delivery, kind, point) for kind, point in points.items() if point is not None
    ]
    if len(stops) == len(points):
        return stops, []
    missing = "drop-off" if "dropoff" in points and delivery.dropoff is None else "merchant"
    return [], [(delivery.id, kind, f"the {missing} has no position") for kind in points]


def _start(
    held: Sequence[HeldDelivery], stops: Sequence[PlannableStop], ping: Ping | None
) -> tuple[Point, str]:
    """Return where the driver starts, and what this is based on."""
    if ping is not None:
        return (ping.lat, ping.lon), "ping"
    visits = [
        (visited_at, delivery.id, delivery.pickup)
        for delivery in held
        if (visited_at := delivery.picked_up_at or delivery.arrived_pickup_at) and delivery.pickup
    ]
    if visits:
        _, delivery_id, point = max(visits)
        return point, f"no recent ping; merchant last visited, delivery {delivery_id}"
    if not stops:
        return (0.0, 0.0), "no recent ping and no stop with a position"
    first = min(stops, key=lambda stop: stop.delivery.ready_at or LATEST)
    return first.point, f"no recent ping; first {first.kind}, delivery {first.delivery.id}"

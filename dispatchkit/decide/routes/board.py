"""What one driver has on hand, turned into a routing problem: stops still to make, where from, what comes first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256

from dispatchkit.decide.routes.model import Carrier, Held, Params, Ping
from dispatchkit.domain.states import CUSTODY, HOLDS_GOODS
from dispatchkit.kernel.canonical_json import canonical
from dispatchkit.kernel.clock import LATEST
from dispatchkit.kernel.geo import Point
from dispatchkit.routing.problem import Problem, Task, Vehicle
from dispatchkit.travel.interface import Travel

_IN_MOTION = (
    "ARRIVED_DROPOFF",
    "ARRIVED_PICKUP",
    "EN_ROUTE_DROPOFF",
    "EN_ROUTE_PICKUP",
)  # the first that occurs leads
_CELL = 3  # decimals of a degree, about 100 m: a driver who moved less has not moved


@dataclass(frozen=True, slots=True)
class Place:
    """A stop to make: a delivery, what is done there (pickup, dropoff, return), and where it is."""

    held: Held
    kind: str
    point: Point

    @property
    def key(self) -> tuple[int, str]:
        return self.held.id, self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The work of one driver: rows held, stops to order, and (delivery, kind, reason) of stops nobody can place.

    start_from says what the start is: the last ping, or the best guess without one.
    """

    driver: Carrier
    held: tuple[Held, ...]
    start: Point
    start_from: str
    places: tuple[Place, ...]
    unplaced: tuple[tuple[int, str, str], ...]

    @property
    def first(self) -> int | None:
        """Return the index of the stop in motion: arrived before under way, then drop-off before pickup, then by id."""
        states = [place.held.state for place in self.places]
        return min(
            (i for i, state in enumerate(states) if state in _IN_MOTION),
            key=lambda i: (_IN_MOTION.index(states[i]), i),
            default=None,
        )

    def fingerprint(self, params: Params, travel_name: str, seed: int) -> str:
        """Return SHA-256 over all that the plan depends on but the clock."""
        words = [
            (
                self.driver.vehicle,
                self.driver.max_stack,
                self.start_from,
                [round(x, _CELL) for x in self.start],
            ),
            [(row.id, row.state, row.ready_at, row.promised_at) for row in self.held],
            [(*place.key, *place.point) for place in self.places],
            _as_text(params),
            travel_name,
            seed,
        ]
        return sha256(canonical(words).encode()).hexdigest()


@cache
def _as_text(params: Params) -> dict[str, str]:
    """Return each parameter as text; kept, since one run asks it for every driver."""
    return {name: str(value) for name, value in asdict(params).items()}


def board(held: Sequence[Held], driver: Carrier, ping: Ping | None) -> Board:
    """Return what a driver has on hand.

    Without a ping the start is the merchant they last were at, else the first stop to make: that pickup is where they
    are going or should be.
    """
    places: list[Place] = []
    unplaced: list[tuple[int, str, str]] = []
    for row in held:
        placed, missing = _places(row)
        places += placed
        unplaced += missing
    start, start_from = _start(held, places, ping)
    return Board(
        driver=driver,
        held=tuple(held),
        start=start,
        start_from=start_from,
        places=tuple(places),
        unplaced=tuple(unplaced),
    )


def problem_of(
    work: Board, params: Params, now: datetime, travel: Travel
) -> tuple[Problem, list[list[int]]]:
    """Return the routing problem, in seconds from `now`, and the metres between its places (0 is the start)."""
    points = [work.start, *(place.point for place in work.places)]
    seconds, metres = (
        array.tolist() for array in travel.matrix(points, points, work.driver.vehicle, now)
    )
    pickups = {place.held.id: i for i, place in enumerate(work.places) if place.kind == "pickup"}
    tasks = tuple(_task(place, i, pickups, params, now) for i, place in enumerate(work.places, 1))
    on_board = sum(row.state in HOLDS_GOODS for row in work.held)
    driver = Vehicle(
        id=work.driver.id, start=0, capacity=work.driver.max_stack, load=on_board, first=work.first
    )
    return Problem(tasks=tasks, vehicles=(driver,), time=seconds, weights=params.weights), metres


def _task(place: Place, at: int, pickups: Mapping[int, int], params: Params, now: datetime) -> Task:
    row = place.held
    if place.kind == "pickup":
        service = int(params.pickup_service.total_seconds())
        ready = max(0, _seconds(now, row.ready_at) or 0)
        return Task(job=row.id, kind="pickup", place=at, load=1, earliest=ready, service=service)
    due = _seconds(now, row.promised_at) if place.kind == "dropoff" else None
    service = int(params.dropoff_service.total_seconds())
    return Task(
        job=row.id,
        kind=place.kind,
        place=at,
        load=-1,
        due=due,
        service=service,
        after=pickups.get(row.id),
    )


def _seconds(now: datetime, instant: datetime | None) -> int | None:
    return None if instant is None else math.ceil((instant - now).total_seconds())


def _places(row: Held) -> tuple[list[Place], list[tuple[int, str, str]]]:
    """Return the stops left of one delivery; or, where one of them has no position, all of them with the reason."""
    if row.state == "RESCUE":
        return [], [(row.id, "dropoff", "waits for its handover to another driver")]
    if row.state == "RETURNING":
        wanted = {"return": row.pickup}
    elif row.state in CUSTODY:
        wanted = {"dropoff": row.dropoff}
    else:
        wanted = {"pickup": row.pickup, "dropoff": row.dropoff}
    placed = [Place(row, kind, point) for kind, point in wanted.items() if point is not None]
    if len(placed) == len(wanted):
        return placed, []
    missing = "drop-off" if "dropoff" in wanted and row.dropoff is None else "merchant"
    return [], [(row.id, kind, f"the {missing} has no position") for kind in wanted]


def _start(held: Sequence[Held], places: Sequence[Place], ping: Ping | None) -> tuple[Point, str]:
    """Return where the driver starts, and what says so."""
    if ping is not None:
        return (ping.lat, ping.lon), "ping"
    visits = [(row.picked_up_at or row.arrived_pickup_at, row.id, row.pickup) for row in held]
    seen = [(at, id_, point) for at, id_, point in visits if at is not None and point is not None]
    if seen:
        _, id_, point = max(seen)
        return point, f"no recent ping; merchant last visited, delivery {id_}"
    if not places:
        return (0.0, 0.0), "no recent ping and no stop with a position"
    first = min(places, key=lambda place: place.held.ready_at or LATEST)
    return first.point, f"no recent ping; first {first.kind}, delivery {first.held.id}"

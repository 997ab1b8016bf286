"""What one driver has on hand, turned into a routing problem: stops still to make, where from, what comes first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from dispatchkit.decide.routes.model import Params
from dispatchkit.decide.routes.problem import Problem, Task, Vehicle
from dispatchkit.kernel.change import canonical
from dispatchkit.kernel.feature import Travel
from dispatchkit.kernel.states import CUSTODY

Row = Mapping[str, Any]
Point = tuple[float, float]
_IN_MOTION = ("ARRIVED_DROPOFF", "ARRIVED_PICKUP", "EN_ROUTE_DROPOFF", "EN_ROUTE_PICKUP")  # the first that occurs leads
_ON_BOARD = CUSTODY | {"RESCUE", "RETURNING"}
_CELL = 3  # decimals of a degree, about 100 m: a driver who moved less has not moved


@dataclass(frozen=True, slots=True)
class Place:
    """One stop to make, by delivery and kind (pickup, dropoff, return), and where it is."""

    row: Row
    kind: str
    point: Point

    @property
    def key(self) -> tuple[int, str]:
        return self.row["id"], self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The work of one driver: rows held, stops to order, and (delivery, kind, reason) of stops nobody can place.

    start_from says what the start is: the last ping, or the best guess without one.
    """

    driver_id: int
    vehicle: str
    room: int
    held: tuple[Row, ...]
    start: Point
    start_from: str
    stops: tuple[Place, ...]
    unplaced: tuple[tuple[int, str, str], ...]

    @property
    def first(self) -> int | None:
        """Return the index of the stop in motion: arrived before under way, then drop-off before pickup, then by id."""
        states = [stop.row["state"] for stop in self.stops]
        return min(
            (i for i, state in enumerate(states) if state in _IN_MOTION),
            key=lambda i: (_IN_MOTION.index(states[i]), i),
            default=None,
        )

    def fingerprint(self, params: Params, travel_name: str) -> str:
        """Return SHA-256 over all that the plan depends on but the clock: with nothing new, nothing is planned anew."""
        words = [
            (self.vehicle, self.room, self.start_from, [round(degree, _CELL) for degree in self.start]),
            [(r["id"], r["state"], r["ready_at"], r["promised_at"]) for r in self.held],
            [(*stop.key, *stop.point) for stop in self.stops],
            {key: str(value) for key, value in asdict(params).items()},
            travel_name,
        ]
        return sha256(canonical(words).encode()).hexdigest()


def board(held: Sequence[Row], carrier: Row, ping: Row | None) -> Board:
    """Return what a driver has on hand.

    Without a ping the start is the merchant they last were at, else the first stop to make: that pickup is where they
    are going or should be.
    """
    stops, unplaced = [], []
    for row in held:
        placed, missing = _stops(row)
        stops += placed
        unplaced += missing
    start, start_from = _start(held, stops, ping)
    return Board(
        driver_id=carrier["id"],
        vehicle=carrier["vehicle"],
        room=carrier["max_stack"],
        held=tuple(held),
        start=start,
        start_from=start_from,
        stops=tuple(stops),
        unplaced=tuple(unplaced),
    )


def problem_of(work: Board, params: Params, now: datetime, travel: Travel) -> tuple[Problem, list[list[int]]]:
    """Return the routing problem, in seconds from `now`, and the metres between its places (0 is the start)."""
    points = [stop.point for stop in work.stops]
    seconds, metres = travel.matrix([work.start, *points], [work.start, *points], work.vehicle)
    pickups = {stop.row["id"]: i for i, stop in enumerate(work.stops) if stop.kind == "pickup"}
    tasks = tuple(_task(stop, place, pickups, params, now) for place, stop in enumerate(work.stops, 1))
    on_board = sum(row["state"] in _ON_BOARD for row in work.held)
    driver = Vehicle(id=work.driver_id, start=0, capacity=work.room, load=on_board, first=work.first)
    return Problem(tasks=tasks, vehicles=(driver,), time=seconds, weights=params.weights), metres


def _task(stop: Place, place: int, pickups: Mapping[int, int], params: Params, now: datetime) -> Task:
    row, job = stop.row, stop.row["id"]
    if stop.kind == "pickup":
        service = int(params.pickup_service.total_seconds())
        ready = _after(now, row["ready_at"])
        return Task(job=job, kind="pickup", place=place, load=1, earliest=max(0, ready or 0), service=service)
    due = _after(now, row["promised_at"]) if stop.kind == "dropoff" else None
    service = int(params.dropoff_service.total_seconds())
    return Task(job=job, kind=stop.kind, place=place, load=-1, due=due, service=service, after=pickups.get(job))


def _after(now: datetime, instant: datetime | None) -> int | None:
    return None if instant is None else math.ceil((instant - now).total_seconds())


def _stops(row: Row) -> tuple[list[Place], list[tuple[int, str, str]]]:
    """Return the stops left of one delivery, and those that cannot be placed with the reason."""
    if row["state"] == "RESCUE":
        return [], [(row["id"], "dropoff", "waits for its handover to another driver")]
    merchant, door = _point(row, "pickup"), _point(row, "dropoff")
    if row["state"] == "RETURNING":
        wanted = {"return": merchant}
    elif row["state"] in CUSTODY:
        wanted = {"dropoff": door}
    else:
        wanted = {"pickup": merchant, "dropoff": door}
    placed = [Place(row, kind, point) for kind, point in wanted.items() if point is not None]
    if len(placed) == len(wanted):
        return placed, []
    missing = "drop-off" if door is None and "dropoff" in wanted else "merchant"
    return [], [(row["id"], kind, f"the {missing} has no position") for kind in wanted]


def _point(row: Row, kind: str) -> Point | None:
    lat, lon = row[f"{kind}_lat"], row[f"{kind}_lon"]
    return None if lat is None or lon is None else (lat, lon)


def _start(held: Sequence[Row], stops: Sequence[Place], ping: Row | None) -> tuple[Point, str]:
    """Return where the driver starts, and what says so."""
    if ping is not None:
        return (ping["lat"], ping["lon"]), "ping"
    visited = [(row["picked_up_at"] or row["arrived_pickup_at"], row["id"], _point(row, "pickup")) for row in held]
    seen = [(at, id_, point) for at, id_, point in visited if at is not None and point is not None]
    if seen:
        _, id_, point = max(seen)
        return point, f"no recent ping; merchant last visited, delivery {id_}"
    if not stops:
        return (0.0, 0.0), "no recent ping and no stop with a position"
    stop = min(stops, key=lambda s: (s.row["ready_at"] is None, s.row["ready_at"] or 0, s.row["id"]))
    return stop.point, f"no recent ping; first {stop.kind}, delivery {stop.row['id']}"

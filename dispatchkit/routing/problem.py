"""A routing problem in whole numbers (tasks, vehicles, travel times, weights), and its solution.

An engine turns a Problem into a Plan; `schedule` gives an order of tasks its times; `check` checks
any plan. Times are whole units (seconds for live work) from an origin that the caller chooses;
waiting is allowed anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNREACHABLE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One stop to make. A drop-off whose goods are already on board has no `after`.

    job: what it belongs to (a delivery). place: row and column of the matrix. load: added on board.
    earliest, latest: window for the start of service (hard). due: leaving later costs (soft).
    after: index of the pickup that the same vehicle must make first. only: index of the one vehicle
    that may make this stop.
    """

    job: int
    kind: str
    place: int
    load: int = 0
    earliest: int = 0
    latest: int | None = None
    due: int | None = None
    service: int = 0
    after: int | None = None
    only: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleType:
    """A vehicle: where (start) and when (at) it starts, its capacity, and what is on board (load).

    first: the task that must come first. end: the place to return to; None: the route may end
    anywhere. end_by: latest return (hard).
    """

    id: int
    start: int
    at: int = 0
    capacity: int
    load: int = 0
    first: int | None = None
    end: int | None = None
    end_by: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Cost of one unit of lateness, of finish time, of travel; and of using a vehicle."""

    late: int = 10
    finish: int = 1
    travel: int = 1
    vehicle: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Tasks, vehicles and travel times between places (-1: unreachable)."""

    tasks: tuple[Task, ...]
    vehicles: tuple[VehicleType, ...]
    time: Sequence[Sequence[int]]
    weights: Weights = Weights()


@dataclass(frozen=True, slots=True)
class Visit:
    """A task with its times: arriving, and leaving after waiting and service."""

    task: int
    arrive: int
    leave: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleRoute:
    """The visits of one vehicle (an index into `Problem.vehicles`), in order."""

    vehicle: int
    visits: tuple[Visit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A solution: routes, the jobs left out with the reason for each, and the engine.

    proven: nothing cheaper exists. reproducible: no wall clock stopped the search.
    """

    routes: tuple[VehicleRoute, ...]
    unplanned: tuple[tuple[int, str], ...]
    cost: int
    engine: str
    proven: bool = False
    reproducible: bool = True


def schedule(
    problem: Problem, vehicle: int, order: Sequence[int]
) -> tuple[tuple[Visit, ...], int] | None:
    """Return an order's visits at earliest times, and their cost; None if a hard limit breaks.

    Leaving as early as possible is never worse, as no cost falls with time.
    """
    car, weights = problem.vehicles[vehicle], problem.weights
    place, now, load, cost, visits = car.start, car.at, car.load, 0, []
    done: set[int] = set()
    if car.first is not None and (not order or order[0] != car.first):
        return None
    for index in order:
        task = problem.tasks[index]
        leg = problem.time[place][task.place]
        begin = max(now + leg, task.earliest)
        load += task.load
        if (
            leg < 0
            or (task.after is not None and task.after not in done)
            or task.only not in (None, vehicle)
        ):
            return None
        if load > max(car.capacity, car.load) or (task.latest is not None and begin > task.latest):
            return None
        visits.append(Visit(index, now + leg, begin + task.service))
        place, now = task.place, begin + task.service
        cost += weights.travel * leg + (
            0 if task.due is None else weights.late * max(0, now - task.due)
        )
        done.add(index)
    if order and car.end is not None:
        leg = problem.time[place][car.end]
        now, cost = now + leg, cost + weights.travel * leg
        if leg < 0 or (car.end_by is not None and now > car.end_by):
            return None
    fixed = weights.vehicle + weights.finish * (now - car.at) if order else 0
    return tuple(visits), cost + fixed


def as_plan(
    problem: Problem,
    orders: Sequence[Sequence[int]],
    *,
    engine: str,
    proven: bool = False,
    reproducible: bool = True,
) -> Plan:
    """Return the plan of one order of tasks per vehicle. Raises ValueError if a limit breaks."""
    routes: list[VehicleRoute] = []
    total = 0
    for vehicle, order in enumerate(orders):
        timed = schedule(problem, vehicle, order) if order else None
        if order and not timed:
            raise ValueError(
                f"{engine} gave vehicle {problem.vehicles[vehicle].id} an order that breaks a limit"
            )
        if timed:
            routes.append(VehicleRoute(vehicle=vehicle, visits=timed[0]))
            total += timed[1]
    return Plan(
        routes=tuple(routes),
        unplanned=(),
        cost=total,
        engine=engine,
        proven=proven,
        reproducible=reproducible,
    )

"""Checks any plan and names every violation; shares no code with the engines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dispatchkit.kernel.documented_enum import DocumentedEnum
from dispatchkit.routing.problem import Plan, Problem, VehicleRoute, Visit


class PlanFault(DocumentedEnum):
    """How a plan breaks the rules of its problem."""

    UNKNOWN = "UNKNOWN", "an unknown job, vehicle or node is named"
    VEHICLE_TWICE = "VEHICLE_TWICE", "a vehicle has two routes"
    STOP_TWICE = "STOP_TWICE", "a stop is made more than once"
    STOP_MISSING = "STOP_MISSING", "a stop of a planned job is not made"
    PLANNED_AND_LEFT_OUT = "PLANNED_AND_LEFT_OUT", "a job is planned and also listed as left out"
    COST_WRONG = "COST_WRONG", "the plan's cost is not that of its stops"
    FIGURE_WRONG = "FIGURE_WRONG", "a number that the plan states is not the computed one"
    WRONG_VEHICLE = "WRONG_VEHICLE", "a job is with a vehicle that may not do it"
    NOT_FIRST = "NOT_FIRST", "a stop in motion is not the first one"
    NOT_PICKED_UP = "NOT_PICKED_UP", "goods are dropped off that were not picked up before"
    OVERLOAD = "OVERLOAD", "the vehicle carries more than it can"
    TOO_FAST = "TOO_FAST", "less time between two stops than the trip takes"
    TOO_EARLY = "TOO_EARLY", "a stop begins before its window or ends before its service is done"
    TOO_LATE = "TOO_LATE", "a stop begins after its window"
    NO_WAY = "NO_WAY", "there is no path to the next stop"
    BACK_TOO_LATE = "BACK_TOO_LATE", "the vehicle is back after its end"


@dataclass(frozen=True, slots=True, order=True)
class PlanViolation:
    """One broken rule: its code, ids of vehicle and job (None: not about one), the numbers."""

    code: PlanFault
    vehicle: int | None
    job: int | None
    text: str


def violations(problem: Problem, plan: Plan, *, check_cost: bool = True) -> list[PlanViolation]:
    """Return every violation, first of the whole plan, then by route; none for a valid plan.

    check_cost: also compare `plan.cost` with the cost of the stated times.
    """
    broken = list(_whole(problem, plan))
    routes = [r for r in plan.routes if _known(problem, r)]
    for route in routes:
        broken += _first(problem, plan, route)
        broken += _goods(problem, route)
        broken += _times(problem, route)
    if (
        check_cost
        and not broken
        and (cost := sum(_cost(problem, route) for route in routes)) != plan.cost
    ):
        broken.append(
            PlanViolation(
                PlanFault.COST_WRONG,
                None,
                None,
                f"the plan says {plan.cost}, its stops cost {cost}",
            )
        )
    return broken


def timed(problem: Problem, vehicle: int, order: Sequence[int]) -> VehicleRoute:
    """Return the route of an order of tasks with earliest times, valid or not."""
    car = problem.vehicles[vehicle]
    place, now, visits = car.start, car.at, []
    for index in order:
        task = problem.tasks[index]
        arrive = now + max(0, problem.time[place][task.place])
        place, now = task.place, max(arrive, task.earliest) + task.service
        visits.append(Visit(index, arrive, now))
    return VehicleRoute(vehicle=vehicle, visits=tuple(visits))


def _known(problem: Problem, route: VehicleRoute) -> bool:
    return 0 <= route.vehicle < len(problem.vehicles) and all(
        0 <= v.task < len(problem.tasks) for v in route.visits
    )


def _whole(problem: Problem, plan: Plan) -> Iterator[PlanViolation]:
    """Yield stops and vehicles that are unknown, missing, planned twice, or also left out."""
    for route in plan.routes:
        if not _known(problem, route):
            yield PlanViolation(
                PlanFault.UNKNOWN,
                None,
                None,
                f"a route names vehicle {route.vehicle} or a stop that is not there",
            )
    for vehicle, times in sorted(Counter(route.vehicle for route in plan.routes).items()):
        if times > 1:
            yield PlanViolation(
                PlanFault.VEHICLE_TWICE,
                _vehicle_id(problem, vehicle),
                None,
                f"{times} routes for one vehicle",
            )
    visits = Counter(visit.task for route in plan.routes for visit in route.visits)
    left_out = {job for job, _ in plan.unplanned}
    for index, task in enumerate(problem.tasks):
        if visits[index] > 1:
            yield PlanViolation(
                PlanFault.STOP_TWICE, None, task.job, f"{task.kind} is made {visits[index]} times"
            )
        if visits[index] and task.job in left_out:
            yield PlanViolation(
                PlanFault.PLANNED_AND_LEFT_OUT,
                None,
                task.job,
                f"{task.kind} is made, yet the job is left out",
            )
        if not visits[index] and task.job not in left_out:
            yield PlanViolation(
                PlanFault.STOP_MISSING,
                None,
                task.job,
                f"{task.kind} is neither made nor left out with a reason",
            )


def _first(problem: Problem, plan: Plan, route: VehicleRoute) -> Iterator[PlanViolation]:
    car = problem.vehicles[route.vehicle]
    if car.first is None or not route.visits or route.visits[0].task == car.first:
        return
    task = problem.tasks[car.first]
    if task.job not in {job for job, _ in plan.unplanned}:
        yield PlanViolation(
            PlanFault.NOT_FIRST,
            car.id,
            task.job,
            f"{task.kind} is in motion but not the first stop",
        )


def _goods(problem: Problem, route: VehicleRoute) -> Iterator[PlanViolation]:
    """Yield drop-offs without an earlier pickup, stops of another vehicle's goods, overloads."""
    car = problem.vehicles[route.vehicle]
    load, seen = car.load, set()
    for visit in route.visits:
        task = problem.tasks[visit.task]
        load += task.load
        if task.after is not None and task.after not in seen:
            yield PlanViolation(
                PlanFault.NOT_PICKED_UP,
                car.id,
                task.job,
                f"{task.kind} without its pickup before it in this route",
            )
        if task.only is not None and task.only != route.vehicle:
            yield PlanViolation(
                PlanFault.WRONG_VEHICLE,
                car.id,
                task.job,
                f"{task.kind} belongs to {_vehicle_id(problem, task.only)}",
            )
        if load > max(car.capacity, car.load):
            yield PlanViolation(
                PlanFault.OVERLOAD,
                car.id,
                task.job,
                f"{load} on board, room for {max(car.capacity, car.load)}",
            )
        seen.add(visit.task)


def _times(problem: Problem, route: VehicleRoute) -> Iterator[PlanViolation]:
    """Yield impossible or too fast legs, service too early or cut short, and late arrivals."""
    car = problem.vehicles[route.vehicle]
    place, now = car.start, car.at
    for visit in route.visits:
        task = problem.tasks[visit.task]
        leg = problem.time[place][task.place]
        begin = visit.leave - task.service
        if leg < 0:
            yield PlanViolation(
                PlanFault.NO_WAY, car.id, task.job, f"no way leads to the {task.kind}"
            )
        elif visit.arrive < now + leg:
            yield PlanViolation(
                PlanFault.TOO_FAST,
                car.id,
                task.job,
                f"{task.kind} is reached {now + leg - visit.arrive} too soon",
            )
        if begin < max(visit.arrive, task.earliest):
            early = max(visit.arrive, task.earliest) - begin
            yield PlanViolation(
                PlanFault.TOO_EARLY,
                car.id,
                task.job,
                f"{task.kind} begins or ends {early} too soon",
            )
        if task.latest is not None and begin > task.latest:
            yield PlanViolation(
                PlanFault.TOO_LATE,
                car.id,
                task.job,
                f"{task.kind} begins {begin - task.latest} after its window",
            )
        place, now = task.place, visit.leave
    if not route.visits or car.end is None:
        return
    home = problem.time[place][car.end]
    if home < 0:
        yield PlanViolation(PlanFault.NO_WAY, car.id, None, "no way leads back")
    elif car.end_by is not None and now + home > car.end_by:
        yield PlanViolation(
            PlanFault.BACK_TOO_LATE, car.id, None, f"back {now + home - car.end_by} after the end"
        )


def _cost(problem: Problem, route: VehicleRoute) -> int:
    """Return what the stated times of a valid route cost."""
    if not route.visits:
        return 0
    car, weights = problem.vehicles[route.vehicle], problem.weights
    tasks = [problem.tasks[visit.task] for visit in route.visits]
    stations = [car.start, *(task.place for task in tasks), *([] if car.end is None else [car.end])]
    legs = [problem.time[a][b] for a, b in pairwise(stations)]
    late = sum(
        max(0, v.leave - t.due)
        for v, t in zip(route.visits, tasks, strict=True)
        if t.due is not None
    )
    finish = route.visits[-1].leave + (legs[-1] if car.end is not None else 0)
    return (
        weights.vehicle
        + weights.travel * sum(legs)
        + weights.late * late
        + weights.finish * (finish - car.at)
    )


def _vehicle_id(problem: Problem, vehicle: int) -> int:
    return problem.vehicles[vehicle].id if 0 <= vehicle < len(problem.vehicles) else vehicle

"""Cheapest insertion, one job at a time: fast, and always a plan, with a reason for jobs left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dispatchkit.routing.problem import Plan, Problem, VehicleRoute, schedule


def insert_all(problem: Problem) -> Plan:
    """Return a plan with each job where it costs least; jobs that fit nowhere have a reason.

    Order of jobs: the one in motion, goods on board, due time, id. Ties: by vehicle and position.
    """
    jobs = tasks_by_job(problem)
    orders: list[tuple[int, ...]] = [() for _ in problem.vehicles]
    costs = [0] * len(orders)
    unplanned = []
    for job in sorted(jobs, key=lambda job: _urgency(problem, jobs[job])):
        best = min(_places(problem, jobs[job], orders, costs), default=None)
        if best is None:
            problem, reason = _without_first(problem, jobs[job]), why_not(problem, jobs[job])
            unplanned.append((job, reason))
            continue
        _, vehicle, cost, order = best
        orders[vehicle], costs[vehicle] = order, cost
    routes = tuple(
        VehicleRoute(vehicle=v, visits=timed[0])
        for v, order in enumerate(orders)
        if order and (timed := schedule(problem, v, order))
    )
    return Plan(
        routes=routes, unplanned=tuple(sorted(unplanned)), cost=sum(costs), engine="insertion"
    )


def tasks_by_job(problem: Problem) -> dict[int, tuple[int, ...]]:
    """Return the tasks of each job, the pickup before its drop-off; jobs by id."""
    jobs: dict[int, list[int]] = {}
    for index, task in enumerate(problem.tasks):
        jobs.setdefault(task.job, []).append(index)
    return {
        job: tuple(sorted(jobs[job], key=lambda i: problem.tasks[i].after is not None))
        for job in sorted(jobs)
    }


def why_not(problem: Problem, tasks: tuple[int, ...]) -> str:
    """Return why a job is in no route: the limit that it breaks even alone, or the other jobs."""
    without_windows = replace(
        problem, tasks=tuple(replace(t, latest=None, due=None) for t in problem.tasks)
    )
    without_capacity = replace(
        without_windows,
        vehicles=tuple(
            replace(v, capacity=sum(abs(t.load) for t in without_windows.tasks))
            for v in without_windows.vehicles
        ),
    )
    without_end = replace(
        without_windows, vehicles=tuple(replace(v, end_by=None) for v in without_windows.vehicles)
    )
    for looser, reason in (
        (problem, "does not fit beside the other jobs"),
        (without_windows, "its time window cannot be kept"),
        (without_end, "the shift ends too early"),
        (without_capacity, "there is no room on board"),
    ):
        cars = [replace(v, first=None, load=v.load) for v in looser.vehicles]
        alone = replace(looser, vehicles=tuple(cars))
        if any(schedule(alone, v, tasks) for v in range(len(cars))):
            return reason
    return "there is no way to or between its stops"


def _urgency(problem: Problem, tasks: tuple[int, ...]) -> tuple[bool, bool, float, int]:
    in_motion = any(v.first in tasks for v in problem.vehicles)
    last = problem.tasks[tasks[-1]]
    due = last.due if last.due is not None else last.latest
    return not in_motion, len(tasks) > 1, float("inf") if due is None else due, last.job


def _places(
    problem: Problem, tasks: tuple[int, ...], orders: list[tuple[int, ...]], costs: list[int]
) -> Iterator[tuple[int, int, int, tuple[int, ...]]]:
    """Yield (added cost, vehicle, route's cost, its order) for every position of a job."""
    seen_empty: set[tuple[object, ...]] = set()
    for vehicle, order in enumerate(orders):
        if not order:  # empty vehicles that are alike need one try
            car = problem.vehicles[vehicle]
            alike = (car.start, car.at, car.capacity, car.load, car.first, car.end, car.end_by)
            if alike in seen_empty:
                continue
            seen_empty.add(alike)
        for candidate in _insertions(order, tasks):
            timed = schedule(problem, vehicle, candidate)
            if timed:
                yield timed[1] - costs[vehicle], vehicle, timed[1], candidate


def _insertions(order: tuple[int, ...], tasks: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for i in range(len(order) + 1):
        prefix = (*order[:i], tasks[0])
        if len(tasks) == 1:
            yield (*prefix, *order[i:])
            continue
        for j in range(i, len(order) + 1):
            yield (*prefix, *order[i:j], tasks[1], *order[j:])


def _without_first(problem: Problem, tasks: tuple[int, ...]) -> Problem:
    """Return the problem without vehicles that must begin with one of these tasks."""
    cars = tuple(replace(v, first=None) if v.first in tasks else v for v in problem.vehicles)
    return replace(problem, vehicles=cars)

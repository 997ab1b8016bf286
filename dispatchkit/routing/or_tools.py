"""Larger problems, solved by OR-Tools: any number of vehicles, all limits of a Problem.

The only file that imports OR-Tools. A solution limit and not the clock ends the search, so equal
input gives equal output (guided local search would always use all its time). Transit times are
matrices, because Python callbacks are slow.
"""

from __future__ import annotations

from typing import Any

from ortools.constraint_solver import pywrapcp, routing_enums_pb2

from dispatchkit.routing.problem import Plan, Problem, as_plan

# Per allowed solution: a search with nothing left to find never reaches its solution limit.
FAILURES = 50
LNS_S = 3600  # the default, a tenth of a second by the clock, would make results differ


def solve(problem: Problem, *, solutions: int, seconds: float | None, seed: int) -> Plan | None:
    """Return a plan of all jobs, or None if OR-Tools finds none."""
    orders = search(problem, solutions=solutions, seconds=seconds, seed=seed)
    if orders is None:
        return None
    return as_plan(problem, orders, engine="ortools", reproducible=seconds is None)


def search(
    problem: Problem, *, solutions: int, seconds: float | None, seed: int
) -> list[tuple[int, ...]] | None:
    """Return an order of tasks per vehicle, all tasks in it, or None if OR-Tools finds none."""
    n, cars = len(problem.tasks), problem.vehicles
    starts = [n + 2 * v for v in range(len(cars))]
    manager = pywrapcp.RoutingIndexManager(
        n + 2 * len(cars), len(cars), starts, [s + 1 for s in starts]
    )
    routing = pywrapcp.RoutingModel(manager)
    try:
        _times_and_costs(problem, routing)
        _pairs(problem, routing)
        _loads(problem, routing)
    except Exception as fault:  # OR-Tools raises nothing narrower when two limits leave no value
        if "CP Solver fail" not in str(fault):
            raise
        return None
    assignment = routing.SolveWithParameters(_parameters(solutions, seconds, routing, seed))
    if assignment is None:
        return None
    orders = []
    for v in range(len(cars)):
        order, index = [], assignment.Value(routing.NextVar(routing.Start(v)))
        while not routing.IsEnd(index):
            order.append(manager.IndexToNode(index))
            index = assignment.Value(routing.NextVar(index))
        orders.append(tuple(order))
    return orders


def _legs(problem: Problem, *, service: bool, horizon: int) -> list[list[int]]:
    """Return travel between solver nodes: tasks, then each vehicle's start and end.

    An unreachable leg takes longer than the horizon.
    """
    places: list[int | None] = [task.place for task in problem.tasks]
    waits = [task.service if service else 0 for task in problem.tasks]
    for car in problem.vehicles:
        places += [car.start, car.end]
        waits += [0, 0]

    def leg(a: int | None, b: int | None) -> int:
        if a is None or b is None:
            return 0  # a route without an end place stops where it is
        return horizon + 1 if problem.time[a][b] < 0 else problem.time[a][b]

    return [[leg(a, b) + wait for b in places] for a, wait in zip(places, waits, strict=True)]


def _horizon(problem: Problem) -> int:
    """Return a time by which every sensible plan is over."""
    longest = max((max(row) for row in problem.time), default=0)
    last = max([0, *(t.earliest for t in problem.tasks), *(v.at for v in problem.vehicles)])
    return last + sum(longest + t.service for t in problem.tasks) + longest + 1


def _times_and_costs(problem: Problem, routing: Any) -> None:
    horizon, weights = _horizon(problem), problem.weights
    travel = _legs(problem, service=False, horizon=horizon)
    cost = routing.RegisterTransitMatrix([[weights.travel * leg for leg in row] for row in travel])
    routing.SetArcCostEvaluatorOfAllVehicles(cost)
    routing.SetFixedCostOfAllVehicles(weights.vehicle)
    transit = routing.RegisterTransitMatrix(_legs(problem, service=True, horizon=horizon))
    routing.AddDimension(transit, horizon, horizon, False, "time")
    time = routing.GetDimensionOrDie("time")
    time.SetSpanCostCoefficientForAllVehicles(weights.finish)
    for index, task in enumerate(problem.tasks):
        time.CumulVar(index).SetRange(
            task.earliest, horizon if task.latest is None else min(task.latest, horizon)
        )
        if task.due is not None:
            due = task.due - task.service  # the solver's time of a stop is when service begins
            time.SetCumulVarSoftUpperBound(index, max(0, due), weights.late)
    for v, car in enumerate(problem.vehicles):
        time.CumulVar(routing.Start(v)).SetValue(car.at)
        if car.end_by is not None:
            time.CumulVar(routing.End(v)).SetMax(car.end_by)
        routing.AddVariableMinimizedByFinalizer(time.CumulVar(routing.End(v)))


def _pairs(problem: Problem, routing: Any) -> None:
    solver, time = routing.solver(), routing.GetDimensionOrDie("time")
    for index, task in enumerate(problem.tasks):
        if task.after is not None:
            routing.AddPickupAndDelivery(task.after, index)
            solver.Add(routing.VehicleVar(task.after) == routing.VehicleVar(index))
            solver.Add(time.CumulVar(task.after) <= time.CumulVar(index))
        if task.only is not None:
            routing.VehicleVar(index).SetValue(task.only)
    for v, car in enumerate(problem.vehicles):
        if car.first is not None:
            routing.NextVar(routing.Start(v)).SetValue(car.first)


def _loads(problem: Problem, routing: Any) -> None:
    loads = [task.load for task in problem.tasks] + [0] * (2 * len(problem.vehicles))
    room = [max(car.capacity, car.load) for car in problem.vehicles]
    routing.AddDimensionWithVehicleCapacity(
        routing.RegisterUnaryTransitVector(loads), 0, room, False, "load"
    )
    load = routing.GetDimensionOrDie("load")
    for v, car in enumerate(problem.vehicles):
        load.CumulVar(routing.Start(v)).SetValue(car.load)


def _parameters(solutions: int, seconds: float | None, routing: Any, seed: int) -> Any:
    routing.solver().ReSeed(seed)
    parameters = pywrapcp.DefaultRoutingSearchParameters()
    parameters.first_solution_strategy = (
        routing_enums_pb2.FirstSolutionStrategy.PARALLEL_CHEAPEST_INSERTION
    )
    parameters.local_search_metaheuristic = (
        routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    )
    parameters.lns_time_limit.FromSeconds(LNS_S)
    if seconds is None:
        parameters.solution_limit = solutions
        routing.AddSearchMonitor(routing.solver().FailuresLimit(FAILURES * solutions))
    else:
        parameters.time_limit.FromMilliseconds(int(1000 * seconds))
    return parameters

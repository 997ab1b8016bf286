"""Which engine answers: the exact one for a small single route, OR-Tools above it, insertion if neither can."""

from __future__ import annotations

from collections.abc import Sequence

from dispatchkit.kernel.errors import Usage
from dispatchkit.routing.exact import best_order
from dispatchkit.routing.insertion import insert_all
from dispatchkit.routing.problem import Plan, Problem, Route, schedule

ENGINES = ("auto", "exact", "ortools")


def answer(
    problem: Problem,
    *,
    engine: str = "auto",
    exact_up_to: int = 6,
    solutions: int = 500,
    seconds: float | None = None,
    seed: int = 0,
) -> Plan:
    """Return a plan of every job, or of all that fit, with the reason for each one left out.

    engine: one of ENGINES; auto means exact for one vehicle with at most `exact_up_to` jobs, else OR-Tools.
    solutions bounds the work of OR-Tools; `seconds` bounds its time as well and makes the result unrepeatable.
    Raises Usage for an unknown engine, or exact asked of more than it takes.
    """
    if engine not in ENGINES:
        raise Usage(f"{engine!r} is no engine; choose one of {', '.join(ENGINES)}")
    small = len(problem.vehicles) == 1 and len({task.job for task in problem.tasks}) <= exact_up_to
    if engine == "exact" and not small:
        raise Usage(
            f"the exact engine takes one vehicle and at most {exact_up_to} jobs; choose --engine ortools"
        )
    if not problem.tasks:
        return Plan(routes=(), unplanned=(), cost=0, engine="exact", proven=True)
    if engine == "exact" or (engine == "auto" and small):
        order = best_order(problem)
        return (
            insert_all(problem)
            if order is None
            else as_plan(problem, [order], engine="exact", proven=True)
        )
    from dispatchkit.routing.or_tools import search  # loads OR-Tools only where it is needed

    orders = search(problem, solutions=solutions, seconds=seconds, seed=seed)
    if orders is None:
        return insert_all(problem)
    return as_plan(problem, orders, engine="ortools", reproducible=seconds is None)


def as_plan(
    problem: Problem,
    orders: Sequence[Sequence[int]],
    *,
    engine: str,
    proven: bool = False,
    reproducible: bool = True,
) -> Plan:
    """Return the plan of one order of tasks per vehicle, all jobs planned. Raises ValueError if a limit breaks."""
    routes, total = [], 0
    for vehicle, order in enumerate(orders):
        found = schedule(problem, vehicle, order) if order else None
        if order and not found:
            raise ValueError(
                f"{engine} gave vehicle {problem.vehicles[vehicle].id} an order that breaks a limit"
            )
        if found:
            routes.append(Route(vehicle=vehicle, visits=found[0]))
            total += found[1]
    return Plan(
        routes=tuple(routes),
        unplanned=(),
        cost=total,
        engine=engine,
        proven=proven,
        reproducible=reproducible,
    )

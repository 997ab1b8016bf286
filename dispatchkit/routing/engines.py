"""Engines by name. To add one: a file with a `solve` like the others and a line in ENGINES."""

from __future__ import annotations

from importlib import import_module

from dispatchkit.kernel.errors import Usage
from dispatchkit.routing.insertion import insert_all
from dispatchkit.routing.problem import Plan, Problem

ENGINES = {  # name -> module, imported on first use: OR-Tools is slow to import
    "exact": "dispatchkit.routing.exact",
    "ortools": "dispatchkit.routing.or_tools",
}


def answer(
    problem: Problem,
    *,
    engine: str = "auto",
    exact_up_to: int = 6,
    solutions: int = 500,
    seconds: float | None = None,
    seed: int = 0,
) -> Plan:
    """Return a plan of every job, or of those that fit with a reason for each other job.

    engine: a name of ENGINES, or auto: exact for one vehicle with at most `exact_up_to` jobs, else
    OR-Tools. solutions: limits the work of OR-Tools. seconds: limits its time too; the plan is then
    not reproducible.
    Raises Usage for an unknown engine, or for the exact engine with a larger problem.
    """
    names = ("auto", *ENGINES)
    if engine not in names:
        raise Usage(f"{engine!r} is no engine; choose one of {', '.join(names)}")
    small = len(problem.vehicles) == 1 and len({task.job for task in problem.tasks}) <= exact_up_to
    if engine == "exact" and not small:
        raise Usage(
            f"the exact engine takes one vehicle and at most {exact_up_to} jobs; "
            "choose --engine ortools"
        )
    if not problem.tasks:
        return Plan(routes=(), unplanned=(), cost=0, engine="exact", proven=True)

    if engine == "auto":
        engine = "exact" if small else "ortools"
    module = import_module(ENGINES[engine])
    plan: Plan | None = module.solve(problem, solutions=solutions, seconds=seconds, seed=seed)
    return plan or insert_all(problem)

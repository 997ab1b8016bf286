"""The engines against the slow way, against each other, and against the checker."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings

from dispatchkit.kernel.errors import Usage
from dispatchkit.kernel.stable_random import uniform
from dispatchkit.routing.check import violations
from dispatchkit.routing.engines import answer
from dispatchkit.routing.exact import best_order
from dispatchkit.routing.insertion import insert_all
from dispatchkit.routing.or_tools import search
from dispatchkit.routing.problem import Problem, Task, VehicleType, Weights, schedule
from tests.unit.routing.problems import least_cost, problems

LINE = [[abs(a - b) for b in (0, 10, 20, 30, 40)] for a in (0, 10, 20, 30, 40)]


@given(problems())
@settings(max_examples=150, deadline=None)
def test_exact_finds_cheapest_order(problem: Problem) -> None:
    order = best_order(problem)
    found = schedule(problem, 0, order) if order else None
    assert (found[1] if found else None) == least_cost(problem)


@given(problems(jobs=4))
@settings(max_examples=100, deadline=None)
def test_plans_pass_checker_with_reasons(problem: Problem) -> None:
    for plan in (answer(problem), insert_all(problem)):
        assert violations(problem, plan) == []
        assert all(reason for _, reason in plan.unplanned)


@given(problems(jobs=4, hard=False))
@settings(max_examples=100, deadline=None)
def test_no_engine_beats_exact(problem: Problem) -> None:
    best = answer(problem, engine="exact")
    assert best.proven
    assert insert_all(problem).cost >= best.cost


@given(problems(jobs=4, hard=True, vehicles=2))
@settings(max_examples=40, deadline=None)
def test_ortools_plans_break_no_rule(problem: Problem) -> None:
    assert violations(problem, answer(problem, engine="ortools", solutions=5)) == []


@given(problems(jobs=4, hard=False))
@settings(max_examples=15, deadline=None)
def test_ortools_never_beats_exact(problem: Problem) -> None:
    plan = answer(problem, engine="ortools", solutions=20)
    assert violations(problem, plan) == []
    assert plan.cost >= answer(problem, engine="exact").cost


@given(problems(jobs=4, hard=False, vehicles=3))
@settings(max_examples=15, deadline=None)
def test_several_vehicles_plan_every_job(
    problem: Problem,
) -> None:
    plan = answer(problem, solutions=20)
    assert violations(problem, plan) == []
    assert plan.unplanned == ()


def eight_jobs() -> Problem:
    pairs = [
        Task(
            job=j,
            kind=kind,
            place=(3 * j + step) % 5,
            load=1 - 2 * step,
            after=2 * j if step else None,
            due=40 if step else None,
        )
        for j in range(8)
        for step, kind in enumerate(("pickup", "dropoff"))
    ]
    return Problem(
        tasks=tuple(pairs), vehicles=(VehicleType(id=1, start=0, capacity=3),), time=LINE
    )


@pytest.mark.parametrize(
    "weights",
    [
        Weights(late=1, finish=0, travel=0),
        Weights(late=0, travel=0),
        Weights(late=0, finish=0),
        Weights(),
    ],
)
def test_ortools_finds_proven_optimum(weights: Weights) -> None:
    chance = [uniform(5, "routing", i) for i in range(40)]
    spots = [(int(1000 * x), int(1000 * y)) for x, y in pairwise(chance[:10])]
    time = [[abs(a[0] - b[0]) + abs(a[1] - b[1]) for b in spots] for a in spots]
    tasks = []
    for job in range(4):
        ready, due = int(1500 * chance[20 + job]), int(3000 * chance[30 + job])
        tasks.append(Task(job=job, kind="pickup", place=2 * job + 1, load=1, earliest=ready))
        tasks.append(
            Task(job=job, kind="dropoff", place=2 * job + 2, load=-1, due=due, after=2 * job)
        )
    cars = (VehicleType(id=1, start=0, capacity=2),)
    problem = Problem(tasks=tuple(tasks), vehicles=cars, time=time, weights=weights)
    assert (
        answer(problem, engine="ortools", solutions=150).cost
        == answer(problem, engine="exact").cost
    )


def test_ortools_is_reproducible() -> None:
    first, second = (search(eight_jobs(), solutions=50, seconds=None, seed=3) for _ in range(2))
    assert first == second


def test_larger_problems_go_to_ortools() -> None:
    plan = answer(eight_jobs(), solutions=10)
    assert (plan.engine, plan.proven, violations(eight_jobs(), plan)) == ("ortools", False, [])


def test_small_plans_do_not_load_ortools() -> None:
    small = replace(eight_jobs(), tasks=eight_jobs().tasks[:4])
    sys.modules.pop("dispatchkit.routing.or_tools", None)
    answer(small)
    assert "dispatchkit.routing.or_tools" not in sys.modules


@pytest.mark.parametrize(
    ("engine", "says"),
    [("exact", "at most 6 jobs"), ("magic", "'magic' is no engine; choose one of auto, exact")],
)
def test_unfit_engine_is_refused(engine: str, says: str) -> None:
    with pytest.raises(Usage, match=says):
        answer(eight_jobs(), engine=engine)


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        (Task(job=2, kind="pickup", place=2, latest=5), "its time window cannot be kept"),
        (Task(job=2, kind="pickup", place=2, load=4), "there is no room on board"),
        (Task(job=2, kind="pickup", place=5), "there is no way to or between its stops"),
        (Task(job=2, kind="pickup", place=2, load=3), "does not fit beside the other jobs"),
    ],
)
def test_unplanned_job_states_its_reason(odd: Task, says: str) -> None:
    time = [[*row, -1] for row in LINE] + [[-1] * 5 + [0]]
    fine = Task(job=1, kind="pickup", place=1, load=1)
    problem = Problem(
        tasks=(fine, odd), vehicles=(VehicleType(id=1, start=0, capacity=3),), time=time
    )
    plan = answer(problem)
    assert plan.unplanned == ((2, says),)
    assert violations(problem, plan) == []


def test_exhausted_search_ends() -> None:
    pair = eight_jobs().tasks[:2]
    one = replace(
        eight_jobs(), tasks=pair
    )  # guided local search would look for a second solution for ever
    assert search(one, solutions=10, seconds=None, seed=0) == [(0, 1)]


@pytest.mark.parametrize(
    "car", [{"at": 100, "end": 0, "end_by": 50}, {"first": 1}, {"capacity": 0}]
)
@pytest.mark.parametrize("window", [(0, None), (50, 20), (0, -5)])
def test_contradicting_limits_leave_job_out(car: dict[str, int], window: tuple[int, int]) -> None:
    whole = eight_jobs()
    pickup = replace(whole.tasks[0], earliest=window[0], latest=window[1])
    stuck = replace(
        whole, tasks=(pickup, whole.tasks[1]), vehicles=(replace(whole.vehicles[0], **car),)
    )
    assert [job for job, _ in answer(stuck, engine="ortools", solutions=5).unplanned] == [0]

"""Each rule of the checker is broken once and found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dispatchkit.routing.check import timed, violations
from dispatchkit.routing.problem import Plan, Problem, Task, VehicleRoute, VehicleType, Visit

#                       place 0 is the start, 10 apart along a line
TIME = [[10 * abs(a - b) for b in range(6)] for a in range(6)]
TASKS = (
    Task(job=1, kind="pickup", place=1, load=1, earliest=15, service=2),
    Task(job=1, kind="dropoff", place=3, load=-1, due=30, latest=60, service=2, after=0),
    Task(job=2, kind="dropoff", place=2, load=-1, service=2, only=0),
)
CARS = (
    VehicleType(id=70, start=0, capacity=2, load=1, first=0, end=0, end_by=90),
    VehicleType(id=80, start=5, capacity=1),
)
PROBLEM = Problem(tasks=TASKS, vehicles=CARS, time=TIME)
GOOD = (Visit(0, 10, 17), Visit(2, 27, 29), Visit(1, 39, 41))  # leg cost 60, 11 late, finish 71
Edit = Callable[[Plan], Plan]


def plan(
    *visits: Visit,
    cost: int = 60 + 110 + 71,
    vehicle: int = 0,
    unplanned: tuple[tuple[int, str], ...] = (),
) -> Plan:
    route = VehicleRoute(vehicle=vehicle, visits=visits or GOOD)
    return Plan(routes=(route,), unplanned=unplanned, cost=cost, engine="test")


def found(wrong: Plan, problem: Problem = PROBLEM) -> list[tuple[str, int | None, int | None]]:
    return [(v.code, v.vehicle, v.job) for v in violations(problem, wrong)]


def test_valid_plan_has_no_violation() -> None:
    assert found(plan()) == []


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (plan(cost=240), ("COST_WRONG", None, None)),
        (plan(vehicle=9), ("UNKNOWN", None, None)),
        (plan(GOOD[0], GOOD[1]), ("STOP_MISSING", None, 1)),
        (plan(*GOOD, Visit(1, 41, 43)), ("STOP_TWICE", None, 1)),
        (plan(unplanned=((2, "said so"),)), ("PLANNED_AND_LEFT_OUT", None, 2)),
        (plan(GOOD[0], Visit(2, 26, 29), GOOD[2]), ("TOO_FAST", 70, 2)),
        (plan(Visit(0, 10, 16), *GOOD[1:]), ("TOO_EARLY", 70, 1)),
        (plan(*GOOD[:2], Visit(1, 39, 63)), ("TOO_LATE", 70, 1)),
        (plan(*GOOD[:2], Visit(1, 39, 61)), ("BACK_TOO_LATE", 70, None)),
        (plan(Visit(2, 20, 22), Visit(0, 32, 34), Visit(1, 54, 56)), ("NOT_FIRST", 70, 1)),
        (plan(Visit(1, 30, 32), Visit(0, 52, 54), Visit(2, 64, 66)), ("NOT_PICKED_UP", 70, 1)),
    ],
)
def test_each_fault_is_named(wrong: Plan, expected: tuple[str, int | None, int | None]) -> None:
    assert expected in found(wrong)


def test_goods_on_board_stay_with_their_vehicle() -> None:
    routes = (
        VehicleRoute(vehicle=0, visits=(GOOD[0], Visit(1, 37, 39))),
        VehicleRoute(vehicle=1, visits=(Visit(2, 30, 32),)),
    )
    assert found(Plan(routes=routes, unplanned=(), cost=0, engine="test")) == [
        ("WRONG_VEHICLE", 80, 2)
    ]


def test_two_routes_of_vehicle_are_violation() -> None:
    halves = (VehicleRoute(vehicle=0, visits=GOOD[:1]), VehicleRoute(vehicle=0, visits=GOOD[1:]))
    assert ("VEHICLE_TWICE", 70, None) in found(
        Plan(routes=halves, unplanned=(), cost=0, engine="test")
    )


def test_overload_is_violation() -> None:
    small = replace(PROBLEM, vehicles=(replace(CARS[0], capacity=1), CARS[1]))
    assert found(plan(), small) == [("OVERLOAD", 70, 1)]


def test_missing_leg_is_violation() -> None:
    cut = replace(
        PROBLEM, time=[[-1 if (a, b) == (1, 2) else TIME[a][b] for b in range(6)] for a in range(6)]
    )
    assert found(plan(), cut) == [("NO_WAY", 70, 2)]


def test_timed_gives_earliest_times() -> None:
    assert timed(PROBLEM, 0, [0, 2, 1]).visits == GOOD


def test_violation_states_amount() -> None:
    late = violations(PROBLEM, plan(*GOOD[:2], Visit(1, 39, 63)))
    assert "dropoff begins 1 after its window" in [v.text for v in late]

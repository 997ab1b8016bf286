"""What a sweep of routes decides for drivers in everyday situations."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatchkit.decide.routes import policy
from dispatchkit.decide.routes.model import Params
from dispatchkit.decide.routes.policy import FEATURE, decide
from dispatchkit.domain.changes import Change
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.routing.engines import answer
from dispatchkit.routing.problem import Plan, Problem
from dispatchkit.travel.interface import Points, Times
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import (
    NOW,
    Row,
    Rows,
    Tables,
    a_delivery,
    a_driver,
    a_ping,
    at_place,
    minutes,
    tables,
)
from tests.unit.decide.corridor import apply, gather

METRES_A_MINUTE = 300
BIKES = StraightLine(circuity=1.0, speeds={"bicycle": METRES_A_MINUTE / 60})
NORTH_BANK = at_place((0, 50_000))[0]


class NoBridge:
    """Straight lines, but nobody crosses to the north bank."""

    name = "no bridge"

    def matrix(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        seconds, metres = BIKES.matrix(sources, targets, vehicle)
        for i, a in enumerate(sources):
            for j, b in enumerate(targets):
                if (a[0] > NORTH_BANK) != (b[0] > NORTH_BANK):
                    seconds[i, j] = metres[i, j] = -1
        return seconds, metres


def held(
    id: int, state: str = "ASSIGNED", *, promised_in: float | None = 25, slot: int = 1, **words: Any
) -> Rows:
    """Return a delivery that driver 1 holds, promised so many minutes from now."""
    rows = a_delivery(id, state=state, driver=1, slot=slot, **words)
    promise = None if promised_in is None else NOW + minutes(promised_in)
    for row in rows:
        if row.table == "orders":
            row.values["promised_at"] = promise
    return rows


def sweep(
    tables: Tables, now: datetime = NOW, params: Params | None = None, travel: Any = BIKES
) -> list[Change]:
    return list(decide(gather(FEATURE, tables, now), params or Params(), now, travel, 0).changes)


def stops(change: Change) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(str(change.after["stops"]))
    return found


def order(change: Change) -> str:
    """Return the planned stops: P for a pickup, D for a drop-off, R for a return, with the
    delivery.
    """
    return " ".join(f"{s['kind'][0].upper()}{s['delivery']}" for s in stops(change) if s["eta"])


def test_seed_of_run_reaches_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def answer_noting_seed(problem: Problem, *, seed: int, **limits: int) -> Plan:
        seeds.append(seed)
        return answer(problem, seed=seed, **limits)  # type: ignore[arg-type]

    monkeypatch.setattr(policy, "answer", answer_noting_seed)
    frames = gather(FEATURE, two_in_hand(), NOW)
    for seed in (0, 7):
        decide(frames, Params(), NOW, BIKES, seed)
    assert seeds == [0, 7]


def two_in_hand() -> Tables:
    near = held(1, pickup=(300, 0), dropoff=(1800, 0), ready_in=minutes(0))
    return tables(
        a_driver(1, at=(0, 0)),
        near,
        held(2, pickup=(600, 0), dropoff=(1200, 0), ready_in=minutes(0), slot=2),
    )


def edited(tables: Tables, table: str, id: int, **columns: Any) -> Tables:
    rows = [row | columns if row["id"] == id else row for row in tables[table].to_dicts()]
    return {**tables, table: type(tables[table])(rows, schema=tables[table].schema)}


def test_deliveries_along_way_share_tour() -> None:
    (change,) = sweep(two_in_hand())
    assert (change.entity, change.id, change.version, change.event) == (
        "route",
        1,
        0,
        "route_planned",
    )
    assert order(change) == "P1 P2 D2 D1"
    assert change.expects == (("delivery", 1, 1), ("delivery", 2, 1))
    assert change.after["distance_m"] == pytest.approx(1800, abs=3)
    assert (change.after["engine"], change.why["proven"], change.reason) == (
        "exact",
        True,
        "FIRST_PLAN",
    )


def test_times_add_travel_waiting_and_service() -> None:
    work = held(1, pickup=(300, 0), dropoff=(900, 0), ready_in=minutes(5))
    (change,) = sweep(tables(a_driver(1, at=(0, 0)), work))
    times = [(s["eta"][11:19], s["leave"][11:19]) for s in stops(change)]
    assert times == [
        ("19:31:00", "19:37:00"),
        ("19:39:00", "19:41:00"),
    ]  # ready 19:35, two minutes of service each


def test_no_work_gives_no_plan() -> None:
    assert sweep(tables(a_driver(1), a_delivery(1))) == []


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("ASSIGNED", "P1 D1"),
        ("EN_ROUTE_PICKUP", "P1 D1"),
        ("ARRIVED_PICKUP", "P1 D1"),
        ("PICKED_UP", "D1"),
        ("EN_ROUTE_DROPOFF", "D1"),
        ("ARRIVED_DROPOFF", "D1"),
        ("RETURNING", "R1"),
    ],
)
def test_delivery_state_decides_stops_left(state: str, expected: str) -> None:
    (change,) = sweep(tables(a_driver(1), held(1, state)))
    assert order(change) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("ASSIGNED", "P2 D2 P1 D1"),
        ("EN_ROUTE_PICKUP", "P1 P2 D2 D1"),
        ("PICKED_UP", "P2 D2 D1"),
        ("EN_ROUTE_DROPOFF", "D1 P2 D2"),
    ],
)
def test_stop_in_motion_stays_first(state: str, expected: str) -> None:
    far = held(1, state, pickup=(3000, 0), dropoff=(3300, 0), promised_in=None, ready_in=None)
    near = held(2, pickup=(-300, 0), dropoff=(-600, 0), promised_in=6, ready_in=None, slot=2)
    (change,) = sweep(tables(a_driver(1, at=(0, 0)), far, near))
    assert order(change) == expected


def test_keepable_promise_beats_shorter_route() -> None:
    first = held(1, "PICKED_UP", dropoff=(600, 0), promised_in=60)
    urgent = held(2, "PICKED_UP", dropoff=(-900, 0), promised_in=5, slot=2)
    (change,) = sweep(tables(a_driver(1, at=(0, 0)), first, urgent))
    assert (order(change), change.why["late_s"]) == ("D2 D1", 0)
    (change,) = sweep(
        tables(a_driver(1, at=(0, 0)), first, urgent), params=Params(late_weight=0, finish_weight=0)
    )
    assert order(change) == "D1 D2"


def test_full_driver_delivers_before_next_pickup() -> None:
    bag = held(1, "PICKED_UP", dropoff=(900, 0)), held(2, pickup=(300, 0), dropoff=(600, 0), slot=2)
    (change,) = sweep(tables(a_driver(1, at=(0, 0), max_stack=2), *bag))
    assert order(change) == "P2 D2 D1"
    (change,) = sweep(tables(a_driver(1, at=(0, 0), max_stack=1), *bag))
    assert order(change) == "D1 P2 D2"


def test_second_run_changes_nothing() -> None:
    tables = two_in_hand()
    tables = apply(tables, sweep(tables))
    assert sweep(tables) == []
    assert (
        sweep(tables, NOW + minutes(3)) == []
    )  # the clock alone is no reason while the first stop is in time


def test_overdue_first_stop_is_replanned_once() -> None:
    tables = two_in_hand()
    (first,) = sweep(tables)
    tables = apply(tables, [first])
    last = datetime.fromisoformat(stops(first)[0]["leave"]) + Params().eta_tolerance
    assert sweep(tables, last) == []
    for now in (
        last + timedelta(microseconds=1),
        NOW + minutes(15),
    ):  # all the while the driver stands still
        (change,) = sweep(tables, now)
        assert (change.reason, order(change)) == ("TIMES_MOVED", order(first))
        assert datetime.fromisoformat(stops(change)[0]["eta"]) == now + minutes(1)
        assert (
            "inputs_sha256" not in change.after
        )  # of all that the plan depends on, only the clock has moved
        tables = apply(tables, [change])
        assert sweep(tables, now) == []


def test_unplannable_stop_is_never_overdue() -> None:
    frames = tables(a_driver(1, at=(0, 0)), held(1, dropoff=None))
    frames = apply(frames, sweep(frames))
    assert sweep(frames, NOW + minutes(15)) == []


@pytest.mark.parametrize(("east", "new"), [(20, 0), (-3000, 1)])
def test_only_real_move_replans(east: int, new: int) -> None:
    tables = two_in_hand()
    tables = apply(tables, sweep(tables))
    ping = a_ping(1, at=(east, 0), ago=timedelta(0))[0].values
    pings = tables["driver_locations"]
    tables["driver_locations"] = type(pings)([*pings.to_dicts(), ping], schema=pings.schema)
    changes = sweep(tables)
    assert len(changes) == new
    assert [c.reason for c in changes] == ["TIMES_MOVED"] * new


def test_finished_pickup_keeps_known_order() -> None:
    tables = two_in_hand()
    tables = apply(tables, sweep(tables))
    tables = edited(tables, "deliveries", 1, state="PICKED_UP", picked_up_at=NOW, version=2)
    (change,) = sweep(tables)
    assert (order(change), change.version, change.reason) == ("P2 D2 D1", 1, "WORK_CHANGED")
    assert change.before["stops"] == tables["route_optimization_data"]["stops"][0]
    assert "state" not in change.after


@pytest.mark.parametrize(("gain", "expected"), [(0, "D1 D2"), (600, "D2 D1")])
def test_known_order_is_kept_below_min_gain(gain: int, expected: str) -> None:
    work = (
        held(1, "PICKED_UP", dropoff=(600, 0), promised_in=None),
        held(2, "PICKED_UP", dropoff=(-630, 0), slot=2),
    )
    before = sweep(tables(a_driver(1, at=(-300, 0)), *work))
    assert order(before[0]) == "D2 D1"
    moved = apply(tables(a_driver(1, at=(150, 0)), *work), before)
    changes = sweep(
        moved, params=Params(min_gain=timedelta(seconds=gain), eta_tolerance=timedelta(0))
    )
    assert [order(change) for change in changes] == [expected]
    assert changes[0].why["proven"] is (gain == 0)


def test_plan_is_emptied_and_can_be_refilled() -> None:
    tables = two_in_hand()
    tables = apply(tables, sweep(tables))
    for id in (1, 2):
        tables = edited(tables, "deliveries", id, state="DELIVERED", slot=None)
    (change,) = sweep(tables)
    assert (change.event, change.after["state"], change.after["stops"]) == (
        "route_emptied",
        "EMPTY",
        "[]",
    )
    tables = apply(tables, [change])
    assert sweep(tables) == []
    tables = edited(tables, "deliveries", 1, state="ASSIGNED", slot=1)
    (change,) = sweep(tables)
    assert (change.version, change.after["state"], order(change)) == (2, "PLANNED", "P1 D1")


@pytest.mark.parametrize(
    ("work", "start", "minutes_to_first"),
    [
        (held(1, pickup=(900, 0)), "no recent ping; first pickup, delivery 1", 0),
        (
            held(1, "PICKED_UP", pickup=(0, 0), dropoff=(300, 0), picked_up_at=NOW),
            "no recent ping; merchant last visited, delivery 1",
            1,
        ),
    ],
)
def test_start_is_guessed_without_recent_ping(
    work: Rows, start: str, minutes_to_first: int
) -> None:
    (change,) = sweep(tables(a_driver(1, at=(5000, 0), seen=minutes(21)), work))
    assert change.why["start"] == start
    assert stops(change)[0]["eta"][14:16] == f"{30 + minutes_to_first}"


def no_merchant(rows: Rows) -> Rows:
    return [
        Row(r.table, r.values | {"lat": None, "lon": None}) if r.table == "merchants" else r
        for r in rows
    ]


@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        (held(2, dropoff=None, slot=2), ["the drop-off has no position"] * 2),
        (no_merchant(held(2, slot=2)), ["the merchant has no position"] * 2),
        (held(2, "RESCUE", slot=2), ["waits for its handover to another driver"]),
        (held(2, dropoff=(0, 60_000), slot=2), ["there is no way to or between its stops"] * 2),
        (
            held(2, "EN_ROUTE_DROPOFF", dropoff=(0, 60_000), slot=2),
            ["there is no way to or between its stops"],
        ),
    ],
)
def test_unplannable_stop_is_listed_with_reason(odd: Rows, expected: list[str]) -> None:
    frames = tables(a_driver(1, at=(0, 0)), held(1), odd)
    (change,) = sweep(frames, travel=NoBridge())
    assert order(change) == "P1 D1"
    assert [s["reason"] for s in stops(change) if s["eta"] is None] == expected
    assert sweep(apply(frames, [change]), travel=NoBridge()) == []


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ({"late_weight": 0}, ("late_weight", "finish_weight")),
        ({"exact_up_to": 9}, ("exact_up_to",)),
        ({"solutions": 0}, ("solutions",)),
        ({"travel_weight": -1}, ("travel_weight",)),
        ({"min_gain": -minutes(1)}, ("min_gain",)),
    ],
)
def test_senseless_parameters_are_refused(words: dict[str, Any], names: tuple[str, ...]) -> None:
    with pytest.raises(BadConfig) as refused:
        Params(**words)
    assert all(name in str(refused.value) for name in names)


STATES = st.sampled_from(
    ["ASSIGNED", "EN_ROUTE_PICKUP", "ARRIVED_PICKUP", "PICKED_UP", "ARRIVED_DROPOFF", "RETURNING"]
)
SPOT = st.tuples(st.integers(-3000, 3000), st.integers(-3000, 3000))


@given(
    st.lists(st.tuples(STATES, SPOT, SPOT, st.integers(-20, 40)), min_size=1, max_size=3),
    SPOT,
    SPOT,
)
@settings(max_examples=12, deadline=None)
def test_any_work_is_planned_once_then_unchanged(
    work: list[tuple[str, tuple[int, int], tuple[int, int], int]],
    at: tuple[int, int],
    then: tuple[int, int],
) -> None:
    deliveries = [
        held(i, state, pickup=shop, dropoff=door, promised_in=promise, slot=i)
        for i, (state, shop, door, promise) in enumerate(work, 1)
    ]
    frames = tables(a_driver(1, at=at, max_stack=3), *deliveries)
    (change,) = sweep(frames)
    kinds = {"ASSIGNED": "PD", "EN_ROUTE_PICKUP": "PD", "ARRIVED_PICKUP": "PD", "RETURNING": "R"}
    expected = sorted(
        f"{kind}{i}" for i, (state, *_) in enumerate(work, 1) for kind in kinds.get(state, "D")
    )
    assert sorted(order(change).split()) == expected
    assert all(s["eta"] <= s["leave"] for s in stops(change))
    frames = apply(frames, [change])
    assert sweep(frames) == []
    frames["driver_locations"] = tables(a_driver(1, at=then))["driver_locations"]
    frames = apply(frames, sweep(frames))
    assert sweep(frames) == []
    later = NOW + minutes(15)
    frames = apply(frames, sweep(frames, later))
    assert sweep(frames, later) == []

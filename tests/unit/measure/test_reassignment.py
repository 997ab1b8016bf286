"""Flaps, and stalls seen against stalls there were."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from dispatchkit.decide.reassignment import policy as reassignment
from dispatchkit.decide.reassignment.model import Params
from dispatchkit.flows.live.gather import gather
from dispatchkit.kernel.flags import Flag
from dispatchkit.measure.metric import Scope
from dispatchkit.measure.reassignment import against_labels, measure
from dispatchkit.simulation import Scenario, days, stalls, world
from dispatchkit.store.memory import MemoryStore
from dispatchkit.travel.straight_line import StraightLine
from tests.unit.measure import small_dataset as mini
from tests.unit.measure.small_dataset import Row, after, at


def a_release(delivery: int, driver: int, minutes: float, episode: int = 1) -> Row:
    when = after("12:00", minutes)
    return {
        "delivery_id": delivery,
        "driver_id": driver,
        "episode": episode,
        "state": "RELAPSED",
        "suspected_at": when,
        "confirmed_at": when,
        "released_at": when,
    }


def shares(
    cases: list[Row], holders: dict[int, int]
) -> dict[str, tuple[float | None, float | None]]:
    """Return numerator and denominator of each metric for deliveries that ended with these drivers."""
    orders = [mini.delivered(id, "11:30", 90, driver_id=driver) for id, driver in holders.items()]
    people = [{"id": id} for id in range(1, 10)]
    numbered = [{"id": i, **case} for i, case in enumerate(cases, 1)]
    marts = mini.marts(mini.tables(orders, reassignment_cases=numbered, drivers=people))
    return {m.name: (m.numerator, m.denominator) for m in measure(marts, mini.scope()).metrics}


def test_two_releases_within_15_minutes_flap():
    cases = [
        *(a_release(1, 1, 0), a_release(1, 2, 15, 2)),
        *(a_release(2, 1, 0), a_release(2, 2, 16, 2)),
        a_release(3, 1, 0),
    ]
    result = shares(cases, {1: 3, 2: 3, 3: 3})
    assert (result["reassignment_flaps"], result["reassignment_returns"]) == ((1, 3), (0, 3))


def test_returned_delivery_counts_once():
    to_and_fro = [a_release(1, 1, 0), a_release(1, 2, 30, 2), a_release(1, 1, 60, 3)]
    restored = [a_release(2, 4, 0)]
    passed_on = [a_release(3, 5, 0), a_release(3, 6, 40, 2)]
    result = shares([*to_and_fro, *restored, *passed_on], {1: 3, 2: 4, 3: 7})
    assert result["reassignment_returns"] == (2, 3)


def test_without_releases_metrics_are_not_available():
    section = measure(mini.marts(mini.tables([])), mini.scope())
    assert [(m.name, m.value) for m in section.metrics] == [
        ("reassignment_flaps", None),
        ("reassignment_returns", None),
        ("stall_precision", None),
        ("stall_recall", None),
    ]
    assert "does not contain" in section.metrics[2].missing_reason


def test_precision_and_recall_exclusions():
    scope, long_ago = mini.scope(at("12:00")), at("11:30")
    suspected = pl.DataFrame(
        {
            "delivery_id": [1, 2, 3, 4],
            "trigger": ["NO_START", "LOST_PING", "NOT_MOVING", "ETA_BREACH"],
        }
    )
    stalled = pl.DataFrame(
        {"delivery_id": [1, 2, 5, 6], "since": [long_ago, long_ago, long_ago, at("11:56")]}
    )
    precision, recall = against_labels(
        suspected, stalled, scope, visible_after=timedelta(minutes=5)
    )
    assert (precision.numerator, precision.denominator, precision.excluded[0].count) == (2, 3, 1)
    assert (recall.numerator, recall.denominator, recall.excluded[0].count) == (2, 3, 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_simulated_stalls_have_full_precision_and_recall(seed):
    plan, params = Scenario(orders=3000, days=1, seed=seed), Params()
    frames = dict(world(plan)) | {name: frame for day in days(plan) for name, frame in day.items()}
    seen = gather(
        MemoryStore(frames, plan.as_of), reassignment.FEATURE, Flag(name="reassignment"), plan.as_of
    )
    said = reassignment.decide(seen.frames, params, plan.as_of, StraightLine(), 0).explanations()
    suspected = pl.DataFrame(said).select("delivery_id", "trigger")
    scope = Scope(days=(plan.window(0),), as_of=plan.as_of)
    precision, recall = against_labels(
        suspected, stalls(plan), scope, visible_after=params.lost_ping
    )
    assert min(precision.denominator or 0, recall.denominator or 0) >= 10
    assert (precision.value, recall.value) == (1.0, 1.0)

"""Escalation levels and their due times do not depend on when sweeps run."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatchkit.decide.escalation.model import Params
from dispatchkit.decide.escalation.policy import FEATURE, decide
from dispatchkit.domain.changes import Change
from dispatchkit.domain.feature import Frames
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import NOW, a_delivery, a_driver, an_offer, minutes, tables
from tests.unit.decide.corridor import gather
from tests.unit.decide.escalation.scenario import ESCALATED, dues

pytestmark = pytest.mark.timeout(1800)  # by night there are ten times as many examples
PARAMS, TRAVEL = Params(), StraightLine()
END = minutes(50)
MOST_ROUNDS = 9
schedules = st.lists(st.timedeltas(timedelta(), END), max_size=8).map(sorted)
rounds = st.lists(st.timedeltas(minutes(1), minutes(44)), max_size=MOST_ROUNDS, unique=True).map(
    sorted
)
promises = st.none() | st.timedeltas(-minutes(5), minutes(90))
Spans = list[timedelta]
Sweeps = list[list[Change]]


@cache
def reads() -> Frames:
    """Return a sweep's reads of a search that begins NOW, with a driver and the most rounds of
    offers.
    """
    rounds = [
        an_offer(n, driver=100 + n, attempt=n, state="DECLINED") for n in range(1, MOST_ROUNDS + 1)
    ]
    return gather(
        FEATURE,
        tables(a_delivery(1, due=timedelta(), ready_in=None), a_driver(7, at=(700, 0)), *rounds),
        NOW,
    )


def as_of(now: datetime, frames: Frames, promise: timedelta | None, ended: Spans) -> Frames:
    """Return the reads at an instant: with a promise, the rounds that have ended, and a fresh ping."""
    instant = pl.Datetime("us", "UTC")
    past = [NOW + after for after in ended if NOW + after <= now]
    offers = (
        frames["offers"]
        .head(len(past))
        .with_columns(
            sent_at=pl.Series(past, dtype=instant), responded_at=pl.Series(past, dtype=instant)
        )
    )
    deliveries = frames["deliveries"].with_columns(
        attempt=pl.lit(len(past), pl.Int64),
        promised_at=pl.lit(None if promise is None else NOW + promise, instant),
    )
    pings = frames["pings"].with_columns(at=pl.lit(now, instant))
    return {**frames, "offers": offers, "deliveries": deliveries, "pings": pings}


def told(schedule: Spans, promise: timedelta | None, ended: Spans) -> Sweeps:
    """Return for each sweep of a schedule, the last at END, the changes it made."""
    frames, found = reads(), []
    for after in [*schedule, END]:
        now = NOW + after
        changes = list(decide(as_of(now, frames, promise, ended), PARAMS, now, TRAVEL, 0).changes)
        found.append(changes)
        row = frames["episodes"].row(0, named=True)
        for change in (change for change in changes if change.entity == "episode"):
            row |= dict(change.after)
        if row["state"] != "OPEN":
            break
        frames = {**frames, "episodes": pl.DataFrame([row], schema=frames["episodes"].schema)}
    return found


def climbed(sweeps: Sweeps) -> list[Change]:
    return [change for changes in sweeps for change in changes if change.event == ESCALATED]


@given(schedule=schedules, promise=promises, ended=rounds)
def test_levels_do_not_depend_on_sweep_times(schedule, promise, ended):
    many, one = climbed(told(schedule, promise, ended)), climbed(told([], promise, ended))
    assert [change.after["level"] for change in many] == [1, 2, 3, 4], (
        "each once, none left out, none falls"
    )
    assert dues(many) == dues(one) == sorted(dues(one))


@given(schedule=schedules, promise=promises, ended=rounds)
def test_sweep_reports_due_levels_once(schedule, promise, ended):
    for changes in told(schedule, promise, ended):
        asks = [change for change in changes if change.payload.get("notify")]
        news = climbed([changes]) or [
            change for change in changes if change.event == "delivery_unfulfilled"
        ]
        assert len(asks) == min(1, len(news))
        assert all(
            due <= change.at for due, change in zip(dues(changes), climbed([changes]), strict=True)
        )


@given(schedule=schedules)
def test_search_ends_only_after_level_four_waited(
    schedule,
):
    changes = [change for changes in told(schedule, None, []) for change in changes]
    [top] = [change.at for change in climbed([changes]) if change.after["level"] == 4]
    for ended in (change.at for change in changes if change.event == "delivery_unfulfilled"):
        assert ended >= max(NOW + PARAMS.unfulfilled, top + PARAMS.unfulfilled - PARAMS.age_4)


@given(schedule=schedules, promise=promises, ended=rounds)
def test_reminders_are_ten_minutes_apart_and_counted(schedule, promise, ended):
    sweeps = told(schedule, promise, ended)
    notices = [change for changes in sweeps for change in changes if change.payload.get("notify")]
    reminders = [
        change
        for changes in sweeps
        for change in changes
        if change.event == "unassigned_order_reminder"
    ]
    assert [change.payload["count"] for change in reminders] == list(range(1, len(reminders) + 1))
    assert all(two.at - one.at >= PARAMS.reminder for one, two in pairwise(reminders))
    assert all(
        not notice.at < reminder.at < notice.at + PARAMS.reminder
        for notice in notices
        for reminder in reminders
    )

"""Time in each state, hours and shifts: across midnight and on days when clocks change."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from dispatchkit.kernel.clock import service_day
from dispatchkit.measure import availability
from dispatchkit.measure.metric import Scope
from tests.unit.measure.small_dataset import after, at, delivered, marts, order, scope, tables


def duty(
    duty: str, since: str | datetime, until: str | datetime | None = None, driver: int = 1, **more
):
    begin, end = (at(t) if isinstance(t, str) else t for t in (since, until))
    return {"driver_id": driver, "duty": duty, "since": begin, "until": end, **more}


def measured(jobs, history, scope=scope(), as_of=None, **more):  # noqa: B008 - a scope cannot be changed
    frames = tables(jobs, driver_availability_history=history, **more)
    return availability.measure(marts(frames, as_of or scope.as_of), scope)


def states(section):
    frame = section.table("driver_availability_duration").frame
    return {row["state"]: row for row in frame.iter_rows(named=True)}


def hours(section):
    return {state: row["hours"] for state, row in states(section).items() if row["hours"]}


def an_offer(sent: str, minutes: float, state: str = "DECLINED", **more):
    ends = after(sent, minutes)
    return {"delivery_id": 1, "driver_id": 1, "state": state, "sent_at": at(sent), "expires_at": ends,
            "hard_deadline": ends, "responded_at": ends, **more}  # fmt: skip


EVENING = [
    duty("OFF_DUTY", "08:00", "10:00"), duty("ON_DUTY", "10:00", "14:00"), duty("BREAK_PENDING", "14:00", "14:06"),
    duty("ON_BREAK", "14:06", "14:36"), duty("ON_DUTY", "14:36", "18:00"), duty("ENDING_SHIFT", "18:00", "18:30"),
    duty("OFF_DUTY", "18:30"),
]  # fmt: skip


def test_states_of_evening_add_up_to_clock_time():
    jobs = [delivered(1, "12:58", 32), delivered(2, "13:34", 32), delivered(3, "17:28", 62)]
    section = measured(jobs, EVENING, driver_offers=[an_offer("11:00", 3)])
    # on duty 7 h 24 min: busy 13:00-13:30, 13:36-14:00 and 17:30-18:00, offered 3 min;
    # BREAK_PENDING is busy too
    assert hours(section) == pytest.approx(
        {"OFFLINE": 2 + 9.5, "AVAILABLE": 7.4 - 84 / 60 - 0.05, "OFFERED": 0.05, "BUSY": 1.5, "ON_BREAK": 0.5,
         "ENDING_SHIFT": 0.5}
    )  # fmt: skip
    assert sum(hours(section).values()) == pytest.approx(
        20
    )  # known from 08:00 to the window's end at 04:00
    (check,) = section.checks
    assert check.holds


def test_adjacent_intervals_merge_and_cut_ones_are_separate():
    jobs = [
        delivered(1, "13:28", 32),
        delivered(2, "13:58", 36),
    ]  # busy 13:30-14:00 and 14:00-14:34
    merged = states(measured(jobs, [duty("ON_DUTY", "03:00", "20:00")]))
    assert (merged["BUSY"]["intervals"], merged["BUSY"]["median_min"]) == (1, 64)
    assert (merged["AVAILABLE"]["intervals"], merged["AVAILABLE"]["cut_by_window"]) == (1, 1)
    running = states(
        measured([], [duty("ON_DUTY", "10:00")], as_of=at("12:00"), scope=scope(at("12:00")))
    )
    assert (
        running["AVAILABLE"]["hours"],
        running["AVAILABLE"]["still_open"],
        running["AVAILABLE"]["intervals"],
    ) == (
        2,
        1,
        0,
    )


def test_driver_is_busy_until_release_or_cancellation():
    taken = order(1, "12:00", state="UNASSIGNED", episode=2)
    case = {
        "delivery_id": 1,
        "driver_id": 1,
        "state": "RELEASED",
        "suspected_at": at("12:20"),
        "released_at": at("12:32"),
    }
    accepted = an_offer("12:01", 1, "ACCEPTED")
    released = measured(
        [taken],
        [duty("ON_DUTY", "11:00", "14:00")],
        driver_offers=[accepted],
        reassignment_cases=[case],
    )
    gone = order(
        1,
        "12:00",
        state="CANCELLED",
        ended_at=at("12:32"),
        ended_by="customer",
        ended_while="ASSIGNED",
    )
    cancelled = measured([gone], [duty("ON_DUTY", "11:00", "14:00")], driver_offers=[accepted])
    for section in (released, cancelled):
        assert hours(section) == pytest.approx(
            {"BUSY": 0.5, "OFFERED": 1 / 60, "AVAILABLE": 2.5 - 1 / 60}
        )


@pytest.mark.parametrize(
    ("day", "length"),
    [
        (date(2026, 3, 28), 23),
        (date(2026, 3, 29), 24),
        (date(2026, 10, 24), 25),
        (date(2026, 6, 1), 24),
    ],
)
def test_night_shift_fills_service_day_on_clock_changes(day, length):
    window = service_day(day, "Europe/Berlin")
    nights = Scope(days=(window,), as_of=window.until + timedelta(days=2))
    begin, end = window.since - timedelta(hours=5), window.until + timedelta(hours=5)
    pause = window.until - timedelta(
        hours=2, microseconds=1
    )  # over the hour that is skipped or doubled
    history = [duty("ON_DUTY", begin, pause), duty("ON_BREAK", pause, pause + timedelta(hours=1)),
               duty("ON_DUTY", pause + timedelta(hours=1), end)]  # fmt: skip
    section = measured([], history, scope=nights)
    frame = availability._clipped(availability.merged(marts(tables(
        driver_availability_history=history), nights.as_of)["mart_availability"]), nights)  # fmt: skip
    assert frame["us"].sum() == length * 3_600_000_000
    assert hours(section) == {"AVAILABLE": length - 1, "ON_BREAK": 1}
    assert section.checks[0].holds


def test_gap_of_history_belongs_to_no_state():
    section = measured([], [duty("ON_DUTY", "10:00", "11:00"), duty("ON_DUTY", "13:00", "14:00")])
    assert hours(section) == {"AVAILABLE": 2}
    assert (
        section.checks[0].detail
        == "the states of 0 of 1 drivers do not add up to their time; 2 h are unknown"
    )


def test_hours_cap_ignores_finishing_delivery():
    history = [
        duty("ON_DUTY", "05:00", "10:00"), duty("ON_BREAK", "10:00", "10:30"), duty("ON_DUTY", "10:30", "18:12"),
        duty("ON_DUTY", "05:00", "17:00", 2), duty("ENDING_SHIFT", "17:00", "17:20", 2),
        duty("ON_DUTY", "05:00", "11:00", 3), duty("ON_DUTY", "17:00", "23:30", 3),
    ]  # fmt: skip
    section = measured([], history, drivers=[{"id": n} for n in (1, 2, 3)])
    metric = section.metric("hours_within_cap")
    assert (metric.numerator, metric.denominator) == (3, 4)  # driver 3 rested six hours: two runs
    assert section.table("hours_over_cap").frame.rows() == [(1, at("05:00"), at("18:12"), 42.0)]


def test_shift_is_compared_with_end_planned_at_start():
    planned = {"shift_end": at("18:00")}
    history = [
        duty("ON_DUTY", "10:00", "18:10", 1, **planned),
        duty("ON_DUTY", "10:00", "17:00", 2, **planned),
        duty("ON_DUTY", "10:00", "18:00", 3, **planned),
        duty("ENDING_SHIFT", "18:00", "18:40", 3, shift_end=at("19:00")),
        duty("ON_DUTY", "10:00", "16:00", 4),
        duty("ON_DUTY", "10:00", None, 5, **planned),
    ]  # fmt: skip
    section = measured([], history, drivers=[{"id": n} for n in range(1, 6)])
    metric = section.metric("shift_kept")
    assert (metric.numerator, metric.denominator, metric.open) == (1, 3, 1)
    assert metric.remark == "1 shifts had no planned end"
    rows = section.table("planned_shifts").frame.rows()
    assert rows == [
        ("early", 1, 8.0, 7.0),
        ("kept", 1, 8.0, pytest.approx(49 / 6)),
        ("late", 1, 8.0, pytest.approx(26 / 3)),
    ]


def test_without_history_metrics_are_not_available():
    section = measured([delivered(1, "12:00", 20)], [])
    assert [metric.value for metric in section.metrics] == [None, None, None]
    assert section.checks[0].holds and hours(section) == {}


def test_overlapping_states_break_check():
    spans = pl.DataFrame(
        {"driver_id": [1, 1], "since": [at("10:00"), at("10:59")], "until": [at("11:00"), at("12:00")],
         "us": [3_600_000_000, 3_660_000_000]}
    )  # fmt: skip
    assert not availability._adds_up(spans).holds

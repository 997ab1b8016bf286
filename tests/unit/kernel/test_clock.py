"""Instants are aware UTC, and a service day is as long as the clocks on the wall make it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from dispatchkit.kernel.clock import (
    Window,
    day_of,
    parse_day,
    parse_instant,
    rfc3339,
    service_day,
    zone,
)
from dispatchkit.kernel.errors import BadConfig, Usage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T19:30:00Z", datetime(2026, 3, 2, 19, 30, tzinfo=UTC)),
        ("2026-03-02T20:30:00+01:00", datetime(2026, 3, 2, 19, 30, tzinfo=UTC)),
        ("2026-03-02 19:30:00.000001Z", datetime(2026, 3, 2, 19, 30, 0, 1, tzinfo=UTC)),
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
    ],
)
def test_instant_is_read_as_utc(text, expected):
    read = parse_instant(text)
    assert read == expected
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-03-02T19:30:00", "no time zone"),
        ("2026-03-02", "not an instant"),
        ("2026-03-02T19:30:30:45Z", "not an instant"),
        ("yesterday", "not an instant"),
        ("", "not an instant"),
        ("2026-02-30T00:00:00Z", "not an instant"),
        ("1999-12-31T23:59:59Z", "years 2000 to 2100"),
        ("2100-01-01T00:00:00Z", "years 2000 to 2100"),
        ("0001-01-01T00:00:00+23:00", "years 2000 to 2100"),
        ("9999-12-31T23:59:59-23:00", "years 2000 to 2100"),
    ],
)
def test_what_is_no_instant_is_named(text, said):
    with pytest.raises(Usage, match=said):
        parse_instant(text)


@pytest.mark.parametrize(
    "text",
    ["20260302", "2026-W10-1", "2026-3-2", "2026-02-30", "today", "", "1999-12-31", "9999-12-31"],
)
def test_what_is_no_day_is_named(text):
    with pytest.raises(Usage, match=repr(text)):
        parse_day(text)


def test_day_is_read():
    assert parse_day("2026-03-02") == date(2026, 3, 2)


@pytest.mark.parametrize(
    "name", ["Europe/Atlantis", "Europe", "", "../../etc/passwd", "a\0b", "x" * 5000]
)
def test_what_is_no_time_zone_is_bad_configuration(name):
    with pytest.raises(BadConfig, match="not a time zone"):
        zone(name)


@pytest.mark.parametrize(
    ("day", "tz", "since", "hours"),
    [
        ((2026, 3, 2), "UTC", "2026-03-02T04:00:00Z", 24),
        ((2026, 3, 2), "Europe/Berlin", "2026-03-02T03:00:00Z", 24),
        (
            (2026, 3, 28),
            "Europe/Berlin",
            "2026-03-28T03:00:00Z",
            23,
        ),  # the night to 29 March belongs to the 28th
        ((2026, 3, 29), "Europe/Berlin", "2026-03-29T02:00:00Z", 24),
        ((2026, 10, 24), "Europe/Berlin", "2026-10-24T02:00:00Z", 25),
        ((2026, 3, 7), "America/New_York", "2026-03-07T09:00:00Z", 23),
        ((2026, 3, 2), "Asia/Kolkata", "2026-03-01T22:30:00Z", 24),
        ((2026, 4, 4), "Australia/Lord_Howe", "2026-04-03T17:00:00Z", 24.5),
    ],
)
def test_service_day_runs_from_four_to_four(day, tz, since, hours):
    window = service_day(date(*day), tz)
    assert window.since == parse_instant(since)
    assert window.length == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 6, 1), 24)]
)
def test_calendar_day_may_have_23_or_25_hours(day, hours):
    assert service_day(date(*day), "Europe/Berlin", starts_at=time(0)).length == timedelta(
        hours=hours
    )


def test_night_belongs_to_evening_before():
    assert day_of(parse_instant("2026-03-03T02:59:59Z"), "Europe/Berlin") == date(2026, 3, 2)
    assert day_of(parse_instant("2026-03-03T03:00:00Z"), "Europe/Berlin") == date(2026, 3, 3)


def test_window_holds_its_start_and_not_its_end():
    window = Window(parse_instant("2026-03-02T10:00:00Z"), parse_instant("2026-03-02T11:00:00Z"))
    assert window.since in window
    assert window.until not in window
    assert window.until - timedelta(microseconds=1) in window


def test_slots_cover_window_and_last_may_be_shorter():
    window = Window(parse_instant("2026-03-02T10:00:00Z"), parse_instant("2026-03-02T10:40:00Z"))
    assert [slot.minute for slot in window.slots(timedelta(minutes=15))] == [0, 15, 30]


def test_instant_text_has_fixed_length_in_utc():
    texts = [rfc3339(datetime(2026, 3, 2, 19, 30, 0, us, tzinfo=UTC)) for us in (0, 1, 999_999)]
    assert texts == [
        "2026-03-02T19:30:00.000000Z",
        "2026-03-02T19:30:00.000001Z",
        "2026-03-02T19:30:00.999999Z",
    ]

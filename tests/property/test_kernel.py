"""What holds for every input of the kernel, not only for the ones that came to mind."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from dispatchkit.domain.tables import MACHINES
from dispatchkit.kernel.canonical_json import canonical, plain
from dispatchkit.kernel.clock import day_of, parse_instant, rfc3339, service_day
from dispatchkit.kernel.flags import Flag
from dispatchkit.kernel.geo import EARTH_M, contains, haversine_expr, haversine_m, ring_fault
from dispatchkit.kernel.machine import INITIAL
from dispatchkit.kernel.money import split, to_cents
from dispatchkit.kernel.stable_random import normal, stable_id, uniform

ZONES = st.sampled_from(
    "UTC Europe/Berlin America/New_York Australia/Lord_Howe Asia/Kolkata America/St_Johns".split()
)
INSTANTS = st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
DAYS = st.dates(date(2000, 1, 2), date(2099, 12, 29))
STARTS = st.sampled_from(
    [time(0), time(2, 30), time(4), time(12)]
)  # 02:30 is skipped or doubled when clocks change
POINTS = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
WORDS = st.one_of(st.integers(), st.text(max_size=20))


@given(
    st.integers(0, 10**12),
    st.dictionaries(st.integers(1, 10**9), st.integers(0, 10**9), min_size=1, max_size=30),
)
def test_split_sums_exactly_within_cent(total, weights):
    shares = split(total, weights)
    assert sum(shares.values()) == total
    whole = sum(weights.values())
    for id, cents in shares.items():
        fair = Fraction(total * weights[id], whole) if whole else Fraction(total, len(weights))
        assert abs(cents - fair) < 1
    assert split(total, dict(sorted(weights.items(), reverse=True))) == shares


@given(st.fractions())
def test_rounding_is_symmetric_within_half_cent(amount):
    assert abs(to_cents(amount) - amount) <= Fraction(1, 2)
    assert to_cents(-amount) == -to_cents(amount)
    assert to_cents(amount + 1) == to_cents(amount) + 1 or amount < 0


@given(INSTANTS, ZONES, STARTS)
def test_instant_lies_in_exactly_one_service_day(instant, tz, starts_at):
    day = day_of(instant, tz, starts_at=starts_at)
    assert instant in service_day(day, tz, starts_at=starts_at)
    for other in (day - timedelta(days=1), day + timedelta(days=1)):
        assert instant not in service_day(other, tz, starts_at=starts_at)


@given(DAYS, ZONES, STARTS)
def test_service_days_follow_each_other_without_gap(day, tz, starts_at):
    today, tomorrow = (
        service_day(day + timedelta(days=n), tz, starts_at=starts_at) for n in (0, 1)
    )
    assert today.until == tomorrow.since
    assert timedelta(hours=23) <= today.length <= timedelta(hours=25)


@given(INSTANTS, INSTANTS)
def test_instants_as_text_round_trip_and_sort(one, other):
    assert parse_instant(rfc3339(one)) == one
    assert len(rfc3339(one)) == 27
    assert (rfc3339(one) < rfc3339(other)) == (one < other)


@given(st.integers(1, 2**63 - 1), st.floats(0, 100), st.floats(0, 100))
def test_larger_rollout_contains_smaller_rollout(unit, one, other):
    small, large = sorted((one, other))
    if Flag(name="offers", percent=small).admits(unit):
        assert Flag(name="offers", percent=large).admits(unit)
    assert Flag(name="offers", percent=100).admits(unit)
    assert not Flag(name="offers", percent=0).admits(unit)


@given(st.integers(), st.text(), st.lists(WORDS, max_size=4))
def test_chance_stays_in_its_range_for_any_words(seed, stream, ids):
    u = uniform(seed, stream, *ids)
    assert 0 < u < 1
    assert u == uniform(seed, stream, *ids)
    assert math.isfinite(normal(seed, stream, *ids))
    assert 0 < stable_id(seed, stream, *ids) < 2**63


@given(st.sampled_from(MACHINES), st.lists(st.integers(0, 99), max_size=30))
def test_random_transitions_stay_inside_machine(machine, choices):
    state = INITIAL
    for choice in choices:
        onward = sorted(machine.moves.get(state, ()))
        if not onward:
            assert state in machine.terminal
            return
        state = machine.step(state, onward[choice % len(onward)])
        assert state in machine.states


@given(POINTS, POINTS, POINTS)
def test_distance_is_distance(a, b, c):
    assert haversine_m(*a, *a) == 0
    assert haversine_m(*a, *b) == haversine_m(*b, *a)
    assert 0 <= haversine_m(*a, *b) <= math.pi * EARTH_M
    assert (
        haversine_m(*a, *c) <= haversine_m(*a, *b) + haversine_m(*b, *c) + 0.5
    )  # near antipodes sin² loses digits


@given(st.lists(st.tuples(POINTS, POINTS), min_size=1, max_size=20))
def test_expression_and_function_measure_alike(pairs):
    frame = pl.DataFrame([(*a, *b) for a, b in pairs], schema=["a", "b", "c", "d"], orient="row")
    found = frame.select(haversine_expr("a", "b", "c", "d")).to_series().to_list()
    assert all(
        abs(metres - haversine_m(*a, *b)) < 0.5 for metres, (a, b) in zip(found, pairs, strict=True)
    )


@given(st.integers(3, 12), st.floats(0, 0.99), st.floats(0, 2 * math.pi), st.floats(1.01, 5))
def test_circle_contains_points_within_its_radius(corners, within, angle, beyond):
    turns = [2 * math.pi * i / corners for i in range(corners)]
    ring = [(8 * math.cos(turn), 8 * math.sin(turn)) for turn in turns]
    ring.append(ring[0])
    assert ring_fault(ring) is None
    inner = 8 * math.cos(math.pi / corners) * within  # inside the inscribed circle
    assert contains(ring, inner * math.sin(angle), inner * math.cos(angle))
    assert not contains(ring, 8 * beyond * math.sin(angle), 8 * beyond * math.cos(angle))


@given(
    st.dictionaries(
        st.text(), st.one_of(st.none(), st.booleans(), st.integers(), st.text(), INSTANTS)
    )
)
def test_canonical_json_ignores_only_key_order(value):
    assert canonical(value) == canonical(dict(sorted(value.items(), reverse=True)))
    assert canonical(plain(value)) == canonical(value)
    assert canonical({**value, "one more": 1}) != canonical(value) or value.get("one more") == 1

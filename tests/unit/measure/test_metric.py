"""Intervals, exclusions and what makes a figure fail."""

from __future__ import annotations

import polars as pl
import pytest

from dispatchkit.kernel.errors import SchemaMismatch
from dispatchkit.kernel.metrics import Exclusion, Metric, Target
from dispatchkit.measure.metric import bootstrap, need, quantile, rate, wilson
from tests.unit.measure.miniature import at, scope


@pytest.mark.parametrize(("hits", "n", "low"), [(18, 20, 0.699), (95, 100, 0.888), (0, 5, 0.0)])
def test_wilson_lower_bounds_are_the_published_ones(hits, n, low):
    assert round(wilson(hits, n)[0], 3) == low


def test_no_failure_in_five_trials_still_allows_43_percent():
    assert round(wilson(0, 5)[1], 2) == 0.43


def test_no_trials_rule_nothing_out():
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_rate_is_printed_with_all_it_was_made_from():
    low, high = wilson(510_776, 568_546)
    shown = Metric(name="m", definition="", cohort="", unit="share", value=510_776 / 568_546, numerator=510_776,
                   denominator=568_546, low=low, high=high)  # fmt: skip
    assert shown.summary() == "0.8984 [0.8976, 0.8992] = 510,776 / 568,546; excluded 0; open 0"


def rows(**counts: int) -> pl.DataFrame:
    kinds = [kind for kind, n in counts.items() for _ in range(n)]
    return pl.DataFrame({"kind": kinds, "t": [at("12:00")] * len(kinds)})


def share(frame: pl.DataFrame) -> Metric:
    kind = pl.col("kind")
    lost = {"lost": kind == "lost", "also lost": kind.is_in(["lost", "gone"])}
    return rate(
        "m",
        frame,
        kind == "hit",
        scope(),
        by="rows",
        at="t",
        definition="",
        excluded=lost,
        open_=kind == "open",
    )


def test_cohort_is_denominator_plus_excluded_plus_open_and_the_first_reason_counts():
    found = share(rows(hit=3, miss=2, lost=1, gone=1, open=4))
    assert (found.numerator, found.denominator, found.open) == (3, 5, 4)
    assert [(e.reason, e.count) for e in found.excluded] == [("lost", 1), ("also lost", 1)]
    assert found.denominator + found.excluded_count + found.open == 11


@pytest.mark.parametrize(("lost", "fails"), [(1, False), (2, True)])
def test_more_than_ten_percent_excluded_fails(lost, fails):
    found = share(rows(hit=9, lost=lost))
    assert found.failed is fails
    assert ("FAILED" in found.summary()) is fails


def test_what_the_question_does_not_concern_is_counted_but_does_not_fail():
    found = Metric(name="m", definition="", cohort="", unit="share", value=0.5, numerator=1, denominator=2,
                   excluded=(Exclusion("silent", 8, by_definition=True),))  # fmt: skip
    assert found.excluded_count == 8
    assert not found.failed


def test_nothing_to_divide_by_is_not_available_and_claims_nothing():
    found = share(rows(lost=5))
    assert (found.value, found.low, found.failed) == (None, None, False)


def test_a_quantile_is_the_nearest_rank_and_has_an_interval_only_with_enough_rows():
    few = pl.DataFrame({"s": [60.0 * m for m in (5, 1, 3, 2, 4)]})
    found = quantile("m", few, pl.col("s"), 0.5, scope(), by="rows", definition="")
    assert (found.value, found.low, found.denominator) == (3.0, None, 5)
    many = pl.DataFrame({"s": [60.0 * m for m in range(1, 101)]})
    found = quantile("m", many, pl.col("s"), 0.5, scope(), by="rows", definition="")
    assert (found.value, found.low, found.high) == (50.0, 40.0, 61.0)


def test_days_are_the_unit_of_the_bootstrap_and_fewer_than_five_say_nothing():
    assert bootstrap("m", [(9, 10)] * 4, seed=1) is None
    assert bootstrap("m", [(9, 10)] * 5, seed=1) == (0.9, 0.9)
    spread = bootstrap("m", [(n, 10) for n in range(10)], seed=1)
    assert spread == bootstrap("m", [(n, 10) for n in range(10)], seed=1)
    assert spread
    assert spread[0] < 0.45 < spread[1]


@pytest.mark.parametrize(
    ("value", "low", "high", "met"),
    [
        (0.9, 0.85, 0.95, True),
        (0.7, 0.6, 0.78, False),
        (1.0, 0.34, 1.0, None),  # two of two: nothing is shown yet
        (0.81, None, None, True),
        (0.80, None, None, False),
        (None, None, None, None),
    ],
)
def test_a_target_is_met_only_when_the_whole_interval_lies_beyond_it(value, low, high, met):
    assert Target("> 80 %", ">", 0.8).met(value, low, high) is met


@pytest.mark.parametrize(("value", "met"), [(1.0, True), (0.999, False)])
def test_completeness_is_all_or_not_met(value, met):
    assert Target("100 %", "=", 1.0).met(value, 0.9, 1.0) is met


def test_a_missing_column_is_named():
    with pytest.raises(SchemaMismatch, match=r"b, a\.y"):
        need({"a": pl.DataFrame({"x": [1]})}, {"a": ["x", "y"], "b": ["z"]})

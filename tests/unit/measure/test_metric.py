"""Intervals, exclusions and what makes a figure fail."""

from __future__ import annotations

import polars as pl
import pytest

from dispatchkit.kernel.errors import SchemaMismatch
from dispatchkit.kernel.metrics import Exclusion, Metric, Target
from dispatchkit.measure.metric import bootstrap, need, quantile, rate, wilson
from tests.unit.measure.small_dataset import at, scope


@pytest.mark.parametrize(("hits", "n", "low"), [(18, 20, 0.699), (95, 100, 0.888), (0, 5, 0.0)])
def test_wilson_matches_published_lower_bounds(hits, n, low):
    assert round(wilson(hits, n)[0], 3) == low


def test_wilson_upper_bound_without_hits():
    assert round(wilson(0, 5)[1], 2) == 0.43


def test_wilson_without_trials_is_zero_to_one():
    assert wilson(0, 0) == (0.0, 1.0)


def test_summary_shows_interval_and_counts():
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


def test_cohort_is_denominator_plus_excluded_plus_open():
    result = share(rows(hit=3, miss=2, lost=1, gone=1, open=4))
    assert (result.numerator, result.denominator, result.open) == (3, 5, 4)
    assert [(e.reason, e.count) for e in result.excluded] == [("lost", 1), ("also lost", 1)]
    assert result.denominator + result.excluded_count + result.open == 11


@pytest.mark.parametrize(("lost", "fails"), [(1, False), (2, True)])
def test_over_ten_percent_excluded_fails(lost, fails):
    result = share(rows(hit=9, lost=lost))
    assert result.failed is fails
    assert ("FAILED" in result.summary()) is fails


def test_exclusion_by_definition_does_not_fail():
    result = Metric(name="m", definition="", cohort="", unit="share", value=0.5, numerator=1, denominator=2,
                   excluded=(Exclusion("silent", 8, by_definition=True),))  # fmt: skip
    assert result.excluded_count == 8
    assert not result.failed


def test_empty_denominator_is_not_available():
    result = share(rows(lost=5))
    assert (result.value, result.low, result.failed) == (None, None, False)


def test_quantile_is_nearest_rank_with_interval():
    few = pl.DataFrame({"s": [60.0 * m for m in (5, 1, 3, 2, 4)]})
    result = quantile("m", few, pl.col("s"), 0.5, scope(), by="rows", definition="")
    assert (result.value, result.low, result.denominator) == (3.0, None, 5)
    many = pl.DataFrame({"s": [60.0 * m for m in range(1, 101)]})
    result = quantile("m", many, pl.col("s"), 0.5, scope(), by="rows", definition="")
    assert (result.value, result.low, result.high) == (50.0, 40.0, 61.0)


def test_bootstrap_draws_days_and_needs_five():
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
def test_target_needs_whole_interval(value, low, high, met):
    assert Target("> 80 %", ">", 0.8).met(value, low, high) is met


@pytest.mark.parametrize(("value", "met"), [(1.0, True), (0.999, False)])
def test_equality_target(value, met):
    assert Target("100 %", "=", 1.0).met(value, 0.9, 1.0) is met


def test_missing_column_is_named():
    with pytest.raises(SchemaMismatch, match=r"b, a\.y"):
        need({"a": pl.DataFrame({"x": [1]})}, {"a": ["x", "y"], "b": ["z"]})

"""The risk of a long search by zone and hour: shrunk where data is thin, tested on later days."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from dispatchkit.measure import risk
from dispatchkit.measure.metric import wilson
from tests.unit.measure.small_dataset import DAY, NIGHT, at, scope

EARLIER = DAY - timedelta(days=3)


def searches(*told: tuple[str, int, int, int], day: Any = DAY, clock: str = "12") -> pl.DataFrame:
    """Return the mart's rows of (zone, searches, long searches, unknown searches)."""
    rows = [
        {
            "zone": zone,
            "opened_at": at(f"{clock}:00", day=day),
            "closed_at": at(f"{clock}:20" if i < long else f"{clock}:05", day=day),
            "known": i >= unknown,
        }
        for zone, n, long, unknown in told
        for i in range(n)
    ]
    return pl.DataFrame(rows)


def measured(*frames: pl.DataFrame, as_of: Any = NIGHT) -> Any:
    return risk.measure({"mart_episodes": pl.concat(frames)}, scope(as_of))


def test_risk_of_few_searches_shrinks_to_city():
    table = measured(searches(("many", 200, 80, 0), ("few", 2, 2, 0))).table("risk").frame
    shown = {row["zone"]: row for row in table.iter_rows(named=True)}
    city = 82 / 202
    hour = (82 + 20 * city) / 222
    assert shown["few"]["risk"] == pytest.approx((2 + 20 * hour) / 22)
    assert abs(shown["many"]["risk"] - 0.4) < 0.001 < 0.5 < 1 - shown["few"]["risk"]
    assert (shown["few"]["low"], shown["few"]["high"]) == pytest.approx(wilson(2, 2))


def test_unknown_searches_are_excluded():
    share = measured(searches(("a", 10, 4, 2))).metric("search_over_10_min")
    assert (share.numerator, share.denominator, share.excluded_count) == (2, 8, 2)


def test_running_search_is_open_until_long():
    running = searches(("a", 2, 0, 0)).with_columns(
        closed_at=pl.lit(None, pl.Datetime("us", "UTC"))
    )
    young, old = (
        measured(running, as_of=at(clock)).metric("search_over_10_min")
        for clock in ("12:10", "12:11")
    )
    assert (young.denominator, young.open) == (0, 2)
    assert (old.numerator, old.denominator, old.open) == (2, 2, 0)


def test_skill_is_positive_for_stable_zones():
    past = searches(("good", 100, 5, 0), ("bad", 100, 60, 0), day=EARLIER)
    same, turned = (
        searches(("good", 50, 2, 0), ("bad", 50, 30, 0)),
        searches(("good", 50, 30, 0), ("bad", 50, 2, 0)),
    )
    kept, lost = (
        measured(past, same).metric("long_search_forecast_skill"),
        measured(past, turned).metric("long_search_forecast_skill"),
    )
    assert kept.value is not None and lost.value is not None
    assert kept.value > 0.2 and lost.value < 0, "a forecast that misleads is worth less than none"
    assert (kept.denominator, "fitted on 200 earlier searches" in kept.remark) == (100, True)


def test_skill_needs_earlier_days():
    alone = measured(searches(("good", 50, 2, 0), ("bad", 50, 30, 0))).metric(
        "long_search_forecast_skill"
    )
    assert (alone.value, alone.missing_reason) == (None, "no earlier days are loaded")


def test_new_zone_gets_share_of_city():
    past = searches(("old", 100, 50, 0), day=EARLIER)
    new = measured(past, searches(("new", 4, 2, 0))).metric("long_search_forecast_skill")
    assert new.value == pytest.approx(0, abs=0.01)

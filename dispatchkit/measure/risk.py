"""Where and when do driver searches take over ten minutes, and can that be predicted?

* `search_over_10_min`: searches over 10 min / searches opened in the window. Excluded: no assignment
  time. Searches still running and not yet long are open. Interval: see measure/metric.py.
* `long_search_forecast_skill`: Brier skill score (Brier 1950) of the risk by zone and hour, fitted on
  earlier days, against one share for all: 1 - score / reference score. Denominator: searches of the
  window. No interval.
* Table `risk`: share and risk by zone and hour of day, with Wilson intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from dispatchkit.kernel.metrics import Metric, Section, Table
from dispatchkit.measure.metric import Scope, need, rate, split_rows, wilson

READS = {"mart_episodes": "zone opened_at closed_at known".split()}
LONG = timedelta(minutes=10)  # without a driver
PRIOR = 20  # searches: the weight of the mean to which a share is shrunk
_late, _hour = pl.col("late"), pl.col("opened_at").dt.hour().cast(pl.Int64)


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return the risk of a long search by zone and hour of day, fitted on all loaded searches.

    The forecast skill is measured on the window, with a fit on the days before it.
    """
    need(marts, READS)
    waited = pl.coalesce("closed_at", pl.lit(scope.as_of)) - pl.col("opened_at")
    searches = marts["mart_episodes"].with_columns(
        hour=_hour, late=waited > LONG, running=pl.col("closed_at").is_null() & (waited <= LONG)
    )
    past = _with_outcome(searches.filter(pl.col("opened_at") < scope.window.since))
    window = searches.filter(scope.within("opened_at"))
    known = pl.concat([past, _with_outcome(window)])
    return Section(
        name="risk",
        title="Risk of long searches",
        metrics=(_share(window, scope), _skill(past, window, scope)),
        tables=(_table(known),),
    )


def fit(searches: pl.DataFrame) -> pl.DataFrame:
    """Return zone, hour, searches, late, city and risk.

    risk = (late + 20 x city) / (searches + 20), since a few searches are weak evidence. The share of
    the city at that hour is shrunk in the same way towards that of the whole day.
    """
    n, late = pl.len().cast(pl.Int64), _late.sum().cast(pl.Int64)
    day = searches["late"].mean() if searches.height else 0.0
    hours = searches.group_by("hour").agg(hour_n=n, hour_late=late)
    city_hours = hours.select(
        "hour", city=(pl.col("hour_late") + PRIOR * pl.lit(day)) / (pl.col("hour_n") + PRIOR)
    )
    cells = (
        searches.group_by("zone", "hour")
        .agg(searches=n, late=late)
        .join(city_hours, on="hour", how="left")
    )
    risk = (pl.col("late") + PRIOR * pl.col("city")) / (pl.col("searches") + PRIOR)
    return cells.with_columns(risk=risk).sort("zone", "hour")


def _with_outcome(searches: pl.DataFrame) -> pl.DataFrame:
    """Return the searches whose outcome, long or not, is known."""
    return searches.filter("known", ~pl.col("running"))


def _share(window: pl.DataFrame, scope: Scope) -> Metric:
    return rate(
        "search_over_10_min",
        window,
        _late,
        scope,
        by="searches by opening",
        at="opened_at",
        excluded={"no assignment time": ~pl.col("known")},
        open_=pl.col("running"),
        definition="searches of over 10 min / searches",
    )


def _skill(past: pl.DataFrame, window: pl.DataFrame, scope: Scope) -> Metric:
    """Return the Brier skill score of the forecast by zone and hour.

    Brier score: mean square of (forecast - outcome). Skill = 1 - score / score of one plain share:
    1 is a perfect forecast, 0 is no better than the plain share, below 0 it misleads.
    """
    closed, exclusions, open_ = split_rows(
        window, {"no assignment time": ~pl.col("known")}, pl.col("running")
    )
    plain = past["late"].mean() if past.height else None
    fitted = fit(past)
    known = closed.join(fitted.select("zone", "hour", "risk"), on=["zone", "hour"], how="left")
    hours = fitted.group_by("hour").agg(pl.col("city").first())
    forecast = known.join(hours, on="hour", how="left").select(
        "late", forecast=pl.coalesce("risk", "city", pl.lit(plain, pl.Float64))
    )
    outcome = _late.cast(pl.Float64)
    score = forecast.select(((pl.col("forecast") - outcome) ** 2).mean()).item()
    plain_score = forecast.select(((pl.lit(plain, pl.Float64) - outcome) ** 2).mean()).item()
    reason = "no search of the window is closed" if past.height else "no earlier days are loaded"
    possible = bool(score is not None and plain_score)
    return Metric(
        name="long_search_forecast_skill",
        definition="1 - Brier score of the risk by zone and hour / that of one share for all, fitted "
        "on earlier days",
        cohort=scope.cohort("searches by opening"),
        unit="ratio",
        value=1 - score / plain_score if possible else None,
        denominator=forecast.height if possible else 0,
        excluded=exclusions,
        open=open_,
        missing_reason="" if possible else reason,
        remark=f"{score:.4f} against {plain_score:.4f}, fitted on {past.height:,} earlier searches"
        if possible
        else "",
    )


def _table(known: pl.DataFrame) -> Table:
    cells = fit(known)
    bounds = [wilson(late, n) for late, n in cells.select("late", "searches").iter_rows()]
    frame = cells.with_columns(
        share=pl.col("late") / pl.col("searches"),
        low=pl.Series([low for low, _ in bounds], dtype=pl.Float64),
        high=pl.Series([high for _, high in bounds], dtype=pl.Float64),
    ).select("zone", "hour", "searches", "late", "share", "low", "high", "risk")
    note = (
        "Searches over 10 min by zone and hour of day (UTC), of all loaded days. low, high: 95 % "
        "interval of the share (Wilson). risk: the share shrunk towards that of the city at that hour "
        f"(weight of {PRIOR} searches)."
    )
    units = {
        "hour": "id",
        "searches": "count",
        "late": "count",
        **dict.fromkeys(("share", "low", "high", "risk"), "share"),
    }
    return Table(name="risk", title="Risk of a long search", frame=frame, units=units, note=note)

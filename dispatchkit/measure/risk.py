"""Where and when no driver may be found: the share of long searches by zone and hour, and its worth as a forecast."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from dispatchkit.kernel.metrics import Metric, Section, Table
from dispatchkit.measure.metric import Scope, need, rate, split_rows, wilson

READS = {"mart_episodes": "zone opened_at closed_at known".split()}
LONG = timedelta(minutes=10)  # without a driver, as the plan counts unassigned orders
PRIOR = 20  # searches: the weight of the mean to which a share is drawn
_late, _hour = pl.col("late"), pl.col("opened_at").dt.hour().cast(pl.Int64)


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return the risk of a search over ten minutes by zone and hour of day, fitted on all that was loaded.

    Whether it tells anything is asked of the window alone, by a fit on the days before it.
    """
    need(marts, READS)
    waited = pl.coalesce("closed_at", pl.lit(scope.as_of)) - pl.col("opened_at")
    searches = marts["mart_episodes"].with_columns(
        hour=_hour, late=waited > LONG, running=pl.col("closed_at").is_null() & (waited <= LONG)
    )
    past = _told(searches.filter(pl.col("opened_at") < scope.window.since))
    window = searches.filter(scope.within("opened_at"))
    known = pl.concat([past, _told(window)])
    return Section(
        name="risk",
        title="Where no driver may be found",
        metrics=(_share(window, scope), _skill(past, window, scope)),
        tables=(_table(known),),
    )


def fit(searches: pl.DataFrame) -> pl.DataFrame:
    """Return zone, hour, searches, late, risk: a zone's hour is drawn to that hour of the city, that to the whole day.

    risk = (late + 20 x city's) / (searches + 20), the city's made likewise: few searches say little by themselves.
    """
    n, late = pl.len().cast(pl.Int64), _late.sum().cast(pl.Int64)
    day = searches["late"].mean() if searches.height else 0.0
    hours = searches.group_by("hour").agg(hour_n=n, hour_late=late)
    drawn = hours.select(
        "hour", city=(pl.col("hour_late") + PRIOR * pl.lit(day)) / (pl.col("hour_n") + PRIOR)
    )
    cells = (
        searches.group_by("zone", "hour")
        .agg(searches=n, late=late)
        .join(drawn, on="hour", how="left")
    )
    risk = (pl.col("late") + PRIOR * pl.col("city")) / (pl.col("searches") + PRIOR)
    return cells.with_columns(risk=risk).sort("zone", "hour")


def _told(searches: pl.DataFrame) -> pl.DataFrame:
    """Return the searches of which it is known whether they were long."""
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
        definition="searches that went on for over 10 min / searches",
    )


def _skill(past: pl.DataFrame, window: pl.DataFrame, scope: Scope) -> Metric:
    """Return how much better than the plain share of earlier days a forecast by zone and hour would have been.

    Brier score (Brier 1950): the mean square of forecast - outcome. Skill = 1 - score / score of the plain share, so
    1 is certainty, 0 tells nothing, and below 0 it misleads.
    """
    told, exclusions, open_ = split_rows(
        window, {"no assignment time": ~pl.col("known")}, pl.col("running")
    )
    plain = past["late"].mean() if past.height else None
    drawn = fit(past)
    known = told.join(drawn.select("zone", "hour", "risk"), on=["zone", "hour"], how="left")
    hours = drawn.group_by("hour").agg(pl.col("city").first())
    forecast = known.join(hours, on="hour", how="left").select(
        "late", said=pl.coalesce("risk", "city", pl.lit(plain, pl.Float64))
    )
    outcome = _late.cast(pl.Float64)
    ours = forecast.select(((pl.col("said") - outcome) ** 2).mean()).item()
    theirs = forecast.select(((pl.lit(plain, pl.Float64) - outcome) ** 2).mean()).item()
    possible = bool(ours is not None and theirs)
    return Metric(
        name="long_search_forecast_skill",
        definition="1 - Brier score of the risk by zone and hour / that of one share for all, fitted on earlier days",
        cohort=scope.cohort("searches by opening"),
        unit="ratio",
        value=1 - ours / theirs if possible else None,
        denominator=forecast.height if possible else 0,
        excluded=exclusions,
        open=open_,
        missing_reason=""
        if possible
        else "no earlier days are loaded"
        if not past.height
        else "no search of the window is over",
        remark=f"{ours:.4f} against {theirs:.4f}, fitted on {past.height:,} earlier searches"
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
        "Searches over 10 min by zone and hour of day (UTC), of all days loaded so far. low, high: Wilson 95 % of "
        f"the share as it stands. risk: the share drawn to the city's at that hour (weight {PRIOR} searches)."
    )
    units = {
        "hour": "id",
        "searches": "count",
        "late": "count",
        **dict.fromkeys(("share", "low", "high", "risk"), "share"),
    }
    return Table(name="risk", title="Risk of a long search", frame=frame, units=units, note=note)

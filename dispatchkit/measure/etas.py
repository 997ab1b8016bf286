"""How accurate were predicted delivery times, by quote event?

The first quote of a delivery at an event counts. Events are never pooled: a quote for the last
minutes is easy. Per event (placement, accept, pickup, near_door), intervals as in measure/metric.py:

* `eta_accuracy_<event>`: delivered within 5 min of the quoted time / quotes; an order that never
  arrived is a miss. Excluded: cancelled before quoted time + 5 min. Running orders until then are open.
* `eta_late_<event>`: more than 5 min later than quoted / delivered.
* `eta_coverage_<event>`: delivered inside the quoted interval / delivered. Excluded: no interval quoted.
* `eta_error_p90_<event>`: 90 % point of |delivered - quoted|, delivered only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from dispatchkit.kernel.metrics import Metric, Section, Table
from dispatchkit.measure.metric import Scope, need, quantile, rate

READS = {
    "mart_eta_quotes": (
        "delivery_id event model quote_number quoted_at eta_at low_at high_at outcome ended_at "
        "delivered_at error_s width_s"
    ).split()
}
EVENTS = ("placement", "accept", "pickup", "near_door")
CLOSE = timedelta(minutes=5)
_error, _outcome = pl.col("error_s"), pl.col("outcome")


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return accuracy, bias, lateness and interval coverage of the quotes made in the window."""
    need(marts, READS)
    quotes = marts["mart_eta_quotes"].filter(scope.within("quoted_at"))
    first = quotes.filter(pl.col("quote_number") == 1)
    metrics = [
        m
        for event in EVENTS
        for m in _of_event(first.filter(pl.col("event") == event), event, scope)
    ]
    return Section(
        name="etas",
        title="Predicted delivery times",
        metrics=tuple(metrics),
        tables=(_events(quotes), _errors(first)),
        notes=(
            "The first quote of each delivery and event counts; later ones are revisions. A quote "
            "for the last minutes is easy, so events are never pooled.",
        ),
    )


def _of_event(quotes: pl.DataFrame, event: str, scope: Scope) -> list[Metric]:
    by = f"first quotes at {event} by quote time"
    if_empty = f"no quotes at {event} were imported"
    cancelled = (_outcome == "cancelled") & (pl.col("ended_at") < pl.col("eta_at") + CLOSE)
    delivered = quotes.filter(_outcome == "delivered")
    within = rate(
        f"eta_accuracy_{event}",
        quotes,
        _error.abs() <= CLOSE.total_seconds(),
        scope,
        by=by,
        at="quoted_at",
        excluded={"cancelled before quoted time + 5 min": cancelled},
        open_=(_outcome == "open") & (pl.col("eta_at") + CLOSE > scope.as_of),
        if_empty=if_empty,
        definition="delivered within 5 min of the quoted time / quotes; an order that never arrived is "
        "a miss",
    )
    late = rate(
        f"eta_late_{event}",
        delivered,
        _error > CLOSE.total_seconds(),
        scope,
        by=by,
        at="quoted_at",
        if_empty=if_empty,
        definition="more than 5 min later than quoted / delivered",
    )
    covered = rate(
        f"eta_coverage_{event}",
        delivered,
        pl.col("delivered_at").is_between("low_at", "high_at"),
        scope,
        by=by,
        at="quoted_at",
        excluded={
            "quoted without an interval": pl.col("low_at").is_null() | pl.col("high_at").is_null()
        },
        if_empty=if_empty if quotes.is_empty() else "no quote carries an interval",
        definition="delivered inside the quoted interval / delivered with an interval (expected: 80 %)",
    )
    p90 = quantile(
        f"eta_error_p90_{event}",
        delivered,
        _error.abs(),
        0.9,
        scope,
        by=by,
        if_empty=if_empty,
        definition="p90 of the distance between quoted and actual time, delivered only",
    )
    return [within, late, covered, p90]


def _events(quotes: pl.DataFrame) -> Table:
    first = pl.col("quote_number") == 1
    delivered = first & (_outcome == "delivered")
    frame = (
        quotes.group_by("event", "model")
        .agg(
            quotes=first.sum().cast(pl.Int64),
            delivered=delivered.sum().cast(pl.Int64),
            bias_min=_error.filter(delivered).mean() / 60,
            error_median_min=_error.filter(delivered).abs().median() / 60,
            width_mean_min=pl.col("width_s").filter(first).mean() / 60,
            revisions=(~first).sum().cast(pl.Int64),
        )
        .sort(
            pl.col("event").replace_strict(
                {e: i for i, e in enumerate(EVENTS)}, return_dtype=pl.Int64
            ),
            "model",
        )
    )
    units = {"quotes": "count", "delivered": "count", "revisions": "count"}
    units |= dict.fromkeys(("bias_min", "error_median_min", "width_mean_min"), "minutes")
    note = (
        "Bias above zero: orders arrived later than quoted. Revisions: quotes after the first of the "
        "same event."
    )
    return Table(
        name="events", title="Quotes by event and model", frame=frame, units=units, note=note
    )


def _errors(first: pl.DataFrame) -> Table:
    frame = (
        first.filter(_outcome == "delivered")
        .group_by("event", late_min=(_error / 60).round(0).clip(-30, 30).cast(pl.Int64))
        .agg(quotes=pl.len().cast(pl.Int64))
        .sort("event", "late_min")
    )
    note = "Whole minutes later than quoted (below zero: earlier); the ends hold all beyond 30."
    return Table(
        name="errors", title="Errors by event", frame=frame, units={"quotes": "count"}, note=note
    )

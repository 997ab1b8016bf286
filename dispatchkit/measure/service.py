"""Were orders on time, and how fast? All orders beside delivered ones only.

* `on_time_all_orders`: delivered by the promise (40 min after placement without one) / orders placed;
  an order that never arrived is late. Excluded: test orders, orders without a delivery, cancelled
  before dispatchable. Running orders not yet due are open. Intervals as in measure/metric.py.
* `on_time_delivered_only`: the same over delivered orders.
* `<duration>_<median|p90>_<all_orders|delivered_only>` for click_to_door, ready_to_door and
  ready_to_pickup: quantiles in minutes. Over all orders, one that never arrived counts as longer than
  any other. Excluded besides: a time is missing. Intervals: order statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import polars as pl

from dispatchkit.kernel.metrics import Metric, Section
from dispatchkit.measure.metric import Scope, count, need, quantile, rate

READS = {
    "mart_deliveries": (
        "outcome source superseded dispatchable picked_up placed_at promised_at ready_at delivered_at "
        "click_to_door_s ready_to_door_s ready_to_pickup_s"
    ).split()
}
# Target for click-to-door of the Grubhub meal delivery instances (Reyes et al. 2018).
ON_TIME_WITHOUT_PROMISE = timedelta(minutes=40)

_outcome = pl.col("outcome")
_test = pl.col("source") == "test"
_running = _outcome == "open"
_excluded = {
    "test order": _test,
    "order without a delivery": _outcome == "no_delivery",
    "cancelled before dispatchable": (_outcome == "cancelled") & ~pl.col("dispatchable"),
}


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return on-time shares and the medians and 90 % points of the orders placed in the window."""
    need(marts, READS)
    orders = marts["mart_deliveries"].filter(scope.within("placed_at") & ~pl.col("superseded"))
    without_promise = count(orders, pl.col("promised_at").is_null())
    remark = ""
    if without_promise:
        remark = (
            f"{without_promise:,} of {orders.height:,} orders carry no promise: on time is then "
            "40 min after placement"
        )
    return Section(
        name="service",
        title="On time and how fast",
        metrics=(
            *(replace(m, remark=remark) for m in _on_time(orders, scope)),
            *_times(orders, scope),
        ),
    )


def _on_time(orders: pl.DataFrame, scope: Scope) -> tuple[Metric, ...]:
    due = pl.coalesce("promised_at", pl.col("placed_at") + ON_TIME_WITHOUT_PROMISE)
    on_time = (pl.col("delivered_at") <= due).fill_null(value=False)
    by = "orders by creation"
    all_orders = rate(
        "on_time_all_orders",
        orders,
        on_time,
        scope,
        by=by,
        at="placed_at",
        excluded=_excluded,
        open_=_running & (due > scope.as_of),
        definition="delivered by the promise (40 min after placement without one) / orders created; "
        "an order that never arrived is late",
    )
    delivered = rate(
        "on_time_delivered_only",
        orders.filter(_outcome == "delivered"),
        on_time,
        scope,
        by="delivered orders by creation",
        at="placed_at",
        excluded={"test order": _test},
        definition="the same, over delivered orders only",
    )
    return all_orders, delivered


def _times(orders: pl.DataFrame, scope: Scope) -> list[Metric]:
    durations = {
        "click_to_door": ("click_to_door_s", "delivered - placed", pl.lit(value=False)),
        "ready_to_door": ("ready_to_door_s", "delivered - ready", pl.col("ready_at").is_null()),
        "ready_to_pickup": ("ready_to_pickup_s", "picked up - ready", pl.col("ready_at").is_null()),
    }
    delivered = orders.filter(_outcome == "delivered")
    metrics = []
    for name, (column, span, no_start) in durations.items():
        for q, point in ((0.5, "median"), (0.9, "p90")):
            metrics.append(
                quantile(
                    f"{name}_{point}_delivered_only",
                    delivered,
                    pl.col(column),
                    q,
                    scope,
                    by="delivered orders by creation",
                    excluded={"test order": _test, "a time is missing": pl.col(column).is_null()},
                    if_empty="the source gives no such times",
                    definition=f"{point} of {span}, delivered orders only",
                )
            )
            metrics.append(
                quantile(
                    f"{name}_{point}_all_orders",
                    orders,
                    pl.col(column),
                    q,
                    scope,
                    by="orders by creation",
                    excluded={**_excluded, "a time is missing": no_start | _time_missing(column)},
                    open_=_running & pl.col(column).is_null(),
                    if_empty="the source gives no such times",
                    definition=f"{point} of {span}, all orders; one that never arrived is longer than "
                    "any other",
                )
            )
    return metrics


def _time_missing(column: str) -> pl.Expr:
    """Return whether an order reached the end of a duration that is not known."""
    reached = pl.col("picked_up") if column == "ready_to_pickup_s" else _outcome == "delivered"
    return reached & pl.col(column).is_null()

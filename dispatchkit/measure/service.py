"""How well orders were served: on time and how fast, all orders beside delivered-only (semantics, section 5)."""

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
ON_TIME_WITHOUT_PROMISE = timedelta(minutes=40)  # the Grubhub instances' target for click-to-door

_outcome = pl.col("outcome")
_test = pl.col("source") == "test"
_running = _outcome == "open"
_left_out = {
    "test order": _test,
    "order without a delivery": _outcome == "no_delivery",
    "cancelled before dispatchable": (_outcome == "cancelled") & ~pl.col("dispatchable"),
}


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return on-time shares and the medians and 90 % points of the orders placed in the window."""
    need(marts, READS)
    orders = marts["mart_deliveries"].filter(scope.within("placed_at") & ~pl.col("superseded"))
    unpromised = count(orders, pl.col("promised_at").is_null())
    rule = ""
    if unpromised:
        rule = f"{unpromised:,} of {orders.height:,} orders carry no promise: on time is then 40 min after placement"
    return Section(
        name="service",
        title="On time and how fast",
        metrics=(
            *(replace(m, remark=rule) for m in _on_time(orders, scope)),
            *_times(orders, scope),
        ),
    )


def _on_time(orders: pl.DataFrame, scope: Scope) -> tuple[Metric, ...]:
    due = pl.coalesce("promised_at", pl.col("placed_at") + ON_TIME_WITHOUT_PROMISE)
    on_time = (pl.col("delivered_at") <= due).fill_null(value=False)
    by = "orders by creation"
    late_too = rate(
        "on_time_all_orders",
        orders,
        on_time,
        scope,
        by=by,
        at="placed_at",
        excluded=_left_out,
        open_=_running & (due > scope.as_of),
        definition="delivered by the promise (40 min after placement where none was given) / orders created; an order "
        "that never arrived is late",
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
    return late_too, delivered


def _times(orders: pl.DataFrame, scope: Scope) -> list[Metric]:
    asked = {
        "click_to_door": ("click_to_door_s", "delivered - placed", pl.lit(value=False)),
        "ready_to_door": ("ready_to_door_s", "delivered - ready", pl.col("ready_at").is_null()),
        "ready_to_pickup": ("ready_to_pickup_s", "picked up - ready", pl.col("ready_at").is_null()),
    }
    delivered = orders.filter(_outcome == "delivered")
    metrics = []
    for name, (column, words, no_start) in asked.items():
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
                    definition=f"{point} of {words}, delivered orders only",
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
                    excluded={**_left_out, "a time is missing": no_start | _lost(column)},
                    open_=_running & pl.col(column).is_null(),
                    if_empty="the source gives no such times",
                    definition=f"{point} of {words}, all orders; one that never got there is longer than any other",
                )
            )
    return metrics


def _lost(column: str) -> pl.Expr:
    reached = pl.col("picked_up") if column == "ready_to_pickup_s" else _outcome == "delivered"
    return reached & pl.col(column).is_null()

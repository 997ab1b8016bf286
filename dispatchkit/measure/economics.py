"""What did orders earn and cost, to the cent? Costs are allocated, not marginal.

All metrics exclude test orders; running orders are open in the means.

* `net_revenue_per_order`: fees + commission + uplift - refunds, credits and promotions / orders placed.
* `driver_cost_per_order`: pay and allocated top-ups / orders placed; idle top-ups are separate.
* `contribution_per_order`: net revenue - driver cost - other variable cost / orders placed.
* `contribution_per_delivered`: the same / delivered orders.
  Intervals of the four: bootstrap over days from five days, else normal over orders.
* `contribution_margin`: (contribution - idle top-ups) / net revenue, in cents. No interval.
* `idle_topup_share`: top-ups of drivers without a delivery / all top-ups, in cents. No interval.
* Checks: top-ups, driver cost and net revenue add up between orders and ledger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from dispatchkit.kernel.metrics import Check, Exclusion, Metric, Section, Table
from dispatchkit.kernel.money import dollars
from dispatchkit.measure.metric import MIN_BOOTSTRAP_DAYS, Z95, Scope, bootstrap, count, need

READS = {
    "mart_deliveries": "order_id outcome source superseded placed_at zone".split(),
    "mart_costs": "delivery_id order_id driver_id counted_at kind side zone signed_cents".split(),
    "mart_revenue": "order_id counted_at kind side signed_cents".split(),
}
TOPUPS = ("guarantee_topup", "idle_topup")
NO_LEDGER = "no ledger lines were imported"
_cents = pl.col("signed_cents")


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return revenue, cost and contribution of the orders placed in the window."""
    need(marts, READS)
    placed = marts["mart_deliveries"].filter(scope.within("placed_at") & ~pl.col("superseded"))
    orders = placed.filter(pl.col("source") != "test")
    tests = placed.filter(pl.col("source") == "test").select("order_id")
    costs = (
        marts["mart_costs"]
        .filter(scope.within("counted_at"))
        .join(tests, on="order_id", how="anti")
    )
    revenue = (
        marts["mart_revenue"]
        .filter(scope.within("counted_at"))
        .join(tests, on="order_id", how="anti")
    )
    per_order = _per_order(orders, costs, revenue)
    excluded = (Exclusion("test order", tests.height),)
    return Section(
        name="economics",
        title="Money",
        metrics=tuple(replace(m, excluded=excluded) for m in _metrics(per_order, costs, scope)),
        tables=(_ledger(costs, revenue), _bridge(costs, revenue), _by_zone(per_order)),
        checks=_checks(per_order, costs, revenue),
        notes=(
            "Amounts are in the currency of the ledger.",
            "Costs are allocated: a driver's guarantee is spread over the orders of the shift. One "
            "more order for a driver below the guarantee would cost nothing in pay.",
            "Refunds are possible for 14 days after an order; until then its margin can change. "
            "Fixed cost is not included.",
        ),
    )


def _per_order(orders: pl.DataFrame, costs: pl.DataFrame, revenue: pl.DataFrame) -> pl.DataFrame:
    """Return each order with its cents by side, net revenue and contribution."""
    side = pl.col("side")
    earned = revenue.group_by("order_id").agg(
        revenue=_cents.filter(side == "revenue").sum(),
        contra=_cents.filter(side == "contra").sum(),
        lines_in=pl.len(),
    )
    spent = (
        costs.filter(pl.col("order_id").is_not_null())
        .group_by("order_id")
        .agg(
            driver=_cents.filter(side == "driver").sum(),
            other=_cents.filter(side == "other").sum(),
            lines_out=pl.len(),
        )
    )
    kept = orders.select("order_id", "outcome", "placed_at", "zone")
    joined = kept.join(earned, on="order_id", how="left").join(spent, on="order_id", how="left")
    filled = joined.with_columns(
        pl.col("revenue", "contra", "driver", "other", "lines_in", "lines_out").fill_null(0)
    ).with_columns(net=pl.col("revenue") - pl.col("contra"))
    return filled.with_columns(
        contribution=pl.col("net") - pl.col("driver") - pl.col("other")
    ).sort("order_id")


def _metrics(orders: pl.DataFrame, costs: pl.DataFrame, scope: Scope) -> tuple[Metric, ...]:
    has_ledger = count(orders, (pl.col("lines_in") > 0) | (pl.col("lines_out") > 0)) > 0
    idle = int(costs.filter(pl.col("order_id").is_null())["signed_cents"].sum())
    delivered = orders.filter(pl.col("outcome") == "delivered")
    means_of = {
        "net_revenue_per_order": (
            "net",
            orders,
            "fees + commission + uplift - refunds, credits and promotions",
        ),
        "driver_cost_per_order": (
            "driver",
            orders,
            "pay and allocated top-ups; idle top-ups are separate",
        ),
        "contribution_per_order": (
            "contribution",
            orders,
            "net revenue - driver cost - other variable cost",
        ),
        "contribution_per_delivered": (
            "contribution",
            delivered,
            "the same, over delivered orders only",
        ),
    }
    means = [
        _mean(name, rows, column, formula, scope, has_ledger)
        for name, (column, rows, formula) in means_of.items()
    ]
    return *means, _margin(orders, idle, scope, has_ledger), _idle_share(costs, scope)


def _mean(
    name: str, rows: pl.DataFrame, column: str, formula: str, scope: Scope, has_ledger: bool
) -> Metric:
    values = rows[column]
    n, total = rows.height, int(values.sum())
    low = high = None
    method = ""
    if has_ledger and len(scope.days) >= MIN_BOOTSTRAP_DAYS:
        days = (
            rows.group_by(_day=scope.day_number("placed_at"))
            .agg(pl.col(column).sum(), pl.len())
            .sort("_day")
        )
        bounds = bootstrap(name, [(a, b) for _, a, b in days.iter_rows()], scope.seed)
        low, high, method = (*bounds, "bootstrap over days") if bounds else (None, None, "")
    elif has_ledger and n > 1:
        margin = Z95 * float(str(values.std())) / math.sqrt(n)
        low, high, method = (
            total / n - margin,
            total / n + margin,
            "normal; orders of one day taken as independent",
        )
    return Metric(
        name=name,
        definition=f"{formula} / orders",
        cohort=scope.cohort("orders by creation"),
        unit="cents",
        value=total / n if n and has_ledger else None,
        numerator=total if has_ledger else 0,
        fraction_units=("cents", "count"),
        denominator=n if has_ledger else 0,
        open=count(rows, pl.col("outcome") == "open") if has_ledger else 0,
        low=low,
        high=high,
        interval_method=method,
        missing_reason="" if has_ledger else NO_LEDGER,
    )


def _margin(orders: pl.DataFrame, idle: int, scope: Scope, has_ledger: bool) -> Metric:
    net, contribution = int(orders["net"].sum()), int(orders["contribution"].sum()) - idle
    return Metric(
        name="contribution_margin",
        definition="(net revenue - driver cost incl. idle top-ups - other variable cost) / net revenue",
        cohort=scope.cohort("orders by creation"),
        unit="share",
        value=contribution / net if net and has_ledger else None,
        numerator=contribution,
        denominator=net,
        fraction_units=("cents", "cents"),
        missing_reason="" if has_ledger and net else NO_LEDGER,
    )


def _idle_share(costs: pl.DataFrame, scope: Scope) -> Metric:
    topups = costs.filter(pl.col("kind").is_in(TOPUPS))
    total = int(topups["signed_cents"].sum())
    idle = int(topups.filter(pl.col("kind") == "idle_topup")["signed_cents"].sum())
    return Metric(
        name="idle_topup_share",
        definition="top-ups of drivers without a delivery / all top-ups",
        cohort=scope.cohort("ledger lines by order, idle lines by time"),
        unit="share",
        value=idle / total if total else None,
        numerator=idle,
        denominator=total,
        fraction_units=("cents", "cents"),
        missing_reason="" if total else "no top-up was paid",
    )


def _ledger(costs: pl.DataFrame, revenue: pl.DataFrame) -> Table:
    columns = ["side", "kind", "signed_cents"]
    frame = (
        pl.concat([revenue.select(columns), costs.select(columns)])
        .group_by("side", "kind")
        .agg(lines=pl.len().cast(pl.Int64), cents=_cents.sum())
        .sort(pl.col("side").replace_strict(_SIDE_ORDER, return_dtype=pl.Int64), "side", "kind")
    )
    note = "Tips, tax and goods are passed through: neither revenue nor cost."
    return Table(
        name="ledger",
        title="Ledger by kind",
        frame=frame,
        units={"lines": "count", "cents": "cents"},
        note=note,
    )


_SIDE_ORDER = {"revenue": 0, "contra": 1, "driver": 2, "other": 3, "pass_through": 4}


def _bridge(costs: pl.DataFrame, revenue: pl.DataFrame) -> Table:
    def total(rows: pl.DataFrame, condition: pl.Expr) -> int:
        return int(rows.filter(condition)["signed_cents"].sum())

    side, topup = pl.col("side"), pl.col("kind").is_in(TOPUPS)
    steps = [
        ("revenue", total(revenue, side == "revenue")),
        ("refunds, credits, promotions", -total(revenue, side == "contra")),
        ("driver pay", -total(costs, (side == "driver") & ~topup)),
        ("top-ups on orders", -total(costs, pl.col("kind") == "guarantee_topup")),
        ("idle top-ups", -total(costs, pl.col("kind") == "idle_topup")),
        ("other variable cost", -total(costs, side == "other")),
    ]
    steps.append(("contribution", sum(cents for _, cents in steps)))
    frame = pl.DataFrame(steps, schema={"step": pl.String, "cents": pl.Int64}, orient="row")
    return Table(
        name="bridge", title="From revenue to contribution", frame=frame, units={"cents": "cents"}
    )


def _by_zone(orders: pl.DataFrame) -> Table:
    summed = ("net", "driver", "other", "contribution")
    frame = (
        orders.group_by("zone")
        .agg(pl.len().cast(pl.Int64).alias("orders"), *(pl.col(c).sum() for c in summed))
        .with_columns(per_order=pl.col("contribution") / pl.col("orders"))
        .sort("zone")
    )
    units = {"orders": "count", "per_order": "cents", **dict.fromkeys(summed, "cents")}
    return Table(
        name="by_zone",
        title="Contribution by zone",
        frame=frame,
        units=units,
        note="Idle top-ups are separate.",
    )


def _checks(orders: pl.DataFrame, costs: pl.DataFrame, revenue: pl.DataFrame) -> tuple[Check, ...]:
    driver = costs.filter(pl.col("side") == "driver")
    topups = costs.filter(pl.col("kind").is_in(TOPUPS))
    on_orders = int(topups.filter(pl.col("order_id").is_not_null())["signed_cents"].sum())
    idle = int(topups.filter(pl.col("kind") == "idle_topup")["signed_cents"].sum())
    payroll = int(driver["signed_cents"].sum())
    by_order = int(orders["driver"].sum())
    without_order = int(driver.filter(pl.col("order_id").is_null())["signed_cents"].sum())
    net = int(revenue.filter(pl.col("side") == "revenue")["signed_cents"].sum())
    net -= int(revenue.filter(pl.col("side") == "contra")["signed_cents"].sum())
    return (
        _adds_up(
            "top-ups: on orders + idle = all", on_orders + idle, int(topups["signed_cents"].sum())
        ),
        _adds_up(
            "driver cost: by order + without order = payroll", by_order + without_order, payroll
        ),
        _adds_up("net revenue: by order = by ledger", int(orders["net"].sum()), net),
    )


def _adds_up(name: str, parts: int, whole: int) -> Check:
    return Check(
        name,
        parts == whole,
        f"{dollars(parts)} against {dollars(whole)}, off by {dollars(parts - whole)}",
    )

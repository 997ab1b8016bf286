"""How far did driver searches escalate, how late, why, and how many tickets did that cost?

* `escalation_lag_median`, `escalation_lag_p90`: quantiles of (level reached - level due) over searches
  above level 0, for the highest level of each: how late the sweeps were. Excluded: a time is missing.
  Interval: order statistics.
* `escalation_tickets_per_1000`: tickets opened by escalation within 24 h of the order / 1,000 orders
  placed. Excluded: test orders, orders without a delivery. Open: running orders younger than 24 h.
  Interval: bootstrap over days. Customers' own tickets are not counted.
* Tables: highest level of each search, cause of each escalated search, tickets by level and cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from dispatchkit.domain.search_delay_cause import delay_cause
from dispatchkit.domain.states import DelayCause
from dispatchkit.kernel.metrics import Check, Metric, Section, Table
from dispatchkit.measure.metric import Scope, bootstrap, count, need, quantile, split_rows

READS = {
    "mart_deliveries": "order_id delivery_id outcome source superseded placed_at".split(),
    "mart_episodes": (
        "episode opened_at closed_at state level level_due_at level_at implied pickup_known "
        "released_for untaken"
    ).split(),
    "mart_tickets": "order_id placed_at opened_at level cause state".split(),
}
LEVELS = (
    "normal search",
    "wider search, higher pay",
    "operations notified",
    "ticket opened",
    "a person must act",
)
# A ticket opened longer after its order has another reason.
TICKET_WINDOW = timedelta(hours=24)
NO_SEARCHES = "no searches were imported"
# The draws of the bootstrap depend on this name; it stays, so that intervals stay the same.
BOOTSTRAP_NAME = "ladder_tickets_per_1000"


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return the levels, causes and tickets of the searches opened in the window."""
    need(marts, READS)
    searches = marts["mart_episodes"].filter(~pl.col("implied") & scope.within("opened_at"))
    causes, check = _causes(searches)
    return Section(
        name="escalation",
        title="Escalated searches",
        metrics=(*_lags(searches, scope), _tickets_per_1000(marts, scope)),
        tables=(_levels(searches), causes, _tickets(marts["mart_tickets"], scope)),
        checks=(check,),
    )


def _levels(searches: pl.DataFrame) -> Table:
    ends = {
        state.lower(): (pl.col("state") == state).sum().cast(pl.Int64)
        for state in ("ASSIGNED", "UNFULFILLED")
    }
    levels = pl.DataFrame(
        {"level": range(len(LEVELS)), "meaning": LEVELS}, schema_overrides={"level": pl.Int64}
    )
    counts = searches.group_by(pl.col("level").cast(pl.Int64)).agg(
        searches=pl.len().cast(pl.Int64), **ends
    )
    frame = (
        levels.join(counts, on="level", how="left")
        .with_columns(pl.col("searches", *ends).fill_null(0))
        .with_columns(
            share=pl.col("searches") / searches.height
            if searches.height
            else pl.lit(None, pl.Float64)
        )
        .sort("level")
    )
    note = "The highest level that each search reached. Shares are of all searches opened in the window."
    units = {
        "level": "id",
        "searches": "count",
        "assigned": "count",
        "unfulfilled": "count",
        "share": "share",
    }
    return Table(
        name="levels", title="Highest escalation level", frame=frame, units=units, note=note
    )


def _causes(searches: pl.DataFrame) -> tuple[Table, Check]:
    """Return the cause of each closed search above level 0, and whether the causes add up."""
    closed = searches.filter(
        (pl.col("level") > 0) & pl.col("closed_at").is_not_null()
    ).with_columns(delay_cause())
    unfulfilled = (pl.col("state") == "UNFULFILLED").sum().cast(pl.Int64).alias("unfulfilled")
    counts = closed.group_by("cause").agg(unfulfilled, searches=pl.len().cast(pl.Int64))
    frame = (
        pl.DataFrame({"cause": [cause.value for cause in DelayCause]})
        .join(counts, on="cause", how="left")
        .select("cause", pl.col("searches", "unfulfilled").fill_null(0))
        .with_columns(
            share=pl.col("searches") / closed.height if closed.height else pl.lit(None, pl.Float64)
        )
    )
    with_cause = int(frame["searches"].sum())
    table = Table(
        name="causes",
        title="Why searches escalated",
        frame=frame,
        units={"searches": "count", "unfulfilled": "count", "share": "share"},
        note=f"Of {closed.height:,} escalated searches that are closed; each has the first cause that "
        "applies.",
    )
    detail = f"{with_cause:,} of {closed.height:,} escalated searches have a cause"
    return table, Check("causes add up", with_cause == closed.height, detail)


def _lags(searches: pl.DataFrame, scope: Scope) -> list[Metric]:
    escalated = searches.filter(pl.col("level") > 0)
    lag = pl.col("level_at") - pl.col("level_due_at")
    return [
        quantile(
            f"escalation_lag_{point}",
            escalated,
            lag.dt.total_microseconds() / 1e6,
            q,
            scope,
            by="escalated searches by opening",
            excluded={"a time is missing": lag.is_null()},
            if_empty="no search escalated" if searches.height else NO_SEARCHES,
            definition=f"{point} of reached - due, for the highest level of each search: how late the "
            "sweeps were",
        )
        for q, point in ((0.5, "median"), (0.9, "p90"))
    ]


def _tickets_per_1000(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Metric:
    """Return the tickets that escalation opened per 1,000 orders."""
    orders = marts["mart_deliveries"].filter(scope.within("placed_at") & ~pl.col("superseded"))
    young = (pl.col("outcome") == "open") & (pl.col("placed_at") + TICKET_WINDOW > scope.as_of)
    exclude = {
        "test order": pl.col("source") == "test",
        "order without a delivery": pl.col("outcome") == "no_delivery",
    }
    counted, exclusions, open_ = split_rows(orders, exclude, young)
    in_time = marts["mart_tickets"].filter(
        pl.col("opened_at") - pl.col("placed_at") <= TICKET_WINDOW
    )
    opened = in_time.group_by("order_id").agg(tickets=pl.len().cast(pl.Int64))
    marked = counted.join(opened, on="order_id", how="left").with_columns(
        pl.col("tickets").fill_null(0)
    )
    per_day = (
        marked.group_by(scope.day_number("placed_at").alias("day"))
        .agg(pl.col("tickets").sum(), pl.len())
        .sort("day")
    )
    bounds = bootstrap(BOOTSTRAP_NAME, [(a, b) for _, a, b in per_day.iter_rows()], scope.seed)
    tickets, n = int(marked["tickets"].sum()), marked.height
    return Metric(
        name="escalation_tickets_per_1000",
        definition="tickets opened by escalation within 24 h of an order / 1,000 orders; tickets of "
        "customers are not counted",
        cohort=scope.cohort("orders by creation"),
        unit="ratio",
        value=1000 * tickets / n if n else None,
        numerator=tickets,
        denominator=n,
        excluded=exclusions,
        open=open_,
        low=1000 * bounds[0] if bounds else None,
        high=1000 * bounds[1] if bounds else None,
        interval_method="bootstrap over days" if bounds else "",
        missing_reason="" if n else "no such rows",
        remark="per 1,000" if n else "",
    )


def _tickets(tickets: pl.DataFrame, scope: Scope) -> Table:
    frame = (
        tickets.filter(scope.within("opened_at"))
        .group_by("level", "cause")
        .agg(
            tickets=pl.len().cast(pl.Int64),
            still_open=(pl.col("state") == "OPEN").sum().cast(pl.Int64),
        )
        .sort("level", "cause")
    )
    note = f"Opened in the window: {count(tickets, scope.within('opened_at')):,}."
    units = {"level": "id", "tickets": "count", "still_open": "count"}
    return Table(name="tickets", title="Tickets for people", frame=frame, units=units, note=note)

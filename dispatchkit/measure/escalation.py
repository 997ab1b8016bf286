"""The ladder: how far searches climbed, how late a level was told, why it came to that, and what it cost in tickets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from dispatchkit.domain.search_delay_cause import CAUSES, delay_cause
from dispatchkit.kernel.metrics import Check, Metric, Section, Table
from dispatchkit.measure.metric import Scope, bootstrap, count, need, quantile, split_rows

READS = {
    "mart_deliveries": "order_id delivery_id outcome source superseded placed_at".split(),
    "mart_episodes": (
        "episode opened_at closed_at state level level_due_at level_at implied pickup_known released_for untaken"
    ).split(),
    "mart_tickets": "order_id placed_at opened_at level cause state".split(),
}
LEVELS = (
    "normal search",
    "wider and dearer",
    "operations told",
    "ticket opened",
    "a person must act",
)
WITHIN = timedelta(hours=24)  # of the order: a ticket later than that is about something else
NO_SEARCHES = "no searches were imported"
# The draws of the bootstrap depend on this name; it stays, so that intervals stay the same.
BOOTSTRAP_NAME = "ladder_tickets_per_1000"


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return the climb of the searches opened in the window, the cause of those that climbed, and their tickets."""
    need(marts, READS)
    searches = marts["mart_episodes"].filter(~pl.col("implied") & scope.within("opened_at"))
    causes, check = _causes(searches)
    return Section(
        name="escalation",
        title="Searches that climbed",
        metrics=(*_lags(searches, scope), _tickets_per_1000(marts, scope)),
        tables=(_levels(searches), causes, _tickets(marts["mart_tickets"], scope)),
        checks=(check,),
    )


def _levels(searches: pl.DataFrame) -> Table:
    ends = {
        word.lower(): (pl.col("state") == word).sum().cast(pl.Int64)
        for word in ("ASSIGNED", "UNFULFILLED")
    }
    named = pl.DataFrame(
        {"level": range(len(LEVELS)), "means": LEVELS}, schema_overrides={"level": pl.Int64}
    )
    reached = searches.group_by(pl.col("level").cast(pl.Int64)).agg(
        searches=pl.len().cast(pl.Int64), **ends
    )
    frame = (
        named.join(reached, on="level", how="left")
        .with_columns(pl.col("searches", *ends).fill_null(0))
        .with_columns(
            share=pl.col("searches") / searches.height
            if searches.height
            else pl.lit(None, pl.Float64)
        )
        .sort("level")
    )
    note = "The highest level each search reached. Shares are of the searches opened in the window, and add up to them."
    units = {
        "level": "id",
        "searches": "count",
        "assigned": "count",
        "unfulfilled": "count",
        "share": "share",
    }
    return Table(
        name="levels", title="How far searches climbed", frame=frame, units=units, note=note
    )


def _causes(searches: pl.DataFrame) -> tuple[Table, Check]:
    """Return why searches that climbed and are over took so long, one cause each, and whether the causes add up."""
    over = searches.filter((pl.col("level") > 0) & pl.col("closed_at").is_not_null()).with_columns(
        delay_cause()
    )
    unfulfilled = (pl.col("state") == "UNFULFILLED").sum().cast(pl.Int64).alias("unfulfilled")
    found = over.group_by("cause").agg(unfulfilled, searches=pl.len().cast(pl.Int64))
    frame = (
        pl.DataFrame({"cause": CAUSES})
        .join(found, on="cause", how="left")
        .select("cause", pl.col("searches", "unfulfilled").fill_null(0))
        .with_columns(
            share=pl.col("searches") / over.height if over.height else pl.lit(None, pl.Float64)
        )
    )
    told = int(frame["searches"].sum())
    table = Table(
        name="causes",
        title="Why searches climbed",
        frame=frame,
        units={"searches": "count", "unfulfilled": "count", "share": "share"},
        note=f"Of {over.height:,} searches that climbed and are over; one cause each, the first that fits.",
    )
    detail = f"{told:,} of {over.height:,} searches that climbed have a cause"
    return table, Check("causes add up", told == over.height, detail)


def _lags(searches: pl.DataFrame, scope: Scope) -> list[Metric]:
    climbed = searches.filter(pl.col("level") > 0)
    told = pl.col("level_at") - pl.col("level_due_at")
    return [
        quantile(
            f"escalation_lag_{point}",
            climbed,
            told.dt.total_microseconds() / 1e6,
            q,
            scope,
            by="searches that climbed, by opening",
            excluded={"a time is missing": told.is_null()},
            if_empty="no search climbed" if searches.height else NO_SEARCHES,
            definition=f"{point} of told - due, for the highest level of each search: how late sweeps were",
        )
        for q, point in ((0.5, "median"), (0.9, "p90"))
    ]


def _tickets_per_1000(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Metric:
    """Return the tickets that live work opened for every thousand orders; customers' own tickets are another matter."""
    orders = marts["mart_deliveries"].filter(scope.within("placed_at") & ~pl.col("superseded"))
    young = (pl.col("outcome") == "open") & (pl.col("placed_at") + WITHIN > scope.as_of)
    left_out = {
        "test order": pl.col("source") == "test",
        "order without a delivery": pl.col("outcome") == "no_delivery",
    }
    counted, exclusions, open_ = split_rows(orders, left_out, young)
    in_time = marts["mart_tickets"].filter(pl.col("opened_at") - pl.col("placed_at") <= WITHIN)
    opened = in_time.group_by("order_id").agg(tickets=pl.len().cast(pl.Int64))
    marked = counted.join(opened, on="order_id", how="left").with_columns(
        pl.col("tickets").fill_null(0)
    )
    per_day = (
        marked.group_by(scope.day_number("placed_at").alias("day"))
        .agg(pl.col("tickets").sum(), pl.len())
        .sort("day")
    )
    between = bootstrap(BOOTSTRAP_NAME, [(a, b) for _, a, b in per_day.iter_rows()], scope.seed)
    tickets, n = int(marked["tickets"].sum()), marked.height
    return Metric(
        name="escalation_tickets_per_1000",
        definition="tickets that live work opened within 24 h of an order / 1,000 orders; not those of customers",
        cohort=scope.cohort("orders by creation"),
        unit="ratio",
        value=1000 * tickets / n if n else None,
        numerator=tickets,
        denominator=n,
        excluded=exclusions,
        open=open_,
        low=1000 * between[0] if between else None,
        high=1000 * between[1] if between else None,
        interval_method="bootstrap over days" if between else "",
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

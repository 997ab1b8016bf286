"""How far did orders get, and where were they lost?

* `unassigned_never_served`: unfulfilled, or cancelled without a driver / orders placed. Excluded: test
  orders, orders without a delivery, cancelled before dispatchable. Running orders are open.
* `unassigned_ever_late`: over 10 min without a driver in any episode / deliveries by dispatchable time.
  Excluded: no assignment time. Searches still running are open. Intervals as in measure/metric.py.
* `mean_unassigned_orders`: seconds unassigned, summed over deliveries / seconds of the window (mean number
  in the queue, Little 1961). Not available if over a tenth of the searches have no assignment time.
  No interval.
* Tables: stages reached, outcomes, the day by quarter hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from dispatchkit.kernel.metrics import MAX_EXCLUDED_SHARE, Metric, Section, Table
from dispatchkit.measure.metric import Scope, count, need, rate

READS = {
    "mart_deliveries": (
        "order_id outcome ended_while ended_by source superseded dispatchable assigned picked_up never_served "
        "placed_at assigned_at picked_up_at delivered_at offers round1_accepted click_to_door_s search_s"
    ).split(),
    "mart_episodes": "delivery_id opened_at closed_at known dispatch_at".split(),
}
LATE_SEARCH = timedelta(minutes=10)
QUARTER = timedelta(minutes=15)
_outcome = pl.col("outcome")


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return stages, outcomes and waiting times of the orders placed in the window."""
    need(marts, READS)
    orders = marts["mart_deliveries"].filter(scope.within("placed_at") & ~pl.col("superseded"))
    return Section(
        name="funnel",
        title="From order to door",
        metrics=(
            _never_served(orders, scope),
            _ever_late(marts, scope),
            _mean_unassigned(marts, scope),
        ),
        tables=(_stages(orders), _ends(orders), _quarters(marts, scope)),
        notes=_notes(orders),
    )


def _stages(orders: pl.DataFrame) -> Table:
    steps = {
        "created": pl.col("order_id").is_not_null(),
        "dispatchable": pl.col("dispatchable"),
        "offered": pl.col("offers") > 0,
        "first offer accepted": pl.col("round1_accepted") > 0,
        "assigned": pl.col("assigned"),
        "picked up": pl.col("picked_up"),
        "delivered": _outcome == "delivered",
    }
    implied = {
        "assigned": pl.col("assigned") & pl.col("assigned_at").is_null(),
        "picked up": pl.col("picked_up") & pl.col("picked_up_at").is_null(),
    }
    created = orders.height
    rows = [
        (stage, count(orders, reached), count(orders, implied.get(stage, pl.lit(value=False))))
        for stage, reached in steps.items()
    ]
    frame = pl.DataFrame(
        {
            "stage": [stage for stage, _, _ in rows],
            "orders": [n for _, n, _ in rows],
            "share": [n / created if created else None for _, n, _ in rows],
            "implied": [n for _, _, n in rows],
        },
        schema={"stage": pl.String, "orders": pl.Int64, "share": pl.Float64, "implied": pl.Int64},
    )
    note = "Share of orders created. Implied: the stage was reached, but its time is not known."
    units = {"orders": "count", "share": "share", "implied": "count"}
    return Table(name="stages", title="Stages reached", frame=frame, units=units, note=note)


def _ends(orders: pl.DataFrame) -> Table:
    stage = (
        pl.when(_outcome == "cancelled")
        .then(pl.col("ended_while").fill_null("unknown"))
        .otherwise(pl.lit(""))
    )
    frame = (
        orders.group_by(outcome=_outcome, while_=stage, by=pl.col("ended_by").fill_null(""))
        .agg(
            orders=pl.len().cast(pl.Int64), never_served=pl.col("never_served").sum().cast(pl.Int64)
        )
        .rename({"while_": "while"})
        .sort("outcome", "while", "by")
    )
    units = {"orders": "count", "never_served": "count"}
    return Table(
        name="ends",
        title="How orders ended",
        frame=frame,
        units=units,
        note="These rows add up to the orders created.",
    )


def _never_served(orders: pl.DataFrame, scope: Scope) -> Metric:
    return rate(
        "unassigned_never_served",
        orders,
        pl.col("never_served"),
        scope,
        by="orders by creation",
        at="placed_at",
        excluded={
            "test order": pl.col("source") == "test",
            "order without a delivery": _outcome == "no_delivery",
            "cancelled before dispatchable": (_outcome == "cancelled") & ~pl.col("dispatchable"),
        },
        open_=_outcome == "open",
        definition="unfulfilled, or cancelled while without a driver / orders created",
    )


def _ever_late(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Metric:
    episodes = marts["mart_episodes"]
    waited = pl.coalesce("closed_at", pl.lit(scope.as_of)) - pl.col("opened_at")
    searching = pl.col("closed_at").is_null() & pl.col("known")
    waits = (
        episodes.filter(scope.within("dispatch_at"))
        .group_by("delivery_id")
        .agg(
            pl.col("dispatch_at").first(),
            late=(pl.col("known") & (waited > LATE_SEARCH)).any(),
            searching=searching.any(),
            known=pl.col("known").all(),
        )
    )
    return rate(
        "unassigned_ever_late",
        waits,
        pl.col("late"),
        scope,
        by="deliveries by dispatchable time",
        at="dispatch_at",
        excluded={"no assignment time": ~pl.col("known") & ~pl.col("late")},
        open_=pl.col("searching") & ~pl.col("late"),
        if_empty="no assignment times were imported",
        definition="without a driver for over 10 min in any episode / deliveries dispatchable",
    )


def _mean_unassigned(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Metric:
    episodes = marts["mart_episodes"]
    start, end = pl.lit(scope.window.since), pl.lit(scope.known_until)
    unassigned = pl.min_horizontal(pl.coalesce("closed_at", end), end) - pl.max_horizontal(
        "opened_at", start
    )
    untimed = count(episodes.filter(scope.within("opened_at")), ~pl.col("known"))
    seconds = (
        episodes.filter("known")
        .select(unassigned.dt.total_microseconds().clip(lower_bound=0).sum())
        .item()
        / 1e6
    )
    span = (scope.known_until - scope.window.since).total_seconds()
    is_known = span > 0 and untimed <= MAX_EXCLUDED_SHARE * count(
        episodes, scope.within("opened_at")
    )
    return Metric(
        name="mean_unassigned_orders",
        definition="time spent unassigned, summed over deliveries / length of the window: how many "
        "wait on average",
        cohort=scope.cohort("wall clock"),
        unit="ratio",
        value=seconds / span if is_known else None,
        numerator=round(seconds),
        denominator=round(span),
        fraction_units=("seconds", "seconds"),
        missing_reason="" if is_known else f"{untimed:,} searches have no assignment time",
    )


def _quarters(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Table:
    starts = [at for at in scope.window.slots(QUARTER) if at < scope.known_until]
    spans = pl.DataFrame({"at": starts}, schema={"at": pl.Datetime("us", "UTC")})
    live = marts["mart_deliveries"].filter(~pl.col("superseded"))
    frame = spans.with_columns(
        orders=_per_quarter(live, "placed_at", spans),
        assigned=_per_quarter(live.filter("assigned"), "assigned_at", spans),
        delivered=_per_quarter(live, "delivered_at", spans),
        unassigned=_waiting(marts["mart_episodes"], spans),
    )
    note = (
        "Orders placed, assigned and delivered in each quarter hour, and how many waited for a driver "
        "at its end."
    )
    units = {"orders": "count", "assigned": "count", "delivered": "count", "unassigned": "count"}
    return Table(
        name="quarters", title="The day by quarter hour", frame=frame, units=units, note=note
    )


def _per_quarter(rows: pl.DataFrame, column: str, spans: pl.DataFrame) -> pl.Series:
    """Return how many times of a column lie in each quarter hour."""
    times = rows.select(pl.col(column).drop_nulls().sort()).to_series()
    edges = pl.concat([spans["at"], (spans["at"].tail(1) + QUARTER)])
    before = times.search_sorted(edges, side="left").cast(pl.Int64)
    return before.diff().drop_nulls()


def _waiting(episodes: pl.DataFrame, spans: pl.DataFrame) -> pl.Series:
    """Return how many searches are open at the end of each quarter hour."""
    known = episodes.filter("known")
    ends = spans["at"] + QUARTER
    opened = known["opened_at"].sort().search_sorted(ends, side="left")
    closed = known["closed_at"].drop_nulls().sort().search_sorted(ends, side="left")
    return opened.cast(pl.Int64) - closed.cast(pl.Int64)


def _notes(orders: pl.DataFrame) -> tuple[str, ...]:
    backwards = count(orders, pl.min_horizontal("click_to_door_s", "search_s") < 0)
    notes = []
    if backwards:
        notes.append(
            f"{backwards:,} orders have a stage that ends before it begins; they are counted as imported."
        )
    if orders.height and count(orders, _outcome == "delivered") == orders.height:
        notes.append(
            "Every order here was delivered: the source may list no others, so nothing is known of them."
        )
    return tuple(notes)

"""How do drivers perform, how busy are they, and how evenly were offers spread?

* `drivers_tracked`: drivers with a score, or marked as having too few events / drivers with at least one
  available minute in the window. Interval: Wilson.
* `driver_utilisation`: seconds with a delivery in hand / seconds on duty and available. No interval.
* `offer_gini`: Gini coefficient (Gini 1912) of offers per available hour over the same drivers;
  0: all alike; near 1: one driver gets all. No interval.
* Table `drivers`: scores (see measure/scores.py), hours, offers, earnings without tips.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from dispatchkit.kernel.metrics import Metric, Section, Table
from dispatchkit.measure.metric import Scope, need, not_available, rate
from dispatchkit.measure.scores import MIN_EVENTS, WEIGHTS, WINDOW, scores

READS = {
    "mart_deliveries": (
        "delivery_id driver_id vehicle zone merchant_id state outcome ended_by assigned_at arrived_pickup_at "
        "picked_up_at ready_at ended_at delivered_at to_pickup_s pickup_to_delivered_s"
    ).split(),
    "mart_offers": "delivery_id driver_id episode state countable sent_at responded_at".split(),
    "mart_cases": "delivery_id driver_id episode trigger state confirmed_at suspected_at".split(),
    "mart_shifts": "driver_id vehicle zone since until available".split(),
    "mart_costs": "driver_id side kind at signed_cents".split(),
}
_driver = pl.col("driver_id")


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return a row for every driver available in the window, and how evenly offers were spread."""
    need(marts, READS)
    hours = _hours(marts, scope)
    table = hours.join(scores(marts, scope), on="driver_id", how="left").with_columns(
        tag=pl.when(pl.col("completion_n").fill_null(0) < MIN_EVENTS)
        .then(pl.lit("insufficient"))
        .otherwise(pl.lit(""))
    )
    ranked = table.with_columns(
        rank=pl.when(pl.col("tag") == "")
        .then(pl.col("cautious_score"))
        .rank("min", descending=True)
        .cast(pl.Int64)
    ).sort("rank", "driver_id", nulls_last=True)
    return Section(
        name="drivers",
        title="Drivers",
        metrics=(*_metrics(ranked, scope), _gini(ranked, scope)),
        tables=(_table(ranked), _by_vehicle(ranked), _evenness(ranked)),
        notes=(
            "Advisory: nobody is suspended for a score. Score: 100 x weighted mean of shares shrunk "
            "towards the mean of the other drivers; ranked by the weighted mean of their Wilson lower "
            f"bounds (cautious score), over the last {WINDOW} events of each kind.",
            "Completion: scored deliveries that were completed. Dropoff, pickup: no slower than three "
            "quarters of the rides there. Steadiness: not taken away. Acceptance: offers accepted.",
            "No ratings were imported: the other weights are scaled up. Weights: "
            + ", ".join(f"{name} {weight:.2f}" for name, weight in WEIGHTS.items())
            + ". Acceptance is shown and has no weight.",
        ),
    )


def _hours(marts: Mapping[str, pl.DataFrame], scope: Scope) -> pl.DataFrame:
    """Return hours, engaged hours, offers and earnings of drivers with an available minute."""
    since, until = pl.lit(scope.window.since), pl.lit(scope.known_until)
    available = (
        marts["mart_shifts"]
        .filter(pl.col("available"))
        .with_columns(
            s=_seconds(pl.min_horizontal("until", until) - pl.max_horizontal("since", since))
        )
        .group_by("driver_id")
        .agg(
            pl.col("vehicle").first(), pl.col("zone").first(), available_h=pl.col("s").sum() / 3600
        )
        .filter(pl.col("available_h") * 60 >= 1)
    )
    offers = marts["mart_offers"].filter(scope.within("sent_at"))
    offered = offers.group_by("driver_id").agg(
        offers=pl.len().cast(pl.Int64),
        accepted=(pl.col("state") == "ACCEPTED").sum().cast(pl.Int64),
    )
    done = marts["mart_deliveries"].filter(scope.within("delivered_at"))
    carried = done.group_by("driver_id").agg(delivered=pl.len().cast(pl.Int64))
    paid = marts["mart_costs"].filter(
        scope.within("at") & (pl.col("side") == "driver") & _driver.is_not_null()
    )
    earned = paid.group_by("driver_id").agg(earned_cents=pl.col("signed_cents").sum())
    joined = available
    for part in (_engaged(marts["mart_deliveries"], scope), offered, carried, earned):
        joined = joined.join(part, on="driver_id", how="left")
    return joined.with_columns(
        pl.col("engaged_h", "offers", "accepted", "delivered", "earned_cents").fill_null(0)
    ).with_columns(
        utilisation=pl.col("engaged_h") / pl.col("available_h"),
        offers_per_h=pl.col("offers") / pl.col("available_h"),
        earned_per_h=pl.col("earned_cents") / pl.col("available_h"),
    )


def _engaged(deliveries: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """Return per driver the hours with at least one delivery in hand; overlaps count once."""
    since, until = pl.lit(scope.window.since), pl.lit(scope.known_until)
    held = (
        deliveries.filter(_driver.is_not_null() & pl.col("assigned_at").is_not_null())
        .select(
            "driver_id",
            a=pl.max_horizontal("assigned_at", since),
            b=pl.min_horizontal("ended_at", until),
        )
        .filter(pl.col("a") < pl.col("b"))
        .sort("driver_id", "a", "b")
        # covered: until when earlier deliveries of the driver fill the time already
        .with_columns(covered=pl.col("b").cum_max().shift(1).over("driver_id"))
    )
    start = pl.max_horizontal("a", "covered")
    return held.group_by("driver_id").agg(engaged_h=_seconds(pl.col("b") - start).sum() / 3600)


def _seconds(span: pl.Expr) -> pl.Expr:
    """Return a duration in seconds, at least 0."""
    return span.dt.total_microseconds().clip(lower_bound=0) / 1e6


def _metrics(table: pl.DataFrame, scope: Scope) -> tuple[Metric, ...]:
    by, if_empty = "drivers by available time", "no duty intervals were imported"
    tracked = rate(
        "drivers_tracked",
        table,
        pl.col("score").is_not_null() | (pl.col("tag") == "insufficient"),
        scope,
        by=by,
        if_empty=if_empty,
        definition="drivers with a score row ('insufficient' included) / drivers with an available "
        "minute",
    )
    if table.is_empty():
        return tracked, not_available(
            "driver_utilisation", "engaged / available hours", scope, if_empty
        )
    engaged, available = (round(float(table[c].sum()) * 3600) for c in ("engaged_h", "available_h"))
    utilisation = Metric(
        name="driver_utilisation",
        definition="time with a delivery in hand / time on duty and available",
        cohort=scope.cohort("duty time"),
        unit="share",
        value=engaged / available,
        numerator=engaged,
        denominator=available,
        fraction_units=("seconds", "seconds"),
    )
    return tracked, utilisation


def _gini(table: pl.DataFrame, scope: Scope) -> Metric:
    """Return the Gini coefficient of offers per available hour."""
    values = table["offers_per_h"].sort().to_list()
    n, total = len(values), sum(values)
    ranked = sum((2 * i - n - 1) * value for i, value in enumerate(values, 1))
    return Metric(
        name="offer_gini",
        definition="Gini coefficient of offers per available hour over drivers with an available minute",
        cohort=scope.cohort("drivers by available time"),
        unit="ratio",
        value=ranked / (n * total) if total else None,
        denominator=n,
        missing_reason="" if total else "no offers in the window",
    )


_UNITS = {
    **dict.fromkeys(("offers", "accepted", "delivered", "completion_n", "rank"), "count"),
    **dict.fromkeys(("available_h", "engaged_h"), "hours"),
    **dict.fromkeys(("utilisation", *WEIGHTS, "acceptance"), "share"),
    **dict.fromkeys(("earned_cents", "earned_per_h"), "cents"),
    **dict.fromkeys(("score", "cautious_score"), "score"),
    "offers_per_h": "ratio",
    "driver_id": "id",
}


def _table(ranked: pl.DataFrame) -> Table:
    columns = (
        "rank driver_id vehicle zone tag score cautious_score completion completion_n dropoff pickup "
        "steadiness acceptance available_h engaged_h utilisation offers accepted delivered "
        "offers_per_h earned_cents earned_per_h"
    ).split()
    note = (
        f"Insufficient: fewer than {MIN_EVENTS} events (deliveries scored), so no rank. Earned: pay and "
        "top-ups, without tips, in the currency of the ledger."
    )
    return Table(
        name="drivers", title="Drivers", frame=ranked.select(columns), units=_UNITS, note=note
    )


def _by_vehicle(ranked: pl.DataFrame) -> Table:
    hours = pl.col("available_h").sum()
    frame = (
        ranked.group_by("vehicle")
        .agg(
            drivers=pl.len().cast(pl.Int64),
            available_h=hours,
            utilisation=pl.col("engaged_h").sum() / hours,
            offers_per_h=pl.col("offers").sum() / hours,
            earned_per_h=pl.col("earned_cents").sum() / hours,
        )
        .sort("vehicle")
    )
    units = {**_UNITS, "drivers": "count"}
    return Table(
        name="by_vehicle", title="Offers and earnings by vehicle", frame=frame, units=units
    )


def _evenness(ranked: pl.DataFrame) -> Table:
    """Return shares of hours and of offers by fifths of the drivers, fewest offers per hour first."""
    hours, offers = pl.col("available_h"), pl.col("offers")
    frame = (
        ranked.sort("offers_per_h", "driver_id")
        .with_columns(fifth=pl.int_range(pl.len()) * 5 // pl.len() + 1)
        .with_columns(all_hours=hours.sum(), all_offers=offers.sum())
        .group_by("fifth")
        .agg(
            drivers=pl.len().cast(pl.Int64),
            hours_share=hours.sum() / pl.col("all_hours").first(),
            offers_share=pl.when(pl.col("all_offers").first() > 0).then(
                offers.sum() / pl.col("all_offers").first()
            ),
            offers_per_h=offers.sum() / hours.sum(),
        )
        .sort("fifth")
    )
    note = (
        "Drivers by offers per available hour. If offers are spread evenly, both shares are alike in "
        "every row."
    )
    units = {
        "drivers": "count",
        "hours_share": "share",
        "offers_share": "share",
        "offers_per_h": "ratio",
    }
    return Table(
        name="evenness", title="How evenly offers were spread", frame=frame, units=units, note=note
    )

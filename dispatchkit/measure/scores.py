"""A driver's score: shares over the last events, shrunk towards the mean of the other drivers.

Components, each a share of good events known by the end of the window:
completion (deliveries that were delivered; those ended by customer, merchant or operations do not
count), dropoff and pickup (rides no slower than usual), steadiness (deliveries not taken away),
acceptance (countable offers accepted; shown, without weight).
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from dispatchkit.domain.states import CaseTrigger
from dispatchkit.measure.metric import Z95, Scope

WINDOW = 100  # last events per component
MIN_EVENTS = 20  # with fewer a driver is shown, not ranked
PRIOR = 20  # weight of the others' mean, in events
WEIGHTS = {
    "completion": 0.35,
    "dropoff": 0.25,
    "pickup": 0.20,
    "steadiness": 0.10,
}  # rating: 0.10 where imported
BLOCK_H = 4
_driver = pl.col("driver_id")


def scores(marts: Mapping[str, pl.DataFrame], scope: Scope) -> pl.DataFrame:
    """Return per driver the scores (0 to 100) and each component's share and number of events.

    score: weighted mean of shrunk shares; cautious_score: of their Wilson lower bounds (Wilson 1927).
    Weights are scaled up where a component is missing.
    """
    return _scores(_events(marts, scope))


def _events(marts: Mapping[str, pl.DataFrame], scope: Scope) -> pl.DataFrame:
    """Return events (driver_id, component, at, good) known by the end of the window."""
    until = scope.known_until
    jobs = marts["mart_deliveries"].filter(_driver.is_not_null() & (pl.col("assigned_at") < until))
    kept = jobs.select("driver_id", "delivery_id", "state", "outcome", "ended_by", at="assigned_at")
    faulted = marts["mart_cases"].filter(
        (pl.col("confirmed_at") < until)
        & (pl.col("state") != "ABORTED")
        & pl.col("trigger").is_in([trigger for trigger in CaseTrigger if trigger.drivers_fault])
    )
    released = faulted.join(kept, on=["driver_id", "delivery_id"], how="anti")
    lost = released.select("driver_id", at="suspected_at", good=pl.lit(value=False))
    others = pl.col("ended_by").is_in(["customer", "merchant", "ops"]) & (
        pl.col("outcome") != "delivered"
    )
    finished = kept.filter((pl.col("outcome") != "open") & ~others)
    completion = pl.concat(
        [finished.select("driver_id", "at", good=pl.col("outcome") == "delivered"), lost],
        how="vertical",
    )
    steady = pl.concat(
        [
            kept.join(faulted, on=["driver_id", "delivery_id"], how="anti").select(
                "driver_id", "at", good=pl.lit(value=True)
            ),
            faulted.select("driver_id", at="suspected_at", good=pl.lit(value=False)),
        ]
    )
    waited = (pl.col("picked_up_at") - pl.col("ready_at")).dt.total_minutes() > 15
    dropoff = _not_slow(
        jobs.filter(pl.col("delivered_at") < until), "pickup_to_delivered_s", "delivered_at"
    )
    pickup = _not_slow(
        jobs.filter((pl.col("arrived_pickup_at") < until) & ~waited.fill_null(value=False)),
        "to_pickup_s",
        "arrived_pickup_at",
    )
    answers = marts["mart_offers"].filter(pl.col("countable") & (pl.col("responded_at") < until))
    acceptance = answers.select("driver_id", at="responded_at", good=pl.col("state") == "ACCEPTED")
    parts = {
        "completion": completion,
        "dropoff": dropoff,
        "pickup": pickup,
        "steadiness": steady,
        "acceptance": acceptance,
    }
    return pl.concat([rows.with_columns(component=pl.lit(name)) for name, rows in parts.items()])


def _not_slow(jobs: pl.DataFrame, seconds: str, at: str) -> pl.DataFrame:
    """Return whether each ride took at most the p75 of its zone, hour block and vehicle.

    A group's p75 is shrunk towards that of the vehicle in the whole city (weight of 20 rides), so
    that one slow kitchen sets no standard.
    """
    known = jobs.filter(pl.col(seconds) >= 0).with_columns(block=pl.col(at).dt.hour() // BLOCK_H)
    whole = known.group_by("vehicle").agg(city=pl.col(seconds).quantile(0.75))
    group = ["zone", "block", "vehicle"]
    local = (
        known.group_by(group)
        .agg(n=pl.len(), own=pl.col(seconds).quantile(0.75))
        .join(whole, on="vehicle")
    )
    limit = (pl.col("n") * pl.col("own") + PRIOR * pl.col("city")) / (pl.col("n") + PRIOR)
    marked = known.join(local.select(*group, limit=limit), on=group)
    return marked.select("driver_id", at=pl.col(at), good=pl.col(seconds) <= pl.col("limit"))


def _scores(events: pl.DataFrame) -> pl.DataFrame:
    """Return the scores of `scores` from the last events of each driver and component."""
    last = (
        events.sort("driver_id", "component", "at").group_by("driver_id", "component").tail(WINDOW)
    )
    counted = last.group_by("driver_id", "component").agg(
        n=pl.len().cast(pl.Int64), s=pl.col("good").sum()
    )
    n, s = pl.col("n"), pl.col("s")
    all_n, all_s = n.sum().over("component"), s.sum().over("component")
    others = pl.when(all_n > n).then((all_s - s) / (all_n - n)).otherwise(s / n)
    p, zz = s / n, Z95 * Z95
    margin = Z95 * (p * (1 - p) / n + zz / (4 * n * n)).sqrt()
    parts = counted.with_columns(
        share=p,
        shrunk=(s + PRIOR * others) / (n + PRIOR),
        low=((p + zz / (2 * n) - margin) / (1 + zz / n)).clip(lower_bound=0),
        weight=pl.col("component").replace_strict(WEIGHTS, default=0.0, return_dtype=pl.Float64),
    )
    weight = pl.col("weight")
    total = parts.group_by("driver_id").agg(
        score=100 * (weight * pl.col("shrunk")).sum() / weight.sum(),
        cautious_score=100 * (weight * pl.col("low")).sum() / weight.sum(),
    )
    wide = [
        parts.filter(pl.col("component") == name).select(
            "driver_id", pl.col("share").alias(name), pl.col("n").alias(f"{name}_n")
        )
        for name in (*WEIGHTS, "acceptance")
    ]
    for part in wide:
        total = total.join(part, on="driver_id", how="left")
    return total.with_columns(pl.col("score", "cautious_score").fill_nan(None))

"""Whether reassignment is steady and right: deliveries passed to and fro, and stalls seen against stalls there were."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from dispatchkit.kernel.metrics import Metric, Section, Table
from dispatchkit.measure.metric import Scope, absent, need, rate

READS = {
    "mart_cases": "delivery_id driver_id trigger state suspected_at released_at".split(),
    "mart_deliveries": "delivery_id driver_id".split(),
}
FLAP = timedelta(
    minutes=15
)  # two releases within this: the second driver never had a chance (assumption)
STANDSTILL = (
    "NO_START",
    "NOT_MOVING",
    "WRONG_WAY",
    "LOST_PING",
)  # triggers that say: he does nothing about it
NO_LABELS = "an export does not tell which drivers truly stalled; a made-up city does"
_PRECISION = (
    "suspicions of a standstill whose driver had truly stalled / all suspicions of a standstill"
)
_RECALL = "true stalls that were under suspicion / true stalls old enough to be seen"


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return how often deliveries flap, the releases by trigger, and that exports carry no labels of true stalls."""
    need(marts, READS)
    released = (
        marts["mart_cases"]
        .filter(pl.col("released_at").is_not_null())
        .sort("delivery_id", "released_at")
    )
    return Section(
        name="reassignment",
        title="Steadiness of reassignment",
        metrics=(
            *_flaps(released, marts["mart_deliveries"], scope),
            absent("stall_precision", _PRECISION, scope, NO_LABELS),
            absent("stall_recall", _RECALL, scope, NO_LABELS),
        ),
        tables=(_releases(released, scope),),
    )


def _flaps(released: pl.DataFrame, deliveries: pl.DataFrame, scope: Scope) -> tuple[Metric, Metric]:
    """Return the shares of released deliveries that were soon released again, and that went back to who had them."""
    holders = deliveries.select("delivery_id", last="driver_id")
    each = released.with_columns(gap=pl.col("released_at").diff().over("delivery_id"))
    lost = pl.col("driver_id")
    fate = (
        each.join(holders, on="delivery_id", how="left", maintain_order="left")
        .group_by("delivery_id", maintain_order=True)
        .agg(
            first_release=pl.col("released_at").min(),
            flapped=(pl.col("gap") <= FLAP).any(),
            went_back=lost.is_duplicated().any() | (lost == pl.col("last")).any(),
        )
    )
    fate = fate.filter(scope.within("first_release"))
    by, why = "released deliveries by first release", "no delivery was released"
    flapped = rate(
        "reassignment_flaps",
        fate,
        pl.col("flapped"),
        scope,
        by=by,
        at="first_release",
        why=why,
        definition="deliveries released twice within 15 min / deliveries released at least once",
    )
    went_back = rate(
        "reassignment_returns",
        fate,
        pl.col("went_back"),
        scope,
        by=by,
        at="first_release",
        why=why,
        definition="deliveries that came back to a driver who had lost them / deliveries released at least once",
    )
    return flapped, went_back


def _releases(released: pl.DataFrame, scope: Scope) -> Table:
    frame = (
        released.filter(scope.within("released_at"))
        .group_by("trigger")
        .agg(
            releases=pl.len().cast(pl.Int64),
            deliveries=pl.col("delivery_id").n_unique().cast(pl.Int64),
        )
        .sort("trigger")
    )
    units = {"releases": "count", "deliveries": "count"}
    return Table(
        name="releases",
        title="Deliveries taken from a driver, by trigger",
        frame=frame,
        units=units,
    )


def judged(
    suspected: pl.DataFrame, stalled: pl.DataFrame, scope: Scope, *, visible_after: timedelta
) -> tuple[Metric, Metric]:
    """Return precision and recall of the suspicions against labels.

    suspected: delivery_id and trigger of each assignment under suspicion at `scope.as_of`; stalled: delivery_id and
    since of each whose driver truly does nothing. Who is merely late (ETA_BREACH, SHIFT_END, ...) is not a standstill.
    """
    is_one = pl.col("delivery_id").is_in(stalled["delivery_id"].implode())
    precision = rate(
        "stall_precision",
        suspected,
        is_one,
        scope,
        by="assignments under suspicion",
        excluded={"late, not at a standstill": ~pl.col("trigger").is_in(STANDSTILL)},
        why="nobody is under suspicion",
        definition=_PRECISION,
    )
    recall = rate(
        "stall_recall",
        stalled,
        pl.col("delivery_id").is_in(suspected["delivery_id"].implode()),
        scope,
        by="assignments whose driver does nothing",
        excluded={"too fresh to be seen": pl.col("since") > scope.as_of - visible_after},
        why="nobody stalls",
        definition=_RECALL,
    )
    return precision, recall

"""Is reassignment stable and correct?

Rates; intervals as in measure/metric.py.

* `reassignment_flaps`: deliveries released twice within 15 min / deliveries released at least once.
* `reassignment_returns`: deliveries that returned to a driver who had lost them / the same.
* `stall_precision`: suspicions of a standstill whose driver had really stalled / all of them.
* `stall_recall`: real stalls under suspicion / real stalls old enough to be visible. Both need
  labels, which only simulated data has; for an export they are not available.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from dispatchkit.domain.states import CaseTrigger
from dispatchkit.kernel.metrics import Metric, Section, Table
from dispatchkit.measure.metric import Scope, need, not_available, rate

READS = {
    "mart_cases": "delivery_id driver_id trigger state suspected_at released_at".split(),
    "mart_deliveries": "delivery_id driver_id".split(),
}
# Released twice within this time, the second driver never had a chance (an assumption).
FLAP = timedelta(minutes=15)
_STANDSTILL = [trigger for trigger in CaseTrigger if trigger.standstill]
NO_LABELS = "an export does not contain which drivers really stalled; simulated data does"
_PRECISION = (
    "suspicions of a standstill whose driver had really stalled / all suspicions of a standstill"
)
_RECALL = "real stalls that were under suspicion / real stalls old enough to be visible"


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope) -> Section:
    """Return how often deliveries flap or return, and the releases by trigger."""
    need(marts, READS)
    released = (
        marts["mart_cases"]
        .filter(pl.col("released_at").is_not_null())
        .sort("delivery_id", "released_at")
    )
    return Section(
        name="reassignment",
        title="Stability of reassignment",
        metrics=(
            *_flaps(released, marts["mart_deliveries"], scope),
            not_available("stall_precision", _PRECISION, scope, NO_LABELS),
            not_available("stall_recall", _RECALL, scope, NO_LABELS),
        ),
        tables=(_releases(released, scope),),
    )


def _flaps(released: pl.DataFrame, deliveries: pl.DataFrame, scope: Scope) -> tuple[Metric, Metric]:
    """Return the shares of released deliveries that were soon released again, and that returned."""
    last_drivers = deliveries.select("delivery_id", last="driver_id")
    each = released.with_columns(gap=pl.col("released_at").diff().over("delivery_id"))
    lost = pl.col("driver_id")
    by_delivery = (
        each.join(last_drivers, on="delivery_id", how="left", maintain_order="left")
        .group_by("delivery_id", maintain_order=True)
        .agg(
            first_release=pl.col("released_at").min(),
            flapped=(pl.col("gap") <= FLAP).any(),
            returned=lost.is_duplicated().any() | (lost == pl.col("last")).any(),
        )
    )
    by_delivery = by_delivery.filter(scope.within("first_release"))
    by, if_empty = "released deliveries by first release", "no delivery was released"
    flapped = rate(
        "reassignment_flaps",
        by_delivery,
        pl.col("flapped"),
        scope,
        by=by,
        at="first_release",
        if_empty=if_empty,
        definition="deliveries released twice within 15 min / deliveries released at least once",
    )
    returned = rate(
        "reassignment_returns",
        by_delivery,
        pl.col("returned"),
        scope,
        by=by,
        at="first_release",
        if_empty=if_empty,
        definition="deliveries that returned to a driver who had lost them / deliveries released "
        "at least once",
    )
    return flapped, returned


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


def against_labels(
    suspected: pl.DataFrame, stalled: pl.DataFrame, scope: Scope, *, visible_after: timedelta
) -> tuple[Metric, Metric]:
    """Return precision and recall of the suspicions against labels.

    suspected: delivery_id and trigger of each assignment under suspicion at `scope.as_of`.
    stalled: delivery_id and since of each assignment whose driver really does nothing.
    A driver who is merely late (ETA_BREACH, SHIFT_END, ...) is not at a standstill.
    visible_after: how long a stall lasts before the sweep can see it.
    """
    stalls = pl.col("delivery_id").is_in(stalled["delivery_id"].implode())
    precision = rate(
        "stall_precision",
        suspected,
        stalls,
        scope,
        by="assignments under suspicion",
        excluded={"late, not at a standstill": ~pl.col("trigger").is_in(_STANDSTILL)},
        if_empty="no assignment is under suspicion",
        definition=_PRECISION,
    )
    recall = rate(
        "stall_recall",
        stalled,
        pl.col("delivery_id").is_in(suspected["delivery_id"].implode()),
        scope,
        by="assignments whose driver does nothing",
        excluded={"too recent to be visible": pl.col("since") > scope.as_of - visible_after},
        if_empty="no driver stalls",
        definition=_RECALL,
    )
    return precision, recall

"""What was expected of offers and what came of them: the estimate's reliability, and what boosts brought.

Both look at offers that a driver answered or let run out. The estimate is that of the offers sweep, by its default
numbers, made again from what each offer told.
"""

from __future__ import annotations

import polars as pl

from dispatchkit.domain.acceptance import Acceptance
from dispatchkit.kernel.metrics import Metric, Table
from dispatchkit.measure.metric import Scope, wilson

READS = "state mode refused pickup_s held boost_cents distance_m response_s".split()
ESTIMATE = Acceptance()
_accepted = (pl.col("state") == "ACCEPTED").cast(pl.Int64)


def answered(offers: pl.DataFrame) -> pl.DataFrame:
    """Return the offers that were answered or ran out, with the chance of a yes that was foretold: `p`, and `p_plain`
    had there been no boost."""
    usual_min = ESTIMATE.usual_way.total_seconds() / 60
    features = (
        pl.col("refused").cast(pl.Float64),
        (pl.col("pickup_s") / 60).fill_null(usual_min),
        pl.col("held").cast(pl.Float64).fill_null(0.0),
    )
    per_km = (
        pl.when(pl.col("distance_m") > 0)
        .then(10 * pl.col("boost_cents") / pl.col("distance_m"))
        .otherwise(0.0)
    )
    asked = (pl.col("mode") != "forced") & pl.col("state").is_in(
        ["ACCEPTED", "DECLINED", "EXPIRED"]
    )
    return offers.filter(asked).with_columns(
        p=ESTIMATE.p_accept(*features, per_km),
        p_plain=ESTIMATE.p_accept(*features, pl.lit(0.0)),
        accepted=_accepted,
    )


def reliability(asked: pl.DataFrame) -> Table:
    """Return for each tenth of foretold chance how many drivers said yes: a good estimate lies inside the interval."""
    frame = _tenths(asked)
    between = [wilson(yes, n) for yes, n in frame.select("accepted", "offers").iter_rows()]
    frame = frame.with_columns(
        low=pl.Series([low for low, _ in between], dtype=pl.Float64),
        high=pl.Series([high for _, high in between], dtype=pl.Float64),
    )
    note = (
        "Foretold: the mean chance of a yes of these offers when they were sent, from earlier refusals, way, jobs in "
        "hand and boost. Silence counts as a no. Between low and high lies the true share with 95 % (Wilson)."
    )
    units = {
        "offers": "count",
        "accepted": "count",
        **dict.fromkeys(("foretold", "share", "low", "high"), "share"),
    }
    return Table(
        name="reliability",
        title="Acceptance, foretold and real",
        frame=frame,
        units=units,
        note=note,
    )


def gap(asked: pl.DataFrame, scope: Scope) -> Metric:
    """Return how far foretold and real acceptance lie apart on average (expected calibration error over tenths)."""
    apart = _tenths(asked).select(
        ((pl.col("foretold") - pl.col("share")).abs() * pl.col("offers")).sum()
        / pl.col("offers").sum()
    )
    return Metric(
        name="acceptance_gap",
        definition="mean distance of foretold and real acceptance, over tenths of the foretold, weighted by offers",
        cohort=scope.cohort("offers answered or expired, by deadline"),
        unit="share",
        value=apart.item() if asked.height else None,
        denominator=asked.height,
        why="" if asked.height else "no offers were imported",
    )


def boosts(asked: pl.DataFrame) -> Table:
    """Return cost and benefit of each step of boost: acceptances beyond the foretold, and what each of those cost."""
    refused_min = (
        asked.filter(pl.col("accepted") == 0).select(pl.col("response_s").mean() / 60).item()
    )
    extra = pl.col("accepted") - pl.col("unboosted")
    frame = (
        asked.group_by("boost_cents")
        .agg(
            offers=pl.len().cast(pl.Int64),
            accepted=pl.col("accepted").sum(),
            unboosted=pl.col("p_plain").sum(),
            paid_cents=(pl.col("accepted") * pl.col("boost_cents")).sum(),
        )
        .sort("boost_cents")
        .with_columns(share=pl.col("accepted") / pl.col("offers"), extra=extra)
        .with_columns(
            extra_cents=pl.when(extra > 0).then(pl.col("paid_cents") / pl.col("extra")),
            saved_min=pl.when(pl.col("boost_cents") > 0).then(
                pl.col("extra") * pl.lit(refused_min, pl.Float64)
            ),
        )
    )
    note = (
        "Unboosted: acceptances foretold for these same offers without boost, so extra also holds the estimate's own "
        "error; the row without boost shows its size. Saved: extra acceptances x the mean time a refused offer took."
    )
    columns = (
        "boost_cents offers accepted share unboosted extra paid_cents extra_cents saved_min".split()
    )
    units = {
        "boost_cents": "cents",
        "offers": "count",
        "accepted": "count",
        "share": "share",
        "unboosted": "score",
    }
    units |= {
        "extra": "score",
        "paid_cents": "cents",
        "extra_cents": "cents",
        "saved_min": "minutes",
    }
    return Table(
        name="boosts",
        title="What boosts brought",
        frame=frame.select(columns),
        units=units,
        note=note,
    )


def _tenths(asked: pl.DataFrame) -> pl.DataFrame:
    return (
        asked.group_by(tenth=(pl.col("p") * 10).floor().cast(pl.Int64).clip(0, 9))
        .agg(
            offers=pl.len().cast(pl.Int64),
            foretold=pl.col("p").mean(),
            accepted=pl.col("accepted").sum(),
        )
        .sort("tenth")
        .with_columns(share=pl.col("accepted") / pl.col("offers"))
        .select(
            pl.format("{} to {} %", pl.col("tenth") * 10, pl.col("tenth") * 10 + 10).alias(
                "chance"
            ),
            "offers",
            "foretold",
            "accepted",
            "share",
        )
    )

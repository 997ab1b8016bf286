"""How well was acceptance of offers predicted, and what did boosts gain?

Both look at offers that a driver answered or let expire. The predicted chance is that of the
offers sweep with its default parameters, computed again from the features that each offer stored.

* `acceptance_calibration_error`: expected calibration error (Naeini et al. 2015): offers are
  grouped into tenths of the predicted chance; mean |predicted - actual share| of the groups,
  weighted by their offers. Denominator: offers answered or expired. No interval.
* Table `calibration`: actual share by predicted tenth, with Wilson intervals (Wilson 1927).
* Table `boosts`: by amount of boost, acceptances beyond the prediction without a boost.
"""

from __future__ import annotations

import polars as pl

from dispatchkit.domain.acceptance import Acceptance
from dispatchkit.kernel.metrics import Metric, Table
from dispatchkit.measure.metric import Scope, wilson

READS = "state mode refused_before pickup_s held boost_cents distance_m response_s".split()
ESTIMATE = Acceptance()


def with_prediction(offers: pl.DataFrame) -> pl.DataFrame:
    """Return the offers that were answered or expired, with `accepted` (0 or 1) and two predictions.

    p: predicted chance of acceptance. p_no_boost: the same without the boost.
    """
    usual_min = ESTIMATE.usual_way.total_seconds() / 60
    features = (
        pl.col("refused_before").cast(pl.Float64),
        (pl.col("pickup_s") / 60).fill_null(usual_min),
        pl.col("held").cast(pl.Float64).fill_null(0.0),
    )
    boost_per_km = (
        pl.when(pl.col("distance_m") > 0)
        .then(10 * pl.col("boost_cents") / pl.col("distance_m"))
        .otherwise(0.0)
    )
    # A forced assignment is not a question to the driver.
    answered = (pl.col("mode") != "forced") & pl.col("state").is_in(
        ["ACCEPTED", "DECLINED", "EXPIRED"]
    )
    return offers.filter(answered).with_columns(
        p=ESTIMATE.p_accept(*features, boost_per_km),
        p_no_boost=ESTIMATE.p_accept(*features, pl.lit(0.0)),
        accepted=(pl.col("state") == "ACCEPTED").cast(pl.Int64),
    )


def calibration(offers: pl.DataFrame) -> Table:
    """Return predicted and actual acceptance for each tenth of the predicted chance.

    A good prediction lies inside the interval of the actual share.
    """
    frame = _tenths(offers)
    bounds = [wilson(accepted, n) for accepted, n in frame.select("accepted", "offers").iter_rows()]
    frame = frame.with_columns(
        low=pl.Series([low for low, _ in bounds], dtype=pl.Float64),
        high=pl.Series([high for _, high in bounds], dtype=pl.Float64),
    )
    note = (
        "Predicted: the mean chance of acceptance of these offers when they were sent, from earlier "
        "refusals, travel time, deliveries in hand and boost. An expired offer counts as not "
        "accepted. The actual share lies between low and high with 95 % (Wilson)."
    )
    units = {
        "offers": "count",
        "accepted": "count",
        **dict.fromkeys(("predicted", "share", "low", "high"), "share"),
    }
    return Table(
        name="calibration",
        title="Acceptance, predicted and actual",
        frame=frame,
        units=units,
        note=note,
    )


def calibration_error(offers: pl.DataFrame, scope: Scope) -> Metric:
    """Return the expected calibration error over tenths of the predicted chance."""
    distance = (pl.col("predicted") - pl.col("share")).abs()
    error = _tenths(offers).select((distance * pl.col("offers")).sum() / pl.col("offers").sum())
    return Metric(
        name="acceptance_calibration_error",
        definition="mean distance of predicted and actual acceptance, over tenths of the predicted "
        "chance, weighted by offers",
        cohort=scope.cohort("offers answered or expired, by deadline"),
        unit="share",
        value=error.item() if offers.height else None,
        denominator=offers.height,
        missing_reason="" if offers.height else "no offers were imported",
    )


def boosts(offers: pl.DataFrame) -> Table:
    """Return by amount of boost: acceptances beyond the prediction without it, and their cost."""
    # Each extra acceptance saves the time that a refused or expired offer takes on average.
    refused_min = (
        offers.filter(pl.col("accepted") == 0).select(pl.col("response_s").mean() / 60).item()
    )
    extra = pl.col("accepted") - pl.col("predicted_without_boost")
    frame = (
        offers.group_by("boost_cents")
        .agg(
            offers=pl.len().cast(pl.Int64),
            accepted=pl.col("accepted").sum(),
            predicted_without_boost=pl.col("p_no_boost").sum(),
            paid_cents=(pl.col("accepted") * pl.col("boost_cents")).sum(),
        )
        .sort("boost_cents")
        .with_columns(share=pl.col("accepted") / pl.col("offers"), extra_accepted=extra)
        .with_columns(
            cost_per_extra_cents=pl.when(extra > 0).then(
                pl.col("paid_cents") / pl.col("extra_accepted")
            ),
            saved_min=pl.when(pl.col("boost_cents") > 0).then(
                pl.col("extra_accepted") * pl.lit(refused_min, pl.Float64)
            ),
        )
    )
    note = (
        "Accepted without boost: what was predicted for these same offers. What was accepted beyond "
        "that also contains the error of the prediction; the row without boost shows its size. "
        "Saved: extra acceptances x the mean time that a refused offer took."
    )
    units = {
        "boost_cents": "cents",
        "offers": "count",
        "accepted": "count",
        "share": "share",
        "predicted_without_boost": "score",
        "extra_accepted": "score",
        "paid_cents": "cents",
        "cost_per_extra_cents": "cents",
        "saved_min": "minutes",
    }
    return Table(
        name="boosts",
        title="What boosts gained",
        frame=frame.select(*units),
        units=units,
        note=note,
    )


def _tenths(offers: pl.DataFrame) -> pl.DataFrame:
    """Return per tenth of the predicted chance: offers, mean prediction, accepted and their share."""
    tenth = (pl.col("p") * 10).floor().cast(pl.Int64).clip(0, 9)
    return (
        offers.group_by(tenth=tenth)
        .agg(
            offers=pl.len().cast(pl.Int64),
            predicted=pl.col("p").mean(),
            accepted=pl.col("accepted").sum(),
        )
        .sort("tenth")
        .with_columns(share=pl.col("accepted") / pl.col("offers"))
        .select(
            pl.format("{} to {} %", pl.col("tenth") * 10, pl.col("tenth") * 10 + 10).alias(
                "predicted_range"
            ),
            "offers",
            "predicted",
            "accepted",
            "share",
        )
    )

"""Why a search for a driver takes long: one cause for each, so that the causes of all searches add up."""

from __future__ import annotations

import polars as pl

from dispatchkit.domain.states import CaseTrigger, DelayCause, OfferState

# Offers that a driver has seen and not accepted so far; one revoked or undelivered asked nobody.
UNTAKEN = (OfferState.PENDING, OfferState.DECLINED, OfferState.EXPIRED)
_MERCHANT_TRIGGERS = [t for t in CaseTrigger if t.delay_cause is DelayCause.MERCHANT]


def delay_cause() -> pl.Expr:
    """Return the cause of each search as column `cause`: the first of `DelayCause` that fits.

    Reads pickup_known (bool), released_for (the trigger of the release before this search, or
    null), episode, and untaken (how many offers are `UNTAKEN`).
    """
    merchant = ~pl.col("pickup_known") | pl.col("released_for").is_in(_MERCHANT_TRIGGERS).fill_null(
        value=False
    )
    return (
        pl.when(merchant)
        .then(pl.lit(DelayCause.MERCHANT.value))
        .when(pl.col("episode") > 1)
        .then(pl.lit(DelayCause.STALL.value))
        .when(pl.col("untaken") > 0)
        .then(pl.lit(DelayCause.NO_ACCEPTANCE.value))
        .otherwise(pl.lit(DelayCause.NO_SUPPLY.value))
        .alias("cause")
    )

"""Why a search for a driver takes so long: one cause for each, so that the causes of all searches add up."""

from __future__ import annotations

import polars as pl

CAUSES = ("MERCHANT", "STALL", "NO_ACCEPTANCE", "NO_SUPPLY")
UNTAKEN = (
    "PENDING",
    "DECLINED",
    "EXPIRED",
)  # an offer so far not taken; one withdrawn or undelivered asked nobody


def delay_cause() -> pl.Expr:
    """Return the cause of each search, the first that fits; of columns pickup_known, released_for, episode and untaken.

    MERCHANT: nobody knows where the pickup is, or the last driver left because he waited for the goods. STALL: a driver
    had it and it was taken from him. NO_ACCEPTANCE: drivers were asked and none said yes, so `untaken` offers is above
    0. NO_SUPPLY: there was nobody to ask.
    """
    merchant = ~pl.col("pickup_known") | (pl.col("released_for") == "MERCHANT_WAIT").fill_null(
        value=False
    )
    return (
        pl.when(merchant)
        .then(pl.lit("MERCHANT"))
        .when(pl.col("episode") > 1)
        .then(pl.lit("STALL"))
        .when(pl.col("untaken") > 0)
        .then(pl.lit("NO_ACCEPTANCE"))
        .otherwise(pl.lit("NO_SUPPLY"))
        .alias("cause")
    )

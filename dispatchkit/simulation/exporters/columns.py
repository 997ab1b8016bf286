"""Columns that several exporters write: ids, instants, texts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from dispatchkit.simulation.demand import Demand
from dispatchkit.simulation.scenario import NEVER, Ints

Mask = npt.NDArray[np.bool_]

# Added to an order's id to get the delivery's: a join on the wrong column finds nothing.
DELIVERY_ID = 10_000_000


def ids(values: Ints, *, offset: int = 1, present: Mask | None = None) -> pl.Series:
    """Return numbers from 0 as ids from `offset`; null where not present."""
    series = pl.Series((values + offset).astype(np.int64))
    if present is None:
        return series
    return pl.select(pl.when(pl.Series(present)).then(series)).to_series()


def delivery_ids(demand: Demand, orders: Ints, *, present: Mask | None = None) -> pl.Series:
    """Return the delivery ids of orders given by number."""
    return ids(orders, offset=demand.first_id + DELIVERY_ID, present=present)


def instants(since_us: int, ms: Ints) -> pl.Series:
    """Return ms of a day as UTC instants, NEVER as null; `since_us`: start of the day since 1970."""
    stamps = (since_us + np.where(ms < NEVER, ms, 0) * 1000).astype("datetime64[us]")
    stamps[ms >= NEVER] = np.datetime64("NaT")
    return pl.Series(stamps).dt.replace_time_zone("UTC")


def texts(values: npt.NDArray[np.object_]) -> pl.Series:
    """Return texts and None as a column."""
    return pl.Series(values.tolist(), dtype=pl.String)


def repeated(value: str | None, count: int, dtype: type[pl.DataType] | pl.DataType) -> pl.Series:
    """Return a column of one value."""
    return pl.Series([value], dtype=dtype).new_from_index(0, count)

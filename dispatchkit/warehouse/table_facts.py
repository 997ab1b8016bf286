"""Facts of a table that a manifest states: column types, row counts, ranges and sums.

They are gathered while batches stream by, so that an export is read only once.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache

import polars as pl
import pyarrow as pa

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.clock import rfc3339

_ARROW_TYPES: dict[type[pl.DataType], pa.DataType] = {
    pl.Int64: pa.int64(),
    pl.Float64: pa.float64(),
    pl.String: pa.string(),
    pl.Boolean: pa.bool_(),
    pl.Date: pa.date32(),
    pl.Datetime: pa.timestamp("us", tz="UTC"),
}


@cache
def polars_schema(table: str) -> pl.Schema:
    """Return column -> polars type of a table's contract."""
    return pl.Schema(TABLES[table].dtypes())


@cache
def arrow_schema(table: str) -> pa.Schema:
    """Return the Arrow schema in which a table is written."""
    columns = polars_schema(table).items()
    return pa.schema([(name, _ARROW_TYPES[dtype.base_type()]) for name, dtype in columns])


class TableFacts:
    """Running row count, ranges (of id and times) and sums (of money, in cents) of one table.

    `ids_rise` stays true while ids arrive in strictly ascending order.
    """

    def __init__(self, table: str) -> None:
        times = [
            name for name, dtype in polars_schema(table).items() if isinstance(dtype, pl.Datetime)
        ]
        self.rows = 0
        self.ids_rise = True
        columns = TABLES[table].columns()
        self.cents = {name: 0 for name, column in columns.items() if column.unit == "cents"}
        self.columns = ["id", *times, *self.cents]
        self._with_range = ["id", *times]
        self._ranges: dict[str, tuple[int | datetime, int | datetime]] = {}
        self._last_id = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Count one batch. rows: not empty, at least the columns named by `columns`."""
        self.rows += len(rows)
        ids = rows.get_column("id")
        if self.ids_rise:
            self.ids_rise = ids_rise(ids) and ids[0] > self._last_id
            self._last_id = ids[-1]
        for name in self.cents:
            self.cents[name] += int(rows.get_column(name).sum())

        limits = rows.select(
            *(pl.col(name).min().alias(f"{name} min") for name in self._with_range),
            *(pl.col(name).max().alias(f"{name} max") for name in self._with_range),
        ).row(0, named=True)
        for name in self._with_range:
            low, high = limits[f"{name} min"], limits[f"{name} max"]
            if low is not None:
                before = self._ranges.get(name, (low, high))
                self._ranges[name] = (min(low, before[0]), max(high, before[1]))

    def ranges(self) -> dict[str, list[int | str]]:
        """Return column -> [min, max], times as text."""
        return {name: [_plain(low), _plain(high)] for name, (low, high) in self._ranges.items()}


def ids_rise(ids: pl.Series) -> bool:
    """Return whether ids rise strictly and none is missing, so that each occurs once."""
    return ids.null_count() == 0 and bool((ids.diff().slice(1) > 0).all())


def _plain(value: int | datetime) -> int | str:
    return rfc3339(value) if isinstance(value, datetime) else value

"""Facts of a table gathered while its batches stream by, so that an export is read only once."""

from __future__ import annotations

from datetime import datetime
from functools import cache

import polars as pl
import pyarrow as pa

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.clock import rfc3339

_ARROW: dict[type[pl.DataType], pa.DataType] = {
    pl.Int64: pa.int64(),
    pl.Float64: pa.float64(),
    pl.String: pa.string(),
    pl.Boolean: pa.bool_(),
    pl.Date: pa.date32(),
    pl.Datetime: pa.timestamp("us", tz="UTC"),
}


@cache
def shape(table: str) -> pl.Schema:
    """Return column -> polars type of a table's contract."""
    return TABLES[table].create_empty().schema


@cache
def arrow_schema(table: str) -> pa.Schema:
    """Return the Arrow schema in which a table is written."""
    return pa.schema([(name, _ARROW[dtype.base_type()]) for name, dtype in shape(table).items()])


def meta_columns(table: str, key: str) -> dict[str, str]:
    """Return column -> value of one metadata key (kind, class) of a table's contract."""
    found = {
        name: (column.metadata or {}).get(key) for name, column in TABLES[table].columns().items()
    }
    return {name: value for name, value in found.items() if value}


class Tally:
    """Running rows, ranges and sums of one table; `rising` stays true while ids arrive in strict order."""

    def __init__(self, table: str) -> None:
        ranged = [
            "id",
            *(name for name, dtype in shape(table).items() if isinstance(dtype, pl.Datetime)),
        ]
        self.rows = 0
        self.rising = True
        self.cents = {
            name: 0 for name, kind in meta_columns(table, "kind").items() if kind == "cents"
        }
        self.needs = [*ranged, *self.cents]
        self._spans: dict[str, tuple[int | datetime, int | datetime]] = {}
        self._ranged = ranged
        self._last = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Count one batch, which must not be empty and have at least the columns `needs`."""
        self.rows += len(rows)
        ids = rows.get_column("id")
        if self.rising:
            self.rising = bool(rising(ids)) and ids[0] > self._last
            self._last = ids[-1]
        for name in self.cents:
            self.cents[name] += int(rows.get_column(name).sum())
        spans = rows.select(
            *(pl.col(name).min().alias(f"{name} low") for name in self._ranged),
            *(pl.col(name).max().alias(f"{name} high") for name in self._ranged),
        ).row(0, named=True)
        for name in self._ranged:
            low, high = spans[f"{name} low"], spans[f"{name} high"]
            if low is not None:
                had = self._spans.get(name, (low, high))
                self._spans[name] = (min(low, had[0]), max(high, had[1]))

    def ranges(self) -> dict[str, list[int | str]]:
        """Return column -> [min, max], instants as text."""
        return {name: [_plain(low), _plain(high)] for name, (low, high) in self._spans.items()}


def rising(ids: pl.Series) -> bool:
    """Return whether ids rise strictly and none is missing, so that each is there once."""
    return ids.null_count() == 0 and bool((ids.diff().slice(1) > 0).all())


def _plain(value: int | datetime) -> int | str:
    return rfc3339(value) if isinstance(value, datetime) else value

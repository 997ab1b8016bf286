"""Facts of a table gathered while its batches stream by, so that an export is read only once."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.tables import TABLES

_ARROW: dict[type[pl.DataType], pa.DataType] = {
    pl.Int64: pa.int64(),
    pl.Float64: pa.float64(),
    pl.String: pa.string(),
    pl.Boolean: pa.bool_(),
    pl.Date: pa.date32(),
    pl.Datetime: pa.timestamp("us", tz="UTC"),
}


def arrow_schema(table: str) -> pa.Schema:
    """Return the Arrow schema in which a table is written."""
    shape = TABLES[table].create_empty().schema
    return pa.schema([(name, _ARROW[dtype.base_type()]) for name, dtype in shape.items()])


def meta_columns(table: str, key: str) -> dict[str, str]:
    """Return column -> value of one metadata key (kind, class) of a table's contract."""
    found = {name: (column.metadata or {}).get(key) for name, column in TABLES[table].columns().items()}
    return {name: value for name, value in found.items() if value}


class Tally:
    """Running rows, ranges and sums of one table; `rising` stays true while ids arrive in strict order."""

    def __init__(self, table: str) -> None:
        schema = arrow_schema(table)
        self.rows = 0
        self.rising = True
        self.cents = {name: 0 for name, kind in meta_columns(table, "kind").items() if kind == "cents"}
        self._spans: dict[str, tuple[int | datetime, int | datetime]] = {}
        self._ranged = ["id", *(f.name for f in schema if pa.types.is_timestamp(f.type))]
        self._last = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Count one batch, which must not be empty."""
        self.rows += batch.num_rows
        ids = batch.column("id")
        if self.rising:
            steps = pc.min(pc.subtract(ids.slice(1), ids.slice(0, len(ids) - 1))).as_py()
            self.rising = ids[0].as_py() > self._last and (steps is None or steps > 0)
            self._last = ids[-1].as_py()
        for name in self.cents:
            self.cents[name] += pc.sum(batch.column(name)).as_py() or 0
        for name in self._ranged:
            span = pc.min_max(batch.column(name))
            low, high = span["min"].as_py(), span["max"].as_py()
            if low is not None:
                had = self._spans.get(name, (low, high))
                self._spans[name] = (min(low, had[0]), max(high, had[1]))

    def ranges(self) -> dict[str, list[int | str]]:
        """Return column -> [min, max], instants as text."""
        return {name: [_plain(low), _plain(high)] for name, (low, high) in self._spans.items()}


def _plain(value: int | datetime) -> int | str:
    return rfc3339(value) if isinstance(value, datetime) else value

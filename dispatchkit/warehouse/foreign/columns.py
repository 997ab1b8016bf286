"""Values of our columns, made from foreign records as the mapping says."""

from __future__ import annotations

from typing import TypeAlias

import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.fault_codes import RowFault
from dispatchkit.kernel.stable_random import stable_id
from dispatchkit.warehouse.foreign.mapping import (
    Constant,
    Key,
    MappedColumn,
    Mapping,
    Source,
    Sum,
    Text,
)
from dispatchkit.warehouse.quarantine import ROW
from dispatchkit.warehouse.typed_values import TypedText, decimal, typed

# The values of a column, and what could not be read: row_number, text, code, reason.
ColumnValues: TypeAlias = tuple[pl.Series, pl.DataFrame]

_UNREADABLE = pl.Schema(
    {ROW: pl.Int64(), "text": pl.String(), "code": pl.String(), "reason": pl.String()}
)
_MICROSECONDS_PER_MINUTE = 60_000_000


def column_values(
    records: pl.DataFrame, mapping: Mapping, table: str, name: str, source: Source
) -> ColumnValues:
    """Return the values of a column of ours, one per record, and the texts that were unreadable."""
    match source:
        case MappedColumn():
            return _from_column(records, mapping, table, name, source)
        case Key():
            id_of = table if name == "id" else TABLES[table].references()[name]
            return _from_key(records, mapping.source, id_of, source)
        case Sum():
            values = records.get_column(f"sum {source.sum}")
        case Text():
            text = pl.format(source.template, *source.reads)
            values = records.select(text.alias(name)).to_series()
        case Constant():
            values = pl.Series(name, [source.constant] * len(records))
    return values, pl.DataFrame(schema=_UNREADABLE)


def _from_column(
    records: pl.DataFrame, mapping: Mapping, table: str, name: str, source: MappedColumn
) -> ColumnValues:
    text = pl.col(source.column)
    if source.words:
        text = text.replace(dict(source.words))
    parsed = typed(table, name, text, zone=mapping.time_zone or None)
    value, unreadable = parsed.value, _unreadable(records, text, parsed)
    if source.plus_minutes:
        minutes_text = pl.col(source.plus_minutes)
        minutes = decimal(minutes_text)
        microseconds = (minutes.value * _MICROSECONDS_PER_MINUTE).round().cast(pl.Int64)
        value = value + pl.duration(microseconds=microseconds)
        unreadable = pl.concat([unreadable, _unreadable(records, minutes_text, minutes)])
    return records.select(value.alias(name)).to_series(), unreadable


def _unreadable(records: pl.DataFrame, text: pl.Expr, parsed: TypedText) -> pl.DataFrame:
    """Return the texts that are there and have no value."""
    columns = records.select(
        ROW,
        text.alias("text"),
        parsed.code.alias("code"),
        parsed.reason.alias("reason"),
        parsed.value.is_null().alias("no value"),
    )
    unreadable = columns.filter(pl.col("text").is_not_null() & pl.col("no value"))
    return unreadable.drop("no value").cast(_UNREADABLE)


def _from_key(records: pl.DataFrame, source: str, table: str, made_of: Key) -> ColumnValues:
    """Return ids made of columns; a record in which all of these columns are empty has none."""
    columns = list(made_of.key)
    if not columns:
        same_id = pl.Series([stable_id(source, table)] * len(records), dtype=pl.Int64)
        return same_id, pl.DataFrame(schema=_UNREADABLE)

    distinct = records.select(columns).unique(maintain_order=True)
    ids = [
        stable_id(source, table, *("" if part is None else part for part in parts))
        for parts in distinct.iter_rows()
    ]
    with_ids = distinct.with_columns(pl.Series("the key", ids, pl.Int64))
    joined = records.join(with_ids, on=columns, how="left", nulls_equal=True, maintain_order="left")

    empty = records.filter(pl.all_horizontal(pl.col(columns).is_null())).select(
        ROW,
        pl.lit("").alias("text"),
        pl.lit(RowFault.BAD_ID).alias("code"),
        pl.lit("is required").alias("reason"),
    )
    return joined.get_column("the key"), empty.cast(_UNREADABLE)

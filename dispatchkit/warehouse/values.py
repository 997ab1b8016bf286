"""Values of foreign records: each way in which a mapping makes a column of ours from columns of theirs."""

from __future__ import annotations

from typing import TypeAlias

import polars as pl

from dispatchkit.domain.tables import TABLES, refs
from dispatchkit.kernel.stable_random import stable_id
from dispatchkit.warehouse.contracts import NOT_ID, ROW
from dispatchkit.warehouse.mapping import Column, Constant, Key, Mapping, Source, Sum, Text
from dispatchkit.warehouse.parse import number, parse

Read: TypeAlias = tuple[pl.Series, pl.DataFrame]

_BAD = pl.Schema({ROW: pl.Int64(), "text": pl.String(), "code": pl.String(), "fact": pl.String()})


def value(rows: pl.DataFrame, mapping: Mapping, table: str, name: str, source: Source) -> Read:
    """Return a column's values and what could not be read: row_number, text, code, fact."""
    match source:
        case Column():
            return _column(rows, mapping, table, name, source)
        case Key():
            return _key(
                rows, mapping.source, table if name == "id" else refs(TABLES[table])[name], source
            )
        case Sum():
            return rows.get_column(f"sum {source.sum}"), _nothing()
        case Text():
            return rows.select(
                pl.format(source.template, *source.reads).alias(name)
            ).to_series(), _nothing()
        case Constant():
            return pl.Series(name, [source.constant] * len(rows)), _nothing()


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(schema=_BAD)


def _column(rows: pl.DataFrame, mapping: Mapping, table: str, name: str, source: Column) -> Read:
    text = pl.col(source.column)
    if source.words:
        text = text.replace(dict(source.words))
    parsed = parse(table, name, text, zone=mapping.time_zone or None)
    found, bad = parsed.value, _unread(rows, text, parsed.value, parsed.code, parsed.fact)
    if source.plus_minutes:
        more = pl.col(source.plus_minutes)
        minutes = number(more)
        found = found + pl.duration(
            microseconds=(minutes.value * 60_000_000).round().cast(pl.Int64)
        )
        bad = pl.concat([bad, _unread(rows, more, minutes.value, minutes.code, minutes.fact)])
    return rows.select(found.alias(name)).to_series(), bad


def _unread(
    rows: pl.DataFrame, text: pl.Expr, found: pl.Expr, code: pl.Expr, fact: pl.Expr
) -> pl.DataFrame:
    lost = rows.select(
        ROW, text.alias("text"), code.alias("code"), fact.alias("fact"), found.alias("value")
    )
    return (
        lost.filter(pl.col("text").is_not_null() & pl.col("value").is_null())
        .drop("value")
        .cast(_BAD)
    )


def _key(rows: pl.DataFrame, source: str, table: str, made_of: Key) -> Read:
    columns = list(made_of.key)
    if not columns:
        return pl.Series([stable_id(source, table)] * len(rows), dtype=pl.Int64), _nothing()
    distinct = rows.select(columns).unique(maintain_order=True)
    ids = [
        stable_id(source, table, *("" if part is None else part for part in parts))
        for parts in distinct.iter_rows()
    ]
    keyed = distinct.with_columns(pl.Series("the key", ids, pl.Int64))
    found = rows.join(keyed, on=columns, how="left", nulls_equal=True, maintain_order="left")
    empty = rows.filter(pl.all_horizontal(pl.col(columns).is_null()))
    bad = empty.select(
        ROW,
        pl.lit("").alias("text"),
        pl.lit(NOT_ID).alias("code"),
        pl.lit("is required").alias("fact"),
    )
    return found.get_column("the key"), bad.cast(_BAD)

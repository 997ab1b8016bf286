"""Text to typed values, the same for every CSV: a regular expression first, then the cast, then the contract's range.

A cast alone is no check: it takes `1.5`, `1e3`, ` 7`, `0x10` and `007` for ids, and a bare date for an instant.
"""

from __future__ import annotations

from dataclasses import dataclass

import dataframely as dy
import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.warehouse.contracts import (
    NOT_ID,
    NOT_PLACE,
    NOT_TIME,
    NOT_WHOLE,
    NOT_WORD,
    code_of,
)

NO_ZONE = "DK-IN-037"
_WHOLE = "^-?(0|[1-9][0-9]{0,18})$"
_ID = "^[1-9][0-9]{0,18}$"
_DECIMAL = r"^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,20})?$"
_DAY = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
_STAMP = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?)"
    r"(Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?$"
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """`value` is null where the text could not be read; then `code` and `fact` say why."""

    value: pl.Expr
    code: pl.Expr
    fact: pl.Expr


def parse(table: str, name: str, text: pl.Expr, *, zone: str | None = None) -> Parsed:
    """Return how `text` becomes a value of a table's column. zone: IANA name for stamps that carry none."""
    column = TABLES[table].columns()[name]
    code = code_of(table, name, column)
    match column:
        case dy.Datetime():
            return instant(text, zone)
        case dy.Int64() if code == NOT_ID:
            return _plain(_cast(text, _ID, pl.Int64()), NOT_ID, "is not an id, or out of range")
        case dy.Int64():
            unit = " of cents" if (column.metadata or {}).get("kind") == "cents" else ""
            return _plain(
                _cast(text, _WHOLE, pl.Int64()), NOT_WHOLE, f"is not a whole number{unit}"
            )
        case dy.Float64():
            fact = "is not a coordinate" if code == NOT_PLACE else "is not a decimal number"
            return _plain(
                _cast(text, _DECIMAL, pl.Float64()), code if code == NOT_PLACE else NOT_WHOLE, fact
            )
        case dy.Bool():
            return _plain(
                text.replace_strict({"true": True, "false": False}, default=None),
                NOT_WORD,
                "is not true or false",
            )
        case dy.Date():
            value = (
                pl.when(text.str.contains(_DAY)).then(text).str.to_date("%Y-%m-%d", strict=False)
            )
            return _plain(value, NOT_TIME, "is not a day YYYY-MM-DD")
        case _:
            return _plain(text, NOT_WORD, "is not text")


def number(text: pl.Expr) -> Parsed:
    """Return how text becomes a decimal number, as minutes that are added to a stamp or parts of a sum."""
    return _plain(_cast(text, _DECIMAL, pl.Float64()), NOT_WHOLE, "is not a number")


def instant(text: pl.Expr, zone: str | None) -> Parsed:
    """Return how text becomes UTC: RFC 3339, or without offset in `zone`; of a repeated hour the first.

    The hour that a clock change skips does not exist and is no instant; nor is 24:00:00.
    """
    body = text.str.extract(_STAMP, 1) + " " + text.str.extract(_STAMP, 2)
    naive = body.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    offset = text.str.extract(_STAMP, 3)
    away = offset.str.slice(1, 2).cast(pl.Int64, strict=False) * 60 + offset.str.slice(4, 2).cast(
        pl.Int64, strict=False
    )
    east = pl.when(offset.str.starts_with("-")).then(-away).otherwise(away).fill_null(0)
    fixed = (naive - pl.duration(minutes=east)).dt.replace_time_zone("UTC")
    local = pl.lit(None, pl.Datetime("us", "UTC"))
    if zone is not None:
        local = naive.dt.replace_time_zone(
            zone, ambiguous="earliest", non_existent="null"
        ).dt.convert_time_zone("UTC")
    value = pl.when(offset.is_null()).then(local).otherwise(fixed)
    gap = "falls into the hour that the clock change skips" if zone else "has no time zone"
    zoneless = naive.is_not_null() & offset.is_null()
    return Parsed(
        value,
        pl.when(zoneless).then(pl.lit(NO_ZONE)).otherwise(pl.lit(NOT_TIME)),
        pl.when(zoneless).then(pl.lit(gap)).otherwise(pl.lit("is not a timestamp")),
    )


def _cast(text: pl.Expr, pattern: str, dtype: pl.DataType) -> pl.Expr:
    return pl.when(text.str.contains(pattern)).then(text).cast(dtype, strict=False)


def _plain(value: pl.Expr, code: str, fact: str) -> Parsed:
    return Parsed(value, pl.lit(code), pl.lit(fact))

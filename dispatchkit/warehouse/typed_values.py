"""Text to typed values, the same for every CSV: first a regular expression, then the cast.

A cast alone is no check: it accepts `1.5`, `1e3`, ` 7`, `0x10` and `007` as ids, and a bare date as
a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.fault_codes import RowFault
from dispatchkit.warehouse.row_checks import fault_of_column

_WHOLE = "^-?(0|[1-9][0-9]{0,18})$"
_ID = "^[1-9][0-9]{0,18}$"
_DECIMAL = r"^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,20})?$"
_DAY = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
_TIMESTAMP = (  # groups: day, time of day, offset
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?)"
    r"(Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?$"
)


@dataclass(frozen=True, slots=True)
class TypedText:
    """Expressions over a text column.

    `value` is null where it cannot be read; `code` and `reason` say why.
    """

    value: pl.Expr
    code: pl.Expr
    reason: pl.Expr


def typed(table: str, name: str, text: pl.Expr, *, zone: str | None = None) -> TypedText:
    """Return how text becomes a value of a table's column.

    zone: IANA name for times without offset.
    """
    column = TABLES[table].columns()[name]
    code = fault_of_column(table, name, column)
    match column.dtype:
        case pl.Datetime():
            return timestamp(text, zone)
        case pl.Int64() if code == RowFault.BAD_ID:
            return _typed(_matching(text, _ID, pl.Int64()), code, "is not an id, or out of range")
        case pl.Int64():
            unit = " of cents" if column.unit == "cents" else ""
            value = _matching(text, _WHOLE, pl.Int64())
            return _typed(value, RowFault.NOT_A_WHOLE_NUMBER, f"is not a whole number{unit}")
        case pl.Float64() if code == RowFault.BAD_COORDINATE:
            return _typed(_matching(text, _DECIMAL, pl.Float64()), code, "is not a coordinate")
        case pl.Float64():
            return decimal(text, "is not a decimal number")
        case pl.Boolean():
            value = text.replace_strict({"true": True, "false": False}, default=None)
            return _typed(value, RowFault.BAD_WORD, "is not true or false")
        case pl.Date():
            day = pl.when(text.str.contains(_DAY)).then(text)
            value = day.str.to_date("%Y-%m-%d", strict=False)
            return _typed(value, RowFault.BAD_TIME, "is not a day YYYY-MM-DD")
        case _:
            return _typed(text, RowFault.BAD_WORD, "is not text")


def decimal(text: pl.Expr, reason: str = "is not a number") -> TypedText:
    """Return how text becomes a decimal number."""
    return _typed(_matching(text, _DECIMAL, pl.Float64()), RowFault.NOT_A_WHOLE_NUMBER, reason)


def timestamp(text: pl.Expr, zone: str | None) -> TypedText:
    """Return how text becomes a UTC time.

    The text is RFC 3339, or local time in `zone` where the offset is missing.

    Of an hour that a clock change repeats, the first is meant. The hour that it skips does not
    exist and cannot be read; neither can 24:00:00.
    """
    day_and_time = text.str.extract(_TIMESTAMP, 1) + " " + text.str.extract(_TIMESTAMP, 2)
    naive = day_and_time.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)

    offset = text.str.extract(_TIMESTAMP, 3)
    offset_hours = offset.str.slice(1, 2).cast(pl.Int64, strict=False)
    offset_minutes = offset_hours * 60 + offset.str.slice(4, 2).cast(pl.Int64, strict=False)
    west = offset.str.starts_with("-")
    minutes_east = pl.when(west).then(-offset_minutes).otherwise(offset_minutes).fill_null(0)
    with_offset = (naive - pl.duration(minutes=minutes_east)).dt.replace_time_zone("UTC")

    local = pl.lit(None, pl.Datetime("us", "UTC"))
    if zone is not None:
        in_zone = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        local = in_zone.dt.convert_time_zone("UTC")

    no_zone = "falls into the hour that the clock change skips" if zone else "has no time zone"
    lacks_offset = naive.is_not_null() & offset.is_null()
    return TypedText(
        pl.when(offset.is_null()).then(local).otherwise(with_offset),
        pl.when(lacks_offset)
        .then(pl.lit(RowFault.NO_TIME_ZONE))
        .otherwise(pl.lit(RowFault.BAD_TIME)),
        pl.when(lacks_offset).then(pl.lit(no_zone)).otherwise(pl.lit("is not a timestamp")),
    )


def _matching(text: pl.Expr, pattern: str, dtype: pl.DataType) -> pl.Expr:
    """Return the text cast to `dtype` where it has the pattern, else null."""
    return pl.when(text.str.contains(pattern)).then(text).cast(dtype, strict=False)


def _typed(value: pl.Expr, code: RowFault, reason: str) -> TypedText:
    return TypedText(value, pl.lit(code), pl.lit(reason))

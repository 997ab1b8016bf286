"""Typed rows checked against the contract of their table; bad ones become quarantine lines.

What is wrong with one row quarantines that row. A delivery zone whose ring is no polygon refuses
the whole file instead: it would make every figure of its zone wrong.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import polars as pl

from dispatchkit.domain.contract import Column, Contract
from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadData
from dispatchkit.kernel.fault_codes import FileFault, RowFault
from dispatchkit.kernel.geo import ring_fault
from dispatchkit.warehouse.quarantine import (
    ROW,
    empty_quarantine,
    first_fault_per_row,
    quarantine_lines,
)

_RULE_TEXTS = {  # contract rules that join columns
    "sent_before_expiry": "empty interval: sent_at < expires_at <= hard_deadline must hold",
    "answered_iff_ended": "a pending offer has no answer time, and every other has one",
    "interval_not_empty": "empty interval: since < until must hold",
}
_POSITIONS = (("lat", "lon"), ("dropoff_lat", "dropoff_lon"))


def check_rows(table: str, file: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (good rows, quarantine) of typed rows with `row_number`; a row's first fault counts.

    Raises BadData for a delivery zone whose ring is no polygon.
    """
    passed, failed = _contract_with_row_number(table).filter(rows)
    good = passed.select(rows.columns)
    if table == "delivery_zones":
        _require_polygons(file, good)

    faults = []
    if len(failed.rows):
        for rule in failed.counts():
            column, code, reason = _broken_rule(table, rule)
            bad = failed.failing(rule)
            quote = may_be_quoted(table, column)
            faults.append(quarantine_lines(file, bad, column, code, reason, quote=quote))

    for lat, lon in _POSITIONS:
        if lat not in rows.columns or lon not in rows.columns:
            continue
        on_null_island = (pl.col(lat) == 0) & (pl.col(lon) == 0)
        if good.select(on_null_island.any()).item():
            bad = good.filter(on_null_island)
            reason = "is position 0,0"
            faults.append(
                quarantine_lines(file, bad, lat, RowFault.NULL_ISLAND, reason, quote=False)
            )
            good = good.filter(~on_null_island | on_null_island.is_null())

    return good, first_fault_per_row(faults) if faults else empty_quarantine()


def duplicate_rows(table: str, file: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return quarantine lines for rows that repeat an earlier row exactly.

    Raises BadData if two rows of one id differ: nobody can tell which of them is true.
    """
    columns = TABLES[table].column_names()
    distinct = rows.unique(columns, keep="first", maintain_order=True)
    differing = distinct.filter(pl.col("id").is_duplicated() & pl.col("id").is_not_null())
    if len(differing):
        raise BadData(
            f"{file}: id {differing.get_column('id')[0]} has two versions",
            code=FileFault.TWO_VERSIONS,
        )
    repeats = rows.join(distinct.select(ROW), on=ROW, how="anti", maintain_order="left")
    reason = "is a duplicate, one kept"
    return quarantine_lines(file, repeats, "id", RowFault.DUPLICATE, reason, quote=True)


def may_be_quoted(table: str, name: str) -> bool:
    """Return whether a value of this column may stand in a message.

    Numbers, times and words of a vocabulary may. Positions and free text may not, since they can identify a person.
    """
    column = TABLES[table].columns().get(name)
    if column is None:
        return False
    free_text = column.dtype == pl.String() and not column.words
    return not column.position and not free_text


def fault_of_column(table: str, name: str, column: Column) -> RowFault:
    """Return the code for a value that its column cannot hold."""
    if name == "id" or column.references:
        return RowFault.BAD_ID
    if column.unit in ("lat", "lon"):
        return RowFault.BAD_COORDINATE
    if isinstance(column.dtype, pl.Datetime | pl.Date):
        return RowFault.BAD_TIME
    if isinstance(column.dtype, pl.Int64 | pl.Float64):
        return RowFault.OUT_OF_RANGE
    return RowFault.BAD_WORD


@cache
def _contract_with_row_number(table: str) -> Contract:
    """Return the contract plus `row_number`; unique ids are checked once per file instead."""
    number = Column(dtype=pl.Int64())
    return TABLES[table].with_columns(**{ROW: number, "id": replace(number, min=1)})


def _broken_rule(table: str, rule: str) -> tuple[str, RowFault, str]:
    """Return (column, code, reason) of a contract rule: `column|check`, or a rule's name."""
    name, _, check = rule.partition("|")
    column = TABLES[table].columns().get(name)
    if column is None:
        return name, RowFault.EMPTY_INTERVAL, _RULE_TEXTS.get(name, name.replace("_", " "))
    return name, fault_of_column(table, name, column), _failed_check(column, check)


def _failed_check(column: Column, check: str) -> str:
    """Return the reason of a failed check: what the column must hold, in words."""
    if check == "nullability":
        return "is required"
    if column.words:
        return f"is none of {', '.join(column.words)}"
    if column.unit in ("lat", "lon"):
        return "is not a coordinate"
    if column.unit == "cents":
        return "is negative money"
    if isinstance(column.dtype, pl.Datetime):
        return "lies outside the years 2000 to 2100"

    limits: dict[str, Any] = {
        name: getattr(column, name, None) for name in ("min", "max", "min_length", "max_length")
    }
    texts = [f"{name.replace('_', ' ')} {x}" for name, x in limits.items() if x is not None]
    if not texts:
        return f"is not what the column holds ({check})"
    return f"is out of range: {' and '.join(texts)}"


def _require_polygons(file: str, zones: pl.DataFrame) -> None:
    for zone, ring in zones.select("id", "ring").iter_rows():
        if fault := _polygon_fault(ring):
            raise BadData(f"{file}: zone {zone}: {fault}", code=FileFault.BAD_POLYGON)


def _polygon_fault(ring: str) -> str | None:
    """Return what is wrong with a ring, or None.

    A ring is JSON: a closed list of [lon, lat] pairs with an area inside.

    Swapped latitude and longitude are noticed only where the result is no coordinate.
    """
    try:
        # Numbers as floats: a whole number of any length becomes at most infinite.
        corners = json.loads(ring, parse_int=float)
    except (ValueError, RecursionError):
        return "ring is not JSON"
    if not isinstance(corners, list) or not all(_is_pair(corner) for corner in corners):
        return "ring is not a list of [lon, lat] pairs"
    return ring_fault([(lon, lat) for lon, lat in corners])


def _is_pair(corner: object) -> bool:
    if not isinstance(corner, list) or len(corner) != 2:
        return False
    return all(isinstance(number, float) for number in corner)

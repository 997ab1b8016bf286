"""Rows against the contract of their table: good ones go on, bad ones to quarantine with a code and a reason.

A quarantined row is one line of file, row, column, code, reason. `row` counts data rows from 1 (the header is
none). Codes are DK-IN-0NN. A value is quoted only where it can be nobody's name, text or position.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import dataframely as dy
import polars as pl

from dispatchkit.domain.tables import TABLES, refs
from dispatchkit.kernel.errors import BadData, shown
from dispatchkit.warehouse.rings import require_rings

RULES = {  # the rules of the contracts that join columns, as one says them
    "sent_before_expiry": "empty interval: sent_at < expires_at <= hard_deadline must hold",
    "answered_iff_ended": "a pending offer has no answer time, and every other has one",
    "interval_not_empty": "empty interval: since < until must hold",
}
ROW = "row_number"
QUARANTINE = pl.Schema(
    {
        "file": pl.String(),
        "row": pl.Int64(),
        "column": pl.String(),
        "code": pl.String(),
        "reason": pl.String(),
    }
)
NOT_ID, NOT_WHOLE, NEGATIVE, NOT_PLACE = "DK-IN-032", "DK-IN-033", "DK-IN-034", "DK-IN-035"
NULL_ISLAND, NOT_TIME, EMPTY_INTERVAL, NOT_WORD = "DK-IN-036", "DK-IN-038", "DK-IN-039", "DK-IN-040"
ORPHAN, DUPLICATE, TWO_VERSIONS, TOO_MANY = "DK-IN-041", "DK-IN-030", "DK-IN-031", "DK-IN-045"


def nothing() -> pl.DataFrame:
    """Return an empty quarantine."""
    return pl.DataFrame(schema=QUARANTINE)


def quarantined(
    file: str, rows: pl.DataFrame, column: str, code: str, fact: str, *, quote: bool
) -> pl.DataFrame:
    """Return quarantine lines for `rows` (row_number and, to be quoted, `column`), all for one reason."""
    if quote and column in rows.columns:
        values = rows.get_column(column).to_list()
        reasons = [
            f"{'no value' if value is None else repr(shown(value))} {fact}" for value in values
        ]
    else:
        reasons = [fact] * len(rows)
    return pl.DataFrame(
        {
            "file": [file] * len(rows),
            "row": rows.get_column(ROW),
            "column": [column] * len(rows),
            "code": [code] * len(rows),
            "reason": reasons,
        },
        schema=QUARANTINE,
    )


def judge(table: str, file: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (good rows, quarantine) of typed rows numbered by `row_number`; one line per bad row, its first fault.

    Raises BadData for a zone whose ring is none: that is a bad file, not a bad row.
    """
    passed, failed = _numbered(table).filter(rows)
    good = passed.select(rows.columns)
    if table == "delivery_zones":
        require_rings(file, good)
    found = []
    if len(failed):
        details = failed.details()
        for rule in failed.counts():
            column, code, fact = _fault(table, rule)
            bad = details.filter(pl.col(rule) == "invalid")
            found.append(quarantined(file, bad, column, code, fact, quote=harmless(table, column)))
    for lat, lon in (("lat", "lon"), ("dropoff_lat", "dropoff_lon")):
        island = (pl.col(lat) == 0) & (pl.col(lon) == 0)
        if {lat, lon} <= set(rows.columns) and good.select(island.any()).item():
            found.append(
                quarantined(
                    file, good.filter(island), lat, NULL_ISLAND, "is position 0,0", quote=False
                )
            )
            good = good.filter(~island | island.is_null())
    if not found:
        return good, nothing()
    return good, pl.concat(found).sort("row", maintain_order=True).unique(
        "row", keep="first", maintain_order=True
    )


def repeated(table: str, file: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return quarantine lines for rows that repeat an earlier row exactly. Raises BadData if an id has two versions."""
    columns = TABLES[table].column_names()
    first = rows.unique(columns, keep="first", maintain_order=True)
    twice = first.filter(pl.col("id").is_duplicated() & pl.col("id").is_not_null())
    if len(twice):
        raise BadData(f"{file}: id {twice.get_column('id')[0]} has two versions", code=TWO_VERSIONS)
    again = rows.join(first.select(ROW), on=ROW, how="anti", maintain_order="left")
    return quarantined(file, again, "id", DUPLICATE, "is a duplicate, one kept", quote=True)


def limit(file: str, bad: int, rows: int, share: float) -> None:
    """Raise BadData when more rows are bad than `share` of the file, of which at least 10 are forgiven."""
    most = max(10, int(rows * share))
    if bad > most:
        raise BadData(
            f"{file}: {bad} of {rows} rows bad, limit {most}: a bad file, nothing kept",
            code=TOO_MANY,
        )


@cache
def _numbered(table: str) -> type[dy.Schema]:
    """Return the contract with `row_number` and without unique ids, which are a matter of whole files."""
    schema = TABLES[table]
    return type(schema.__name__ + "Numbered", (schema,), {ROW: dy.Int64(), "id": dy.Int64(min=1)})


def harmless(table: str, column: str) -> bool:
    """Return whether a value of this column may stand in a message: numbers, times and words of a vocabulary."""
    found = TABLES[table].columns().get(column)
    meta: dict[str, Any] = (found.metadata or {}) if found is not None else {}
    return (
        found is not None
        and "class" not in meta
        and (not isinstance(found, dy.String) or "words" in meta)
    )


def _fault(table: str, rule: str) -> tuple[str, str, str]:
    """Return (column, code, fact) of a broken contract rule, named `column|check` or by the rule alone."""
    name, _, check = rule.partition("|")
    found = TABLES[table].columns().get(name)
    if found is None:
        return name, EMPTY_INTERVAL, RULES.get(name, name.replace("_", " "))
    return name, code_of(table, name, found), _told(found, check)


def _told(column: dy.Column, check: str) -> str:
    """Return in words what a column's check asks for."""
    meta = column.metadata or {}
    if check == "nullability":
        return "is required"
    if "words" in meta:
        return f"is none of {', '.join(meta['words'])}"
    if meta.get("kind") in ("lat", "lon"):
        return "is not a coordinate"
    if meta.get("kind") == "cents":
        return "is negative money"
    if isinstance(column, dy.Datetime):
        return "lies outside the years 2000 to 2100"
    limits = {
        name: getattr(column, name, None) for name in ("min", "max", "min_length", "max_length")
    }
    said = " and ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in limits.items() if value is not None
    )
    return f"is out of range: {said}" if said else f"is not what the column holds ({check})"


def code_of(table: str, name: str, column: dy.Column) -> str:
    """Return the code for a value that is not what its column holds."""
    kind = (column.metadata or {}).get("kind")
    if column.primary_key or name in refs(TABLES[table]):
        return NOT_ID
    if kind in ("lat", "lon"):
        return NOT_PLACE
    if isinstance(column, dy.Datetime | dy.Date):
        return NOT_TIME
    if isinstance(column, dy.Int64 | dy.Float64):
        return NEGATIVE
    return NOT_WORD

"""`data import` of foreign files: records become rows of our tables, every discarded or repaired thing counted.

A record whose value cannot be read, or whose row breaks a contract, is quarantined whole, so that no table holds half
of it. A stamp that is not there leaves its stage implied; one that cannot be (before an earlier stage, after the end)
is dropped and counted as impossible, the row stays. Nothing is repaired silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from dispatchkit.domain.states import DELIVERY
from dispatchkit.kernel.errors import BadData
from dispatchkit.warehouse.build import MAX_QUARANTINE
from dispatchkit.warehouse.contracts import (
    EMPTY_INTERVAL,
    NOT_TIME,
    ROW,
    TWO_VERSIONS,
    harmless,
    judge,
    limit,
)
from dispatchkit.warehouse.facts import shape
from dispatchkit.warehouse.intake import Intake
from dispatchkit.warehouse.lines import FILE, LINES, Records, read_records
from dispatchkit.warehouse.mapping import Column, Mapping
from dispatchkit.warehouse.values import value

RECORD = ROW  # records are numbered through all files; `judge` knows the column by this name
PARTIES = (
    "delivery_zones",
    "merchants",
    "customers",
    "drivers",
)  # many records name one: the first line tells
STAGES = ("assigned_at", "started_at", "arrived_pickup_at", "picked_up_at", "arrived_dropoff_at")
_FAULT = pl.Schema(
    {RECORD: pl.Int64(), "column": pl.String(), "code": pl.String(), "reason": pl.String()}
)


def read_foreign(
    paths: Sequence[Path],
    mapping: Mapping,
    *,
    strict: bool = False,
    max_quarantine: float = MAX_QUARANTINE,
) -> Intake:
    """Return the rows of foreign files as our tables, with quarantine and counts.

    The counts add up: lines = duplicate_lines + folded_lines + quarantined_lines + records.
    Raises BadData for a bad file, too many bad records, or two records of one id that differ.
    """
    records = read_records(paths, mapping, strict=strict)
    rows = (
        records.rows.rename({ROW: "line"})
        .with_row_index(RECORD, offset=1)
        .with_columns(pl.col(RECORD).cast(pl.Int64))
    )
    tables, faults = _tables(rows, mapping)
    dropped: dict[str, int] = {}
    if "deliveries" in tables:
        tables["deliveries"], late = _stages(tables["deliveries"], mapping.max_hours)
        faults.append(late)
    for table, frame in tables.items():
        tables[table], broken = judge(table, table, frame)
        faults.append(
            broken.select(pl.col("row").alias(RECORD), "column", "code", "reason").cast(_FAULT)
        )
    worst = (
        pl.concat(faults)
        .sort(RECORD, maintain_order=True)
        .unique(RECORD, keep="first", maintain_order=True)
    )
    kept = rows.join(worst, on=RECORD, how="anti", maintain_order="left")
    tables = {
        table: frame.join(worst, on=RECORD, how="anti").sort(RECORD)
        for table, frame in tables.items()
    }
    if "deliveries" in tables:
        tables["deliveries"], dropped = _possible(tables["deliveries"])
    varying = {}
    for table, frame in tables.items():
        tables[table], varying[table] = _once(table, frame)
    bad = rows.join(worst, on=RECORD, how="inner").sort(RECORD)
    quarantine = pl.concat(
        [
            records.bad,
            bad.select(
                pl.col(FILE).alias("file"), pl.col("line").alias("row"), "column", "code", "reason"
            ),
        ]
    ).sort("file", "row")
    limit(
        " + ".join(path.name for path in paths),
        len(quarantine),
        len(rows) + len(records.bad),
        max_quarantine,
    )
    counts = _counts(records, kept, bad) | {
        f"impossible {name}": n for name, n in dropped.items() if n
    }
    if "deliveries" in tables:
        counts |= _missing(tables["deliveries"], mapping, dropped)
    counts |= {f"varying {table}": n for table, n in varying.items() if n}
    return Intake(frames=tables, quarantine=quarantine, counts=counts, warnings=records.warnings)


def _tables(
    rows: pl.DataFrame, mapping: Mapping
) -> tuple[dict[str, pl.DataFrame], list[pl.DataFrame]]:
    """Return each table's typed rows, one a record, and the faults of fields that could not be read."""
    tables, faults = {}, [pl.DataFrame(schema=_FAULT)]
    for table, sources in mapping.sources().items():
        values = [rows.get_column(RECORD)]
        for name, dtype in shape(table).items():
            if name not in sources:
                values.append(pl.Series(name, [None] * len(rows), dtype))
                continue
            found, bad = value(rows, mapping, table, name, sources[name])
            values.append(found.cast(dtype).alias(name))
            faults.append(_told(bad, table, name, sources[name]))
        tables[table] = pl.DataFrame(values)
    return tables, faults


def _told(bad: pl.DataFrame, table: str, name: str, source: object) -> pl.DataFrame:
    """Return faults that name the file's column, the text quoted where it is harmless."""
    quote = (
        pl.format("'{}' {}", pl.col("text").str.slice(0, 64), "fact")
        if harmless(table, name)
        else pl.col("fact")
    )
    column = source.column if isinstance(source, Column) else f"{table}.{name}"
    return bad.select(RECORD, pl.lit(column).alias("column"), "code", quote.alias("reason")).cast(
        _FAULT
    )


def _stages(rows: pl.DataFrame, max_hours: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return deliveries and the faults of those whose end is missing, before the beginning, or absurdly late."""
    over = pl.col("state").is_in(sorted(DELIVERY.terminal))
    length = pl.col("ended_at") - pl.col("created_at")
    hours = pl.format("lasted {} h, limit {} h", length.dt.total_hours(), pl.lit(max_hours))
    fault = (
        pl.when(over & pl.col("ended_at").is_null())
        .then(
            pl.struct(
                pl.lit(NOT_TIME).alias("code"),
                pl.lit("is required: the delivery is over").alias("reason"),
            )
        )
        .when(length < pl.duration())
        .then(
            pl.struct(
                pl.lit(EMPTY_INTERVAL).alias("code"),
                pl.lit("ended before it began").alias("reason"),
            )
        )
        .when(length > pl.duration(hours=max_hours))
        .then(pl.struct(pl.lit(NOT_TIME).alias("code"), hours.alias("reason")))
    )
    found = rows.select(RECORD, pl.lit("deliveries.ended_at").alias("column"), fault.alias("fault"))
    return rows, found.filter(pl.col("fault").is_not_null()).unnest("fault").cast(_FAULT)


def _possible(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return deliveries without stamps that lie before an earlier stage or after the end, and how many a stage."""
    dropped, latest = {}, pl.col("created_at")
    for name in STAGES:
        stamp = pl.col(name)
        fits = (stamp >= latest) & (pl.col("ended_at").is_null() | (stamp <= pl.col("ended_at")))
        dropped[name] = int(rows.select((~fits).sum()).item())
        rows = rows.with_columns(pl.when(fits).then(stamp).alias(name))
        latest = pl.max_horizontal(latest, name)
    return rows, dropped


def _once(table: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return one row an id, ascending, and how many ids came with differing rows (the first line is kept)."""
    rows = rows.drop(RECORD)
    distinct = rows.unique(maintain_order=True)
    once = distinct.unique("id", keep="first", maintain_order=True)
    varying = distinct.filter(pl.col("id").is_duplicated()).get_column("id").n_unique()
    if table not in PARTIES and len(once) < len(rows):
        twice = rows.filter(pl.col("id").is_duplicated()).get_column("id")[0]
        raise BadData(
            f"{table}: id {twice} has two versions; its key needs more columns", code=TWO_VERSIONS
        )
    return once.sort("id"), varying


def _counts(records: Records, kept: pl.DataFrame, bad: pl.DataFrame) -> dict[str, int]:
    return {
        "lines": records.lines,
        "duplicate_lines": records.duplicates,
        "folded_lines": int(kept.get_column(LINES).sum()) - len(kept),
        "quarantined_lines": records.bad_lines + int(bad.get_column(LINES).sum()),
        "records": len(kept),
    }


def _missing(rows: pl.DataFrame, mapping: Mapping, dropped: dict[str, int]) -> dict[str, int]:
    """Return how many records have no stamp for a stage that the mapping names: reached, but implied."""
    named = [name for name in STAGES if name in mapping.tables["deliveries"]]
    empty = {name: rows.get_column(name).null_count() - dropped[name] for name in named}
    return {f"missing {name}": count for name, count in empty.items() if count}

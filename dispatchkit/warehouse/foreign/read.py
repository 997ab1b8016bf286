"""`data import` of foreign files: records become rows of our tables, everything dropped is counted.

A record with a value that cannot be read, or with a row that breaks a contract, is quarantined as a
whole, so that no table holds half of it. The time of a stage may be missing: the stage is then
implied by the next one. A time that is impossible (before an earlier stage, or after the end) is
dropped and counted, and the row stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from dispatchkit.domain.states import DELIVERY
from dispatchkit.kernel.errors import BadData
from dispatchkit.kernel.fault_codes import FileFault, RowFault
from dispatchkit.warehouse.foreign.columns import column_values
from dispatchkit.warehouse.foreign.mapping import MappedColumn, Mapping, Source
from dispatchkit.warehouse.foreign.records import FILE, LINES, Records, read_records
from dispatchkit.warehouse.imports import ImportBatch
from dispatchkit.warehouse.quarantine import MAX_QUARANTINE, ROW, first_fault_per_row, require_few
from dispatchkit.warehouse.row_checks import check_rows, may_be_quoted
from dispatchkit.warehouse.table_facts import polars_schema

RECORD = ROW  # records are numbered through all files, in the column that `check_rows` expects
# Many records may name the same one; the first of them says what it is like.
SHARED_TABLES = ("delivery_zones", "merchants", "customers", "drivers")
STAGES = ("assigned_at", "started_at", "arrived_pickup_at", "picked_up_at", "arrived_dropoff_at")
_FAULTS = pl.Schema(
    {RECORD: pl.Int64(), "column": pl.String(), "code": pl.String(), "reason": pl.String()}
)


def read_foreign(
    paths: Sequence[Path],
    mapping: Mapping,
    *,
    strict: bool = False,
    max_quarantine: float = MAX_QUARANTINE,
) -> ImportBatch:
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

    tables, faults = _typed_tables(rows, mapping)
    if "deliveries" in tables:
        faults.append(_end_faults(tables["deliveries"], mapping.max_hours))
    for table, frame in tables.items():
        tables[table], broken = check_rows(table, table, frame)
        broken = broken.select(pl.col("row").alias(RECORD), "column", "code", "reason")
        faults.append(broken.cast(_FAULTS))
    bad = first_fault_per_row(faults, RECORD)
    kept = rows.join(bad, on=RECORD, how="anti", maintain_order="left")
    quarantined = rows.join(bad, on=RECORD, how="inner").sort(RECORD)
    for table, frame in tables.items():
        tables[table] = frame.join(bad, on=RECORD, how="anti").sort(RECORD)

    impossible: dict[str, int] = {}
    if "deliveries" in tables:
        tables["deliveries"], impossible = _drop_impossible_times(tables["deliveries"])
    varying = {}
    for table, frame in tables.items():
        tables[table], varying[table] = _one_row_per_id(table, frame)

    lines = quarantined.select(
        pl.col(FILE).alias("file"), pl.col("line").alias("row"), "column", "code", "reason"
    )
    quarantine = pl.concat([records.quarantine, lines]).sort("file", "row")
    names = " + ".join(path.name for path in paths)
    require_few(names, len(quarantine), len(rows) + len(records.quarantine), max_quarantine)

    counts = _line_counts(records, kept, quarantined)
    counts |= {f"impossible {name}": count for name, count in impossible.items() if count}
    if "deliveries" in tables:
        counts |= _missing_times(tables["deliveries"], mapping, impossible)
    counts |= {f"varying {table}": count for table, count in varying.items() if count}
    return ImportBatch(
        frames=tables, quarantine=quarantine, counts=counts, warnings=records.warnings
    )


def _typed_tables(
    rows: pl.DataFrame, mapping: Mapping
) -> tuple[dict[str, pl.DataFrame], list[pl.DataFrame]]:
    """Return each table's typed rows, one per record, and the faults of unreadable values."""
    tables, faults = {}, [pl.DataFrame(schema=_FAULTS)]
    for table, sources in mapping.sources().items():
        columns = [rows.get_column(RECORD)]
        for name, dtype in polars_schema(table).items():
            if name not in sources:
                columns.append(pl.Series(name, [None] * len(rows), dtype))
                continue
            values, unreadable = column_values(rows, mapping, table, name, sources[name])
            columns.append(values.cast(dtype).alias(name))
            faults.append(_faults(unreadable, table, name, sources[name]))
        tables[table] = pl.DataFrame(columns)
    return tables, faults


def _faults(unreadable: pl.DataFrame, table: str, name: str, source: Source) -> pl.DataFrame:
    """Return faults that name the file's column, or ours, and quote the text if allowed."""
    reason = pl.col("reason")
    if may_be_quoted(table, name):
        reason = pl.format("'{}' {}", pl.col("text").str.slice(0, 64), reason)
    column = source.column if isinstance(source, MappedColumn) else f"{table}.{name}"
    return unreadable.select(
        RECORD, pl.lit(column).alias("column"), "code", reason.alias("reason")
    ).cast(_FAULTS)


def _end_faults(deliveries: pl.DataFrame, max_hours: int) -> pl.DataFrame:
    """Return faults of deliveries that have no end, end before they begin, or last too long."""
    is_over = pl.col("state").is_in(sorted(DELIVERY.terminal))
    length = pl.col("ended_at") - pl.col("created_at")
    too_long = pl.format("lasted {} h, limit {} h", length.dt.total_hours(), pl.lit(max_hours))
    fault = (
        pl.when(is_over & pl.col("ended_at").is_null())
        .then(_fault(RowFault.BAD_TIME, pl.lit("is required: the delivery is over")))
        .when(length < pl.duration())
        .then(_fault(RowFault.EMPTY_INTERVAL, pl.lit("ended before it began")))
        .when(length > pl.duration(hours=max_hours))
        .then(_fault(RowFault.BAD_TIME, too_long))
    )
    faults = deliveries.select(
        RECORD, pl.lit("deliveries.ended_at").alias("column"), fault.alias("fault")
    )
    return faults.filter(pl.col("fault").is_not_null()).unnest("fault").cast(_FAULTS)


def _fault(code: RowFault, reason: pl.Expr) -> pl.Expr:
    return pl.struct(pl.lit(code).alias("code"), reason.alias("reason"))


def _drop_impossible_times(deliveries: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return deliveries without impossible times, and how many were dropped per stage.

    A time is impossible before an earlier stage or after the end.
    """
    dropped, latest = {}, pl.col("created_at")
    for name in STAGES:
        time = pl.col(name)
        not_after_end = pl.col("ended_at").is_null() | (time <= pl.col("ended_at"))
        possible = (time >= latest) & not_after_end
        dropped[name] = int(deliveries.select((~possible).sum()).item())
        deliveries = deliveries.with_columns(pl.when(possible).then(time).alias(name))
        latest = pl.max_horizontal(latest, name)
    return deliveries, dropped


def _one_row_per_id(table: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return one row per id, ids ascending, and how many ids came with differing rows.

    Only shared tables may repeat an id. Raises BadData for any other: its key names no record.
    """
    rows = rows.drop(RECORD)
    distinct = rows.unique(maintain_order=True)
    first = distinct.unique("id", keep="first", maintain_order=True)
    if table not in SHARED_TABLES and len(first) < len(rows):
        repeated = rows.filter(pl.col("id").is_duplicated()).get_column("id")[0]
        raise BadData(
            f"{table}: id {repeated} has two versions; its key needs more columns",
            code=FileFault.TWO_VERSIONS,
        )
    varying = distinct.filter(pl.col("id").is_duplicated()).get_column("id").n_unique()
    return first.sort("id"), varying


def _line_counts(records: Records, kept: pl.DataFrame, quarantined: pl.DataFrame) -> dict[str, int]:
    return {
        "lines": records.lines,
        "duplicate_lines": records.duplicates,
        "folded_lines": int(kept.get_column(LINES).sum()) - len(kept),
        "quarantined_lines": records.bad_lines + int(quarantined.get_column(LINES).sum()),
        "records": len(kept),
    }


def _missing_times(
    deliveries: pl.DataFrame, mapping: Mapping, impossible: dict[str, int]
) -> dict[str, int]:
    """Return how many records lack the time of a mapped stage, which is then implied."""
    mapped = [name for name in STAGES if name in mapping.tables["deliveries"]]
    empty = {name: deliveries.get_column(name).null_count() - impossible[name] for name in mapped}
    return {f"missing {name}": count for name, count in empty.items() if count}

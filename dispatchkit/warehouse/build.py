"""An export becomes DuckDB tables: the one path that load, check and import share.

Order: manifest, bytes and SHA-256 (both verified before), then columns, contracts, relations. What
is wrong with a row goes to quarantine; what is wrong with a file refuses the whole export.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadData, IOFailed, shown
from dispatchkit.kernel.fault_codes import FileFault
from dispatchkit.kernel.sql import parse
from dispatchkit.warehouse.export_files import CsvTable, ParquetTable, open_table
from dispatchkit.warehouse.manifest import Manifest
from dispatchkit.warehouse.quarantine import MAX_QUARANTINE, ROW, empty_quarantine, require_few
from dispatchkit.warehouse.relations import duty_gaps, remove_contradictions
from dispatchkit.warehouse.row_checks import check_rows, duplicate_rows
from dispatchkit.warehouse.table_facts import ids_rise

_SQL = parse(Path(__file__).with_name("build.sql").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class BuiltTables:
    """What an export became: rows kept per table, rows quarantined, warnings for people."""

    rows: dict[str, int]
    quarantine: pl.DataFrame
    warnings: list[str]


def build(
    con: duckdb.DuckDBPyConnection,
    directory: Path,
    manifest: Manifest,
    *,
    strict: bool = False,
    max_quarantine: float = MAX_QUARANTINE,
) -> BuiltTables:
    """Fill `con` with every table of TABLES and one `quarantine`.

    The manifest must have been verified before.

    Raises BadData: a file that is not what the manifest says, an unknown column under `strict`, two
    versions of an id, too many bad rows, two accepted offers of one episode.
    """
    lines, ids, warnings = [empty_quarantine()], {}, []
    _create_tables(con)
    con.execute("BEGIN")
    files = {facts.table: facts for facts in manifest.files}
    for table in TABLES:
        if table not in files:
            continue
        source = open_table(directory, files[table], manifest)
        warnings += _unknown_columns(source, strict=strict)
        ids[table] = source.ids()
        lines += _fill(con, source, ids[table])

    names = {table: facts.name for table, facts in files.items()}
    lines.append(remove_contradictions(con, names, ids))
    quarantine = pl.concat(lines).sort("file", "row")
    for facts in manifest.files:
        bad = quarantine.filter(pl.col("file") == facts.name).height
        require_few(facts.name, bad, facts.rows, max_quarantine)
    con.register("batch", quarantine.to_arrow())
    con.execute(_SQL["insert"].format(table="quarantine"))
    con.unregister("batch")
    con.execute("COMMIT")

    warnings += duty_gaps(con)
    rows = {table: _count(con, table) for table in TABLES}
    built = BuiltTables(rows, quarantine, warnings)
    _require_all_rows(built, manifest)
    return built


def _create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Create the empty tables, each in a transaction of its own.

    DuckDB 1.5.6 loses rows that are inserted into a table made by CREATE TABLE AS over no rows in
    the same transaction.
    """
    empty = {table: schema.create_empty() for table, schema in TABLES.items()}
    for table, frame in (empty | {"quarantine": empty_quarantine()}).items():
        con.register("batch", frame.to_arrow())
        con.execute(_SQL["create"].format(table=table))
    con.unregister("batch")


def _unknown_columns(source: ParquetTable | CsvTable, *, strict: bool) -> list[str]:
    """Return a warning per unknown column. Raises BadData for the first one under `strict`."""
    file = source.facts.name
    warnings = [f"{file}: unknown column {shown(column)}" for column in source.unknown_columns()]
    if warnings and strict:
        raise BadData(warnings[0], code=FileFault.UNKNOWN_COLUMN)
    return warnings


def _fill(
    con: duckdb.DuckDBPyConnection, source: ParquetTable | CsvTable, ids: pl.Series
) -> Iterator[pl.DataFrame]:
    """Insert the good rows of one file and yield quarantine lines."""
    table, file = source.facts.table, source.facts.name
    batches: Iterator[pl.DataFrame] = source.batches()
    if not ids_rise(ids) and ids.n_unique() < len(ids):
        # An id occurs twice. That is rare, and only then the whole table is held in memory at once.
        whole = pl.concat(list(batches))
        duplicates = duplicate_rows(table, file, whole)
        yield duplicates
        batches = iter(
            [whole.join(duplicates, left_on=ROW, right_on="row", how="anti", maintain_order="left")]
        )
    for batch in batches:
        good, bad = check_rows(table, file, batch)
        con.register("batch", good.drop(ROW).to_arrow())
        con.execute(_SQL["insert"].format(table=table))
        if len(bad):
            yield bad
    yield source.quarantine


def _require_all_rows(built: BuiltTables, manifest: Manifest) -> None:
    """Raise IOFailed unless every row of every file is in a table or in quarantine."""
    for facts in manifest.files:
        bad = built.quarantine.filter(pl.col("file") == facts.name).height
        kept = built.rows[facts.table]
        if kept + bad != facts.rows:
            raise IOFailed(
                f"{facts.name}: {facts.rows} rows came, {kept} were kept and {bad} quarantined"
            )


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    row = con.execute(_SQL["count"].format(table=table)).fetchone()
    assert row is not None
    return int(row[0])

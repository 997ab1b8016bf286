"""An export into DuckDB tables: the one path that load, check and import share.

Order (reliability, section 4): manifest, bytes and SHA-256, columns, contracts, relations. What is bad in a row goes to
quarantine; what is bad in a file refuses the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadData, IOFailed, shown
from dispatchkit.kernel.sql import parse
from dispatchkit.warehouse.contracts import ROW, judge, limit, nothing, repeated
from dispatchkit.warehouse.csvtable import CsvTable
from dispatchkit.warehouse.facts import rising
from dispatchkit.warehouse.manifest import FileFacts, Manifest
from dispatchkit.warehouse.parquet import ParquetTable
from dispatchkit.warehouse.relations import gaps, retire

MAX_QUARANTINE = 0.01
_SQL = parse(Path(__file__).with_name("build.sql").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Built:
    """What came of an export: rows kept a table, rows quarantined, and columns nobody knows."""

    rows: dict[str, int]
    quarantine: pl.DataFrame
    warnings: list[str]


def connect(database: str | Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection in UTC that opens no other file and no network."""
    con = duckdb.connect(str(database), read_only=read_only)
    con.execute(
        "SET timezone='UTC'; SET enable_external_access=false; SET preserve_insertion_order=true"
    )
    return con


def build(
    con: duckdb.DuckDBPyConnection,
    directory: Path,
    manifest: Manifest,
    *,
    strict: bool = False,
    max_quarantine: float = MAX_QUARANTINE,
) -> Built:
    """Fill `con` with every table of TABLES and one `quarantine`. The manifest must have been verified before.

    Raises BadData: a file that is not what the manifest says, an unknown column under `strict`, two versions of an id,
    too many bad rows, two accepted offers of one episode.
    """
    found, ids, warnings = [nothing()], {}, []
    _create(con)
    con.execute("BEGIN")
    files = {facts.table: facts for facts in manifest.files}
    for table in TABLES:
        if table in files:
            source = _source(directory, files[table], manifest)
            warnings += _unknown(files[table].name, source.unknown_columns(), strict=strict)
            ids[table] = source.ids()
            found += _fill(con, source, files[table], ids[table])
    found.append(retire(con, {table: facts.name for table, facts in files.items()}, ids))
    quarantine = pl.concat(found).sort("file", "row")
    for facts in manifest.files:
        limit(
            facts.name,
            quarantine.filter(pl.col("file") == facts.name).height,
            facts.rows,
            max_quarantine,
        )
    con.register("batch", quarantine.to_arrow())
    con.execute(_SQL["fill"].format(table="quarantine"))
    con.unregister("batch")
    con.execute("COMMIT")
    warnings += gaps(con)
    built = Built({table: _count(con, table) for table in TABLES}, quarantine, warnings)
    _adds_up(built, manifest)
    return built


def _create(con: duckdb.DuckDBPyConnection) -> None:
    """Make the empty tables, in transactions of their own: DuckDB 1.5.6 loses the rows that are inserted into a table
    made by CREATE TABLE AS over no rows in the same transaction."""
    shapes = {table: schema.create_empty() for table, schema in TABLES.items()} | {
        "quarantine": nothing()
    }
    for table, empty in shapes.items():
        con.register("batch", empty.to_arrow())
        con.execute(_SQL["create"].format(table=table))
    con.unregister("batch")


def _adds_up(built: Built, manifest: Manifest) -> None:
    """Every row of every file is in a table or in quarantine: a row that got lost must not go unseen."""
    for facts in manifest.files:
        bad = built.quarantine.filter(pl.col("file") == facts.name).height
        if built.rows[facts.table] + bad != facts.rows:
            kept = built.rows[facts.table]
            raise IOFailed(
                f"{facts.name}: {facts.rows} rows came, {kept} were kept and {bad} quarantined"
            )


def _source(directory: Path, facts: FileFacts, manifest: Manifest) -> ParquetTable | CsvTable:
    if facts.name.endswith(".csv"):
        return CsvTable(directory / facts.name, facts)
    return ParquetTable(directory, facts, manifest)


def _unknown(file: str, columns: list[str], *, strict: bool) -> list[str]:
    said = [f"{file}: unknown column {shown(column)}" for column in columns]
    if said and strict:
        raise BadData(said[0], code="DK-IN-027")
    return said


def _fill(
    con: duckdb.DuckDBPyConnection,
    source: ParquetTable | CsvTable,
    facts: FileFacts,
    ids: pl.Series,
) -> Iterator[pl.DataFrame]:
    """Insert the good rows of one file and yield quarantine lines."""
    table, file = facts.table, facts.name
    batches: Iterator[pl.DataFrame] = source.batches()
    if not rising(ids) and ids.n_unique() < len(
        ids
    ):  # rare: only then is the whole table held at once
        whole = pl.concat(list(batches))
        again = repeated(table, file, whole)
        yield again
        batches = iter(
            [whole.join(again, left_on=ROW, right_on="row", how="anti", maintain_order="left")]
        )
    for batch in batches:
        good, bad = judge(table, file, batch)
        con.register("batch", good.drop(ROW).to_arrow())
        con.execute(_SQL["fill"].format(table=table))
        if len(bad):
            yield bad
    if isinstance(source, CsvTable):
        yield source.bad


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    row = con.execute(_SQL["size"].format(table=table)).fetchone()
    assert row is not None
    return int(row[0])

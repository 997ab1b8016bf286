"""One table's file of an export, Parquet or CSV, opened only after its checksum was verified.

Both kinds offer the same: `unknown_columns`, `ids`, `batches` of typed rows with `row_number`, and
`quarantine` for rows that could not be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadData, shown
from dispatchkit.kernel.fault_codes import FileFault
from dispatchkit.kernel.files import open_existing, translate_os_errors
from dispatchkit.warehouse.manifest import FileFacts, Manifest
from dispatchkit.warehouse.quarantine import (
    ROW,
    empty_quarantine,
    first_fault_per_row,
    quarantine_lines,
)
from dispatchkit.warehouse.row_checks import may_be_quoted
from dispatchkit.warehouse.strict_csv import read_csv
from dispatchkit.warehouse.table_facts import TableFacts, ids_rise, polars_schema
from dispatchkit.warehouse.typed_values import typed

_MAGIC = b"PAR1"  # first and last bytes of every complete Parquet file
_BATCH_ROWS = 262_144


def open_table(directory: Path, facts: FileFacts, manifest: Manifest) -> ParquetTable | CsvTable:
    """Return the reader of one file of an export.

    Raises BadData when it is not what the manifest describes.
    """
    if facts.name.endswith(".csv"):
        return CsvTable(directory, facts)
    return ParquetTable(directory, facts, manifest)


class ParquetTable:
    """A Parquet file, read in batches of row groups.

    Raises BadData when the manifest describes another.
    """

    def __init__(self, directory: Path, facts: FileFacts, manifest: Manifest) -> None:
        self.facts = facts
        self.quarantine = empty_quarantine()  # Parquet is typed: every row can be read
        path = directory / facts.name
        with open_existing(path) as file, translate_os_errors(path):
            head = file.read(4)
            file.seek(max(0, facts.bytes - 4))
            tail = file.read(4)
        if head != _MAGIC:
            raise BadData(f"{facts.name}: not a Parquet file", code=FileFault.NOT_PARQUET)
        try:
            self._schema = pq.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            raise BadData(
                f"{facts.name}: not a complete Parquet file", code=FileFault.PARQUET_CUT
            ) from error
        if tail != _MAGIC:
            raise BadData(f"{facts.name}: not a complete Parquet file", code=FileFault.PARQUET_CUT)
        self._scan = pl.scan_parquet(path, glob=False)
        self._require_same_origin(manifest)

    def _require_same_origin(self, manifest: Manifest) -> None:
        """Raise BadData when the file was written from another database or another snapshot."""
        name = self.facts.name
        origin = {
            key.decode(): value.decode("utf-8", "replace")
            for key, value in (self._schema.metadata or {}).items()
        }
        if origin.get("database_id", manifest.database_id) != manifest.database_id:
            database = shown(origin["database_id"])
            raise BadData(
                f"{name}: made from database {database}, expected {manifest.database_id}",
                code=FileFault.OTHER_DATABASE,
            )
        if origin.get("snapshot", manifest.snapshot) != manifest.snapshot:
            raise BadData(
                f"{name}: snapshots differ from the manifest's: tables of two extracts",
                code=FileFault.TWO_SNAPSHOTS,
            )

    def unknown_columns(self) -> list[str]:
        """Return columns that the contract does not have.

        Raises BadData for missing, doubled or mistyped ones.
        """
        file, names = self.facts.name, self._schema.names
        expected = polars_schema(self.facts.table)
        for column in names:
            if names.count(column) > 1:
                raise BadData(
                    f"{file}: column {shown(column)} is there twice", code=FileFault.COLUMN_TWICE
                )
        actual = self._scan.collect_schema()
        for column, dtype in expected.items():
            if column not in actual:
                raise BadData(f"{file}: missing column {column}", code=FileFault.WRONG_COLUMNS)
            if actual[column] != dtype:
                fault = f"column {column} is {actual[column]}, the contract says {dtype}"
                raise BadData(f"{file}: {fault}", code=FileFault.WRONG_COLUMNS)
        return sorted(set(names) - set(expected))

    def ids(self) -> pl.Series:
        """Return the id column. Raises BadData when rows or distinct ids are not the manifest's."""
        facts = self.facts
        with self._readable():
            ids = self._scan.select("id").collect().get_column("id")
        if len(ids) != facts.rows:
            raise BadData(
                f"{facts.name}: {len(ids)} rows, manifest says {facts.rows}",
                code=FileFault.NOT_AS_ANNOUNCED,
            )
        distinct = len(ids) if ids_rise(ids) else ids.n_unique()
        if distinct != facts.distinct_ids:
            fault = f"{distinct} distinct ids, manifest says {facts.distinct_ids}"
            raise BadData(f"{facts.name}: {fault}", code=FileFault.NOT_AS_ANNOUNCED)
        return ids

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, numbered from 1.

        Raises BadData after the last one when sums or ranges are not the manifest's.
        """
        facts, table_facts, first = self.facts, TableFacts(self.facts.table), 1
        selected = self._scan.select(list(polars_schema(facts.table)))
        with self._readable():
            for rows in selected.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True):
                if rows.is_empty():
                    continue
                table_facts.add(rows)
                numbers = pl.int_range(first, first + len(rows), dtype=pl.Int64)
                yield rows.with_columns(numbers.alias(ROW))
                first += len(rows)
        if table_facts.cents != facts.cents or table_facts.ranges() != facts.ranges:
            raise BadData(
                f"{facts.name}: sums or ranges differ from the manifest's",
                code=FileFault.NOT_AS_ANNOUNCED,
            )

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BadData(
                f"{self.facts.name}: not a complete Parquet file", code=FileFault.PARQUET_CUT
            ) from error


class CsvTable:
    """A CSV file, columns matched by header name, read as a whole.

    Raises BadData for a bad file.
    """

    def __init__(self, directory: Path, facts: FileFacts) -> None:
        self.facts = facts
        self._header, text = read_csv(directory / facts.name)
        for name in TABLES[facts.table].column_names():
            if name not in self._header:
                raise BadData(f"{facts.name}: missing column {name}", code=FileFault.WRONG_COLUMNS)
        if len(text) != facts.rows:
            raise BadData(
                f"{facts.name}: {len(text)} rows, manifest says {facts.rows}",
                code=FileFault.NOT_AS_ANNOUNCED,
            )
        self._rows, self.quarantine = _typed_rows(facts.table, facts.name, text)

    def unknown_columns(self) -> list[str]:
        """Return columns that the contract does not have."""
        return sorted(set(self._header) - set(TABLES[self.facts.table].column_names()))

    def ids(self) -> pl.Series:
        """Return the ids of the readable rows."""
        return self._rows.get_column("id")

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield all readable rows at once, numbered as in the file."""
        yield self._rows


def _typed_rows(table: str, file: str, text: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (typed rows, quarantine) of rows of text; a row's first unreadable field is named."""
    lines, values = [empty_quarantine()], {}
    for name in TABLES[table].column_names():
        parsed = typed(table, name, pl.col(name))
        values[name] = parsed.value
        unreadable = text.filter(pl.col(name).is_not_null() & parsed.value.is_null()).with_columns(
            parsed.code.alias("code"), parsed.reason.alias("reason")
        )
        quote = may_be_quoted(table, name)
        for (code, reason), rows in unreadable.group_by("code", "reason", maintain_order=True):
            lines.append(quarantine_lines(file, rows, name, str(code), str(reason), quote=quote))
    quarantine = first_fault_per_row(lines)
    readable = text.join(quarantine, left_on=ROW, right_on="row", how="anti", maintain_order="left")
    return readable.select(ROW, **values), quarantine

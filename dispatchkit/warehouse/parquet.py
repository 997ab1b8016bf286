"""Parquet files of an export, opened only after their checksum was compared, and read group by group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dispatchkit.kernel.errors import BadData, shown
from dispatchkit.kernel.files import open_existing, translate_os_errors
from dispatchkit.warehouse.contracts import ROW
from dispatchkit.warehouse.facts import Tally, rising, shape
from dispatchkit.warehouse.manifest import FileFacts, Manifest

_MAGIC = b"PAR1"
_ROWS = 262_144


class ParquetTable:
    """One table's file. Raises BadData when it is not the Parquet file that the manifest describes."""

    def __init__(self, directory: Path, facts: FileFacts, manifest: Manifest) -> None:
        self.facts = facts
        path = directory / facts.name
        with open_existing(path) as file, translate_os_errors(path):
            head = file.read(4)
            file.seek(max(0, facts.bytes - 4))
            tail = file.read(4)
        if head != _MAGIC:
            raise BadData(f"{facts.name}: not a Parquet file", code="DK-IN-019")
        try:
            self._schema = pq.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            raise BadData(f"{facts.name}: not a complete Parquet file", code="DK-IN-017") from error
        if tail != _MAGIC:
            raise BadData(f"{facts.name}: not a complete Parquet file", code="DK-IN-017")
        self._scan = pl.scan_parquet(path, glob=False)
        self._same_origin(manifest)

    def _same_origin(self, manifest: Manifest) -> None:
        origin = {
            k.decode(): v.decode("utf-8", "replace")
            for k, v in (self._schema.metadata or {}).items()
        }
        name = self.facts.name
        if origin.get("database_id", manifest.database_id) != manifest.database_id:
            came = shown(origin["database_id"])
            raise BadData(
                f"{name}: made from database {came}, expected {manifest.database_id}",
                code="DK-IN-013",
            )
        if origin.get("snapshot", manifest.snapshot) != manifest.snapshot:
            raise BadData(
                f"{name}: snapshots differ from the manifest's: tables of two extracts",
                code="DK-IN-010",
            )

    def unknown_columns(self) -> list[str]:
        """Return columns that the contract does not have. Raises BadData for missing, doubled or mistyped ones."""
        name, schema = self.facts.name, self._schema
        known = shape(self.facts.table)
        for column in schema.names:
            if schema.names.count(column) > 1:
                raise BadData(f"{name}: column {shown(column)} is there twice", code="DK-IN-028")
        came = self._scan.collect_schema()
        for column, dtype in known.items():
            if column not in came:
                raise BadData(f"{name}: missing column {column}", code="DK-IN-026")
            if came[column] != dtype:
                fact = f"column {column} is {came[column]}, the contract says {dtype}"
                raise BadData(f"{name}: {fact}", code="DK-IN-026")
        return sorted(set(schema.names) - set(known))

    def ids(self) -> pl.Series:
        """Return the id column. Raises BadData when rows or distinct ids are not the manifest's."""
        facts = self.facts
        with self._readable():
            ids = self._scan.select("id").collect().get_column("id")
        if len(ids) != facts.rows:
            raise BadData(
                f"{facts.name}: {len(ids)} rows, manifest says {facts.rows}", code="DK-IN-009"
            )
        distinct = len(ids) if rising(ids) else ids.n_unique()
        if distinct != facts.distinct_ids:
            said = f"{distinct} distinct ids, manifest says {facts.distinct_ids}"
            raise BadData(f"{facts.name}: {said}", code="DK-IN-009")
        return ids

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, numbered from 1; after the last, sums and ranges are compared with the manifest."""
        facts, tally, at = self.facts, Tally(self.facts.table), 1
        names = list(shape(facts.table))
        with self._readable():
            for rows in self._scan.select(names).collect_batches(
                chunk_size=_ROWS, maintain_order=True
            ):
                if len(rows):
                    tally.add(rows)
                    yield rows.with_columns(
                        pl.int_range(at, at + len(rows), dtype=pl.Int64).alias(ROW)
                    )
                    at += len(rows)
        if tally.cents != facts.cents or tally.ranges() != facts.ranges:
            raise BadData(
                f"{facts.name}: sums or ranges differ from the manifest's", code="DK-IN-009"
            )

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BadData(
                f"{self.facts.name}: not a complete Parquet file", code="DK-IN-017"
            ) from error

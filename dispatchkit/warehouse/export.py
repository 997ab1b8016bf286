"""Write an export: one Parquet file per table and a manifest, all of one snapshot.

Files keep a `.tmp` name until all of them are complete and synced; then they are renamed, the
manifest last. A run that fails leaves nothing under a final name. A run that was killed leaves
files that the next run removes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadData, CannotCreate, NotPermitted, Usage, shown
from dispatchkit.kernel.fault_codes import FileFault
from dispatchkit.kernel.files import (
    TMP,
    create_new,
    exclusive_lock,
    sync_directory,
    translate_os_errors,
    write_whole,
)
from dispatchkit.warehouse.manifest import (
    FORMAT,
    NAME,
    SUFFIXES,
    FileFacts,
    Manifest,
    column_types,
    fingerprint,
)
from dispatchkit.warehouse.table_facts import TableFacts, arrow_schema

Batch: TypeAlias = pl.DataFrame | pa.RecordBatch | pa.Table
_ROW_GROUP_ROWS = 262_144  # what a reader of the Parquet file holds in memory at once


class _HashingFile:
    """A file that hashes what is written to it, so that it need not be read again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = sha256()
        self.bytes = 0
        self.closed = False
        self.discard = False  # ignore writes: closing an abandoned Parquet writer writes its footer

    def write(self, data: Any) -> int:
        if self.discard:
            return len(data)
        self._digest.update(data)
        self._file.write(data)
        self.bytes += len(data)
        return len(data)

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class _TableFile:
    """One table's Parquet file while it is written."""

    def __init__(self, to: Path, table: str, origin: dict[str, str]) -> None:
        self.table = table
        self.name = table + ".parquet"
        self.tmp = to / (self.name + TMP)
        self.schema = arrow_schema(table).with_metadata(origin)
        self.table_facts = TableFacts(table)
        self._file = create_new(self.tmp)
        self._hashing = _HashingFile(self._file)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._hashing, mode="w"),
            self.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[
                n for n, c in TABLES[table].columns().items() if c.words
            ],  # other columns rarely repeat values
            write_page_checksum=True,
            store_schema=True,
        )

    def append(self, table: pa.Table) -> None:
        if table.num_rows:
            columns = table.select(self.table_facts.columns)
            self.table_facts.add(pl.DataFrame(pl.from_arrow(columns)))
        self._writer.write_table(table, row_group_size=_ROW_GROUP_ROWS)

    def finish(self) -> FileFacts:
        """Sync the file and return its facts; ids out of order are read back and counted."""
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        table_facts = self.table_facts
        distinct = table_facts.rows
        if not table_facts.ids_rise:
            distinct = pl.Series(pq.read_table(self.tmp, columns=["id"]).column("id")).n_unique()
        return FileFacts(
            name=self.name,
            table=self.table,
            bytes=self._hashing.bytes,
            sha256=self._hashing.hexdigest(),
            rows=table_facts.rows,
            distinct_ids=distinct,
            columns=column_types(self.table),
            ranges=table_facts.ranges(),
            cents=table_facts.cents,
            classes={n: "position" for n, c in TABLES[self.table].columns().items() if c.position},
        )

    def discard(self) -> None:
        """Close and remove the unfinished file, on a full disk too."""
        self._hashing.discard = True
        self._writer.close()
        with suppress(OSError):
            self._file.close()
        self.tmp.unlink(missing_ok=True)


class ExportWriter:
    """An export being written: append batches inside a `with` block, whose end completes it.

    to: a directory that does not exist yet (its parent must), or an empty one; `force` replaces an
    export there. An export is cheapest to write and to check when ids rise within each table.
    Raises CannotCreate, NotPermitted (symlink), TryLater (another writer), IOFailed (disk full),
    BadData (types).
    """

    def __init__(
        self,
        to: Path,
        *,
        as_of: datetime,
        database_id: str,
        revision: str,
        snapshot: str,
        force: bool = False,
    ) -> None:
        self.to = to
        self._origin = {"database_id": database_id, "revision": revision, "snapshot": snapshot}
        self._as_of = as_of
        self._force = force
        self._files: dict[str, _TableFile] = {}
        self._stack = ExitStack()
        self.manifest: Manifest | None = None

    def __enter__(self) -> Self:
        self._created = _prepare(self.to, force=self._force)
        with self._stack as stack:
            stack.enter_context(exclusive_lock(self.to))
            for name in _table_file_names():
                (self.to / (name + TMP)).unlink(missing_ok=True)
            self._stack = stack.pop_all()
        return self

    def append(self, table: str, data: Batch | Iterable[Batch]) -> None:
        """Add rows to a table; their columns must be those of the contract, in any order."""
        if table not in TABLES:
            raise Usage(f"{shown(table)!r} is not one of our tables", code=FileFault.UNKNOWN_TABLE)
        with translate_os_errors(self.to / (table + ".parquet")):
            if table not in self._files:
                self._files[table] = _TableFile(self.to, table, self._origin)
            file = self._files[table]
            batches = [data] if isinstance(data, Batch) else data
            for batch in batches:
                file.append(_as_contract(batch, file.schema, table))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is None:
                try:
                    self._complete()
                except BaseException:
                    self._abandon()
                    raise
            else:
                self._abandon()

    def _complete(self) -> None:
        with translate_os_errors(self.to):
            order = [table for table in TABLES if table in self._files]
            facts = [self._files[table].finish() for table in order]
            # Without its manifest, an export that lay here is none any more.
            for name in (NAME, *_table_file_names()):
                (self.to / name).unlink(missing_ok=True)
            for table in order:
                file = self._files[table]
                file.tmp.rename(self.to / file.name)
            sync_directory(self.to)
        manifest = Manifest(
            as_of=self._as_of,
            files=tuple(facts),
            contracts=fingerprint(order),
            format=FORMAT,
            **self._origin,
        )
        write_whole(self.to / NAME, manifest.encode())
        self.manifest = manifest

    def _abandon(self) -> None:
        for file in self._files.values():
            file.discard()
            if not (self.to / NAME).exists():
                (self.to / file.name).unlink(missing_ok=True)
        if self._created and not any(self.to.iterdir()):
            self.to.rmdir()


def _table_file_names() -> list[str]:
    return [table + suffix for table in TABLES for suffix in SUFFIXES]


def _prepare(to: Path, *, force: bool) -> bool:
    """Create the directory unless it exists, and return whether it was created.

    Raises CannotCreate, NotPermitted. Files that no export has are never touched, not even by
    `force`.
    """
    if to.is_symlink():
        raise NotPermitted(
            f"{to.name}: symlink refused; give the directory itself", code=FileFault.SYMLINK
        )
    if to.exists() and not to.is_dir():
        raise CannotCreate(f"{to.name}: is a file; give a directory", code=FileFault.NOT_WRITABLE)
    if not to.exists():
        if not to.parent.is_dir():
            raise CannotCreate(f"{to.parent.name}: no such directory", code=FileFault.NOT_WRITABLE)
        with translate_os_errors(to):
            to.mkdir(mode=0o700)
        return True
    names = (NAME, *_table_file_names())
    leftovers = {name + suffix for name in names for suffix in ("", TMP)} - {NAME}
    if not force and any(path.name not in leftovers for path in to.iterdir()):
        raise CannotCreate(
            f"{to.name}: exists and is not empty; give --force to replace the export",
            code=FileFault.NOT_WRITABLE,
        )
    return False


def _as_contract(batch: Batch, schema: pa.Schema, table: str) -> pa.Table:
    """Return the rows in the column order and types of the contract.

    Raises BadData when they do not fit.
    """
    if isinstance(batch, pl.DataFrame):
        batch = batch.to_arrow()
    rows = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
    if sorted(rows.column_names) != sorted(schema.names):
        missing = sorted(set(schema.names) - set(rows.column_names))
        unknown = sorted(set(rows.column_names) - set(schema.names))
        raise BadData(
            f"{table}: missing columns {missing}, unknown columns {unknown}",
            code=FileFault.WRONG_COLUMNS,
        )
    try:
        return rows.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise BadData(f"{table}: a column is not of its contract's type: {shown(error)}") from error

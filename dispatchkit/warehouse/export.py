"""Write an export: one Parquet file a table and a manifest, all of one snapshot, streamed and hashed on the way.

Files keep a `.tmp` name until every one of them is complete and synced; then they are named, the manifest last.
A run that fails leaves nothing under a final name; a run that was killed leaves what the next run clears away.
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
from dispatchkit.kernel.files import (
    TMP,
    create_new,
    exclusive_lock,
    sync_directory,
    translate_os_errors,
    write_whole,
)
from dispatchkit.warehouse.facts import Tally, arrow_schema, meta_columns
from dispatchkit.warehouse.manifest import (
    FORMAT,
    KINDS,
    NAME,
    FileFacts,
    Manifest,
    column_types,
    fingerprint,
)

Batches: TypeAlias = (
    pl.DataFrame | pa.RecordBatch | pa.Table | Iterable[pl.DataFrame | pa.RecordBatch | pa.Table]
)
_GROUP_ROWS = 262_144  # rows of a Parquet row group: what a reader holds at once


class _Hashed:
    """A file that hashes what is written to it: one pass, no second read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = sha256()
        self.bytes = 0
        self.closed = False
        self.void = False  # an abandoned writer still wants to write its footer

    def write(self, data: Any) -> int:
        if self.void:
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
    """One table on its way to disk."""

    def __init__(self, to: Path, table: str, origin: dict[str, str]) -> None:
        self.table = table
        self.name = table + ".parquet"
        self.tmp = to / (self.name + TMP)
        self.schema = arrow_schema(table).with_metadata(origin)
        self.tally = Tally(table)
        self._file = create_new(self.tmp)
        self._sink = _Hashed(self._file)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            self.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=list(
                meta_columns(table, "words")
            ),  # few words; ids and payloads rarely repeat
            write_page_checksum=True,
            store_schema=True,
        )

    def append(self, table: pa.Table) -> None:
        if table.num_rows:
            self.tally.add(pl.DataFrame(pl.from_arrow(table.select(self.tally.needs))))
        self._writer.write_table(table, row_group_size=_GROUP_ROWS)

    def finish(self) -> FileFacts:
        """Sync the file and return its facts; ids out of order are counted by reading them back."""
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        tally = self.tally
        distinct = tally.rows
        if not tally.rising:
            distinct = pl.Series(pq.read_table(self.tmp, columns=["id"]).column("id")).n_unique()
        return FileFacts(
            name=self.name,
            table=self.table,
            bytes=self._sink.bytes,
            sha256=self._sink.hexdigest(),
            rows=tally.rows,
            distinct_ids=distinct,
            columns=column_types(self.table),
            ranges=tally.ranges(),
            cents=tally.cents,
            classes=meta_columns(self.table, "class"),
        )

    def drop(self) -> None:
        """Close and remove the unfinished file, on a full disk too."""
        self._sink.void = True
        self._writer.close()
        with suppress(OSError):
            self._file.close()
        self.tmp.unlink(missing_ok=True)


class ExportWriter:
    """An export being written: append batches inside a `with` block; leaving it without an error completes it.

    `to` is a directory that does not exist yet (its parent must) or that holds no export; `force` replaces one.
    Ids ascending within a table make the export cheapest to write and to check.
    Raises CannotCreate, NotPermitted (symlink), TryLater (another writer), IOFailed (disk full), BadData (types).
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
        self._head = {"database_id": database_id, "revision": revision, "snapshot": snapshot}
        self._as_of = as_of
        self._force = force
        self._files: dict[str, _TableFile] = {}
        self._stack = ExitStack()
        self.manifest: Manifest | None = None

    def __enter__(self) -> Self:
        self._made = _prepare(self.to, force=self._force)
        with self._stack as stack:
            stack.enter_context(exclusive_lock(self.to))
            for name in _own_names():
                (self.to / (name + TMP)).unlink(missing_ok=True)
            self._stack = stack.pop_all()
        return self

    def append(self, table: str, data: Batches) -> None:
        """Add rows to a table; columns are matched by name and must be exactly the contract's."""
        if table not in TABLES:
            raise Usage(f"{shown(table)!r} is not one of our tables", code="DK-IN-050")
        with translate_os_errors(self.to / (table + ".parquet")):
            if table not in self._files:
                self._files[table] = _TableFile(self.to, table, self._head)
            file = self._files[table]
            for piece in (
                [data] if isinstance(data, pl.DataFrame | pa.RecordBatch | pa.Table) else data
            ):
                file.append(_conform(piece, file.schema, table))

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
            for name in (
                NAME,
                *_own_names(),
            ):  # from here on, what lay here before is no export any more
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
            **self._head,
        )
        write_whole(self.to / NAME, manifest.encode())
        self.manifest = manifest

    def _abandon(self) -> None:
        for file in self._files.values():
            file.drop()
            if not (self.to / NAME).exists():
                (self.to / file.name).unlink(missing_ok=True)
        if self._made and not any(self.to.iterdir()):
            self.to.rmdir()


def _own_names() -> list[str]:
    return [table + kind for table in TABLES for kind in KINDS]


def _prepare(to: Path, *, force: bool) -> bool:
    """Return whether the directory was made. What is not ours is never touched, `force` or not."""
    if to.is_symlink():
        raise NotPermitted(
            f"{to.name}: symlink refused; give the directory itself", code="DK-IN-047"
        )
    if to.exists() and not to.is_dir():
        raise CannotCreate(f"{to.name}: is a file; give a directory", code="DK-IN-048")
    if not to.exists():
        if not to.parent.is_dir():
            raise CannotCreate(f"{to.parent.name}: no such directory", code="DK-IN-048")
        with translate_os_errors(to):
            to.mkdir(mode=0o700)
        return True
    unfinished = {name + end for name in (NAME, *_own_names()) for end in ("", TMP)} - {NAME}
    if not force and any(path.name not in unfinished for path in to.iterdir()):
        raise CannotCreate(
            f"{to.name}: exists and is not empty; give --force to replace the export",
            code="DK-IN-048",
        )
    return False


def _conform(
    piece: pl.DataFrame | pa.RecordBatch | pa.Table, schema: pa.Schema, table: str
) -> pa.Table:
    if isinstance(piece, pl.DataFrame):
        piece = piece.to_arrow()
    found = piece if isinstance(piece, pa.Table) else pa.Table.from_batches([piece])
    if set(found.column_names) != set(schema.names) or len(found.column_names) != len(schema.names):
        missing = sorted(set(schema.names) - set(found.column_names))
        extra = sorted(set(found.column_names) - set(schema.names))
        raise BadData(
            f"{table}: missing columns {missing}, unknown columns {extra}", code="DK-IN-026"
        )
    try:
        return found.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise BadData(f"{table}: a column is not of its contract's type: {shown(error)}") from error

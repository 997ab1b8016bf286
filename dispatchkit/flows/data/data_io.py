"""Data in and out: exports loaded and checked, files imported, the database extracted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.clock import EARLIEST, LATEST
from dispatchkit.kernel.errors import BadData, NotPermitted, Refused, Usage
from dispatchkit.kernel.fault_codes import FileFault
from dispatchkit.kernel.files import staged
from dispatchkit.kernel.sql import parse
from dispatchkit.store import connect, migrate, read
from dispatchkit.store.intake import Counts, insert
from dispatchkit.warehouse import QUARANTINE_FILE
from dispatchkit.warehouse import load as warehouse
from dispatchkit.warehouse.export import ExportWriter
from dispatchkit.warehouse.foreign.mapping import read_mapping
from dispatchkit.warehouse.foreign.read import read_foreign
from dispatchkit.warehouse.imports import ImportBatch, read_export, require_checksum
from dispatchkit.warehouse.load import LoadReport
from dispatchkit.warehouse.manifest import Manifest
from dispatchkit.warehouse.quarantine import quarantine_csv

T = TypeVar("T")
MADE_UP = "made-up"  # the revision of exports that no database wrote
_PERIOD = parse(Path(__file__).with_name("extract.sql").read_text("utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import read, and what became of it in the database, table by table."""

    intake: ImportBatch
    tables: dict[str, Counts]

    @property
    def conflicting(self) -> int:
        """Rows that the database holds with other values: those stand."""
        return sum(len(counts.conflicting) for counts in self.tables.values())


def load_export(
    directory: Path,
    database_file: Path,
    *,
    now: datetime,
    max_age: timedelta | None = None,
    strict: bool = False,
) -> LoadReport:
    """Load an export into a DuckDB file with marts. Raises as `warehouse.load.load` does."""
    return warehouse.load(
        directory, database_file, now=now, max_age=max_age, strict=strict, revisions=_revisions()
    )


def check_export(
    directory: Path, *, now: datetime, max_age: timedelta | None = None, strict: bool = False
) -> LoadReport:
    """Return what a load would come to, keeping nothing."""
    return warehouse.check(
        directory, now=now, max_age=max_age, strict=strict, revisions=_revisions()
    )


def read_files(
    paths: Sequence[Path],
    mapping: Path | None,
    *,
    now: datetime,
    strict: bool = False,
    sha256: str | None = None,
    rows: int | None = None,
) -> ImportBatch:
    """Return the rows of foreign files (with a mapping) or of one of our exports, ready to import.

    sha256, rows: checksum and number of data lines that the sender of a single foreign file
    announced. Raises Usage, BadData, InputMissing, NotPermitted.
    """
    if mapping is None:
        if len(paths) != 1 or paths[0].is_file() or sha256 is not None or rows is not None:
            raise Usage(
                "an export of ours is one directory and has a manifest; "
                "foreign files need --mapping FILE"
            )
        return read_export(paths[0], now=now, strict=strict, revisions=_revisions())
    if (sha256 is not None or rows is not None) and len(paths) != 1:
        raise Usage("--sha256 and --rows tell of one file; import the files one by one")
    meaning = read_mapping(mapping)
    if sha256 is not None:
        require_checksum(paths[0], sha256)
    batch = read_foreign(paths, meaning, strict=strict)
    if rows is not None and batch.counts["lines"] != rows:
        raise BadData(
            f"{paths[0]}: {batch.counts['lines']} rows, {rows} were announced",
            code=FileFault.NOT_AS_ANNOUNCED,
        )
    return batch


def import_files(
    db: str,
    data: Path,
    batch: ImportBatch,
    *,
    dry_run: bool = False,
    max_changes: int | None = None,
) -> Imported:
    """Write a batch to the database, all tables or none; return the counts.

    Quarantined lines go to quarantine.csv under `data`.

    Raises Refused when more rows than `max_changes` would be written; then nothing is.
    """
    database = connect.open_database(db, data)
    migrate.require(database)
    if max_changes is not None:
        inserted = sum(
            counts.inserted for counts in insert(database, batch.frames, dry_run=True).values()
        )
        if inserted > max_changes:
            raise Refused(
                f"{inserted} rows would be written, --max-changes is {max_changes}; nothing written"
            )
    if dry_run:
        return Imported(intake=batch, tables=insert(database, batch.frames, dry_run=True))
    data.mkdir(parents=True, exist_ok=True)
    with staged(data / QUARANTINE_FILE, quarantine_csv(batch.quarantine)):
        tables = insert(database, batch.frames)
    return Imported(intake=batch, tables=tables)


def extract(
    db: str,
    data: Path,
    to: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    force: bool = False,
) -> Manifest:
    """Write the database, or the orders of a period, as an export; return its manifest.

    All tables come from one repeatable-read snapshot. Raises DatabaseUnavailable, SchemaMismatch,
    and what ExportWriter raises.
    """
    inside(to)
    database = connect.open_database(db, data)
    period = {"since": since or EARLIEST, "until": until or LATEST}
    cut = _PERIOD if since or until else {}
    with (
        read.snapshot(database) as snapshot,
        ExportWriter(
            to,
            as_of=snapshot.as_of,
            database_id=snapshot.database_id,
            revision=snapshot.revision,
            snapshot=snapshot.snapshot,
            force=force,
        ) as writer,
    ):
        for name, schema in TABLES.items():
            writer.append(
                name, schema.create_empty()
            )  # a table without rows is still part of an export
        rows = (
            (table, batch)
            for table in TABLES
            for batch in snapshot.table(table, cut.get(table, ""), period if table in cut else None)
        )
        for name, batch in _ahead(rows):
            writer.append(name, batch)
    assert writer.manifest is not None  # leaving the block without an error completes the export
    return writer.manifest


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield items, fetching the next while one is used: database and disk work in parallel."""
    with ThreadPoolExecutor(1) as fetcher:
        upcoming = fetcher.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = fetcher.submit(next, items, None)
            yield item


def inside(to: Path) -> None:
    """Raise NotPermitted for a relative output path that climbs out of the working folder."""
    if not to.is_absolute() and os.path.normpath(to).startswith(".."):
        raise NotPermitted(
            f"{to}: outside output root; give an absolute path if that is meant",
            code=FileFault.OUTSIDE_ROOT,
        )


def _revisions() -> frozenset[str]:
    return frozenset({MADE_UP, *(revision for revision, _ in migrate.history())})

"""`data load`: a verified export into one DuckDB file of tables and marts.

The file is a disposable cache. It is built under another name and renamed when complete, so a
reader sees the old one or the new one, never half of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl

from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import CannotCreate, IOFailed
from dispatchkit.kernel.fault_codes import FileFault
from dispatchkit.kernel.files import TMP, exclusive_lock, staged, translate_os_errors
from dispatchkit.kernel.sql import parse
from dispatchkit.warehouse import QUARANTINE_FILE
from dispatchkit.warehouse import manifest as manifests
from dispatchkit.warehouse.build import BuiltTables, build
from dispatchkit.warehouse.database import connect, translate_duckdb_errors
from dispatchkit.warehouse.manifest import Manifest
from dispatchkit.warehouse.marts import ORDER
from dispatchkit.warehouse.quarantine import MAX_QUARANTINE, quarantine_csv

_MARTS = Path(__file__).with_name("marts")
_SQL = parse(Path(__file__).with_name("load.sql").read_text("utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """Result of a load: rows kept per table, rows quarantined, and which export it was."""

    rows: dict[str, int]
    quarantine: pl.DataFrame
    warnings: list[str]
    manifest_sha256: str
    as_of: datetime
    database_id: str


def load(
    export_dir: Path,
    database_file: Path,
    *,
    now: datetime,
    max_age: timedelta | None = None,
    strict: bool = False,
    max_quarantine: float = MAX_QUARANTINE,
    revisions: frozenset[str] | None = None,
) -> LoadReport:
    """Replace `database_file` by the tables and marts of an export; return what was loaded.

    Bad rows are listed beside it in quarantine.csv. Raises BadData, InputMissing, SchemaMismatch,
    NotPermitted for the export (see `manifest`); CannotCreate, IOFailed, TryLater (another process
    writes it) for the database. After an error the database is what it was before.
    """
    manifest = manifests.read(export_dir)
    manifests.verify(export_dir, manifest, now=now, max_age=max_age, revisions=revisions)
    if not database_file.parent.is_dir():
        raise CannotCreate(
            f"{database_file.parent.name}: no such directory", code=FileFault.NOT_WRITABLE
        )
    _require_replaceable(database_file)

    tmp = database_file.with_name(database_file.name + TMP)
    with exclusive_lock(database_file.parent):
        _remove(tmp)
        try:
            with translate_duckdb_errors(database_file):
                built = _build_file(
                    tmp, export_dir, manifest, strict=strict, max_quarantine=max_quarantine
                )
            lines = quarantine_csv(built.quarantine)
            with (
                staged(database_file.with_name(QUARANTINE_FILE), lines),
                translate_os_errors(database_file),
            ):
                tmp.chmod(0o600)  # as private as the export
                tmp.rename(database_file)
        finally:
            _remove(tmp)
    return _report(manifest, built)


def check(
    export_dir: Path,
    *,
    now: datetime,
    max_age: timedelta | None = None,
    strict: bool = False,
    max_quarantine: float = MAX_QUARANTINE,
    revisions: frozenset[str] | None = None,
) -> LoadReport:
    """Return what a load would report; everything is verified, nothing is kept."""
    manifest = manifests.read(export_dir)
    manifests.verify(export_dir, manifest, now=now, max_age=max_age, revisions=revisions)
    with connect(":memory:") as con:
        built = build(con, export_dir, manifest, strict=strict, max_quarantine=max_quarantine)
    return _report(manifest, built)


def _report(manifest: Manifest, built: BuiltTables) -> LoadReport:
    return LoadReport(
        rows=built.rows,
        quarantine=built.quarantine,
        warnings=built.warnings,
        manifest_sha256=manifest.sha256,
        as_of=manifest.as_of,
        database_id=manifest.database_id,
    )


def _build_file(
    tmp: Path, directory: Path, manifest: Manifest, *, strict: bool, max_quarantine: float
) -> BuiltTables:
    """Build tables, the manifest's keys and marts in a new database file."""
    with connect(tmp) as con:
        built = build(con, directory, manifest, strict=strict, max_quarantine=max_quarantine)
        keys = {
            "sha256": manifest.sha256,
            "as_of": rfc3339(manifest.as_of),
            "database_id": manifest.database_id,
            "snapshot": manifest.snapshot,
            "revision": manifest.revision,
        }
        con.execute(_SQL["create_manifest"])
        con.executemany(_SQL["insert_manifest"], list(keys.items()))
        for mart in ORDER:
            con.execute((_MARTS / f"{mart}.sql").read_text("utf-8"))
        return built


def _require_replaceable(file: Path) -> None:
    """Raise unless `file` may be replaced: absent, or a DuckDB file that nobody else writes."""
    if not file.exists():
        return
    if file.is_dir():
        raise CannotCreate(f"{file.name}: is a directory; give a file", code=FileFault.NOT_WRITABLE)
    with translate_os_errors(file), file.open("rb") as opened:
        if opened.read(12)[8:] != b"DUCK":
            raise CannotCreate(
                f"{file.name}: exists and is not a DuckDB file; give another name",
                code=FileFault.NOT_WRITABLE,
            )
    try:
        with translate_duckdb_errors(file):
            duckdb.connect(str(file), read_only=True).close()
    except (duckdb.Error, IOFailed):
        return  # damaged: a new one is better


def _remove(tmp: Path) -> None:
    for path in (tmp, tmp.with_name(tmp.name + ".wal")):
        path.unlink(missing_ok=True)

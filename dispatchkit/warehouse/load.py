"""`data load`: a verified export into one DuckDB file of tables and marts, built beside and renamed when whole.

The file is a disposable cache: a reader sees the old one or the new one, never half of one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import duckdb
import polars as pl

from dispatchkit.kernel.clock import Window, rfc3339
from dispatchkit.kernel.errors import (
    BadData,
    CannotCreate,
    InputMissing,
    IOFailed,
    SchemaMismatch,
    TryLater,
    Usage,
    shown,
)
from dispatchkit.kernel.files import TMP, exclusive_lock, staged, translate_os_errors
from dispatchkit.kernel.sql import parse
from dispatchkit.warehouse import QUARANTINE_FILE
from dispatchkit.warehouse import manifest as manifests
from dispatchkit.warehouse.build import MAX_QUARANTINE, Built, build, connect
from dispatchkit.warehouse.manifest import Manifest
from dispatchkit.warehouse.marts import ORDER, TIME

_MARTS = Path(__file__).with_name("marts")
_SQL = parse(Path(__file__).with_name("load.sql").read_text("utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What a load came to: rows kept a table, rows quarantined, and which export it was."""

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
    """Return what was loaded into `database_file`, replacing it; bad rows lie beside it in quarantine.csv.

    Raises BadData, InputMissing, SchemaMismatch, NotPermitted for the export (see `manifest`), CannotCreate, IOFailed
    and TryLater (a writer holds the file) for the database. Then the file is what it was before.
    """
    manifest = manifests.read(export_dir)
    manifests.verify(export_dir, manifest, now=now, max_age=max_age, revisions=revisions)
    if not database_file.parent.is_dir():
        raise CannotCreate(f"{database_file.parent.name}: no such directory", code="DK-IN-048")
    _replaceable(database_file)
    tmp = database_file.with_name(database_file.name + TMP)
    with exclusive_lock(database_file.parent):
        _clear(tmp)
        try:
            built = _build(tmp, export_dir, manifest, strict=strict, max_quarantine=max_quarantine)
            lines = quarantine_csv(built.quarantine)
            with (
                staged(database_file.with_name(QUARANTINE_FILE), lines),
                translate_os_errors(database_file),
            ):
                tmp.chmod(0o600)  # it holds whatever the export holds, which is as private
                tmp.rename(database_file)
        except duckdb.Error as error:
            raise _trouble(error, database_file) from error
        finally:
            _clear(tmp)
    return report(manifest, built)


def check(
    export_dir: Path,
    *,
    now: datetime,
    max_age: timedelta | None = None,
    strict: bool = False,
    max_quarantine: float = MAX_QUARANTINE,
    revisions: frozenset[str] | None = None,
) -> LoadReport:
    """Return what a load would come to; everything is verified, nothing is kept."""
    manifest = manifests.read(export_dir)
    manifests.verify(export_dir, manifest, now=now, max_age=max_age, revisions=revisions)
    with connect(":memory:") as con:
        return report(
            manifest, build(con, export_dir, manifest, strict=strict, max_quarantine=max_quarantine)
        )


def report(manifest: Manifest, built: Built) -> LoadReport:
    """Return the report of one export and what was built of it."""
    return LoadReport(
        rows=built.rows,
        quarantine=built.quarantine,
        warnings=built.warnings,
        manifest_sha256=manifest.sha256,
        as_of=manifest.as_of,
        database_id=manifest.database_id,
    )


def quarantine_csv(quarantine: pl.DataFrame) -> bytes:
    """Return quarantine lines as CSV for people: a cell that a spreadsheet would run gets a leading quote mark."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(quarantine.columns)
    for row in quarantine.iter_rows():
        writer.writerow(
            [f"'{x}" if isinstance(x, str) and x[:1] in tuple("=+-@\t\r\n") else x for x in row]
        )
    return out.getvalue().encode()


def _build(
    tmp: Path, directory: Path, manifest: Manifest, *, strict: bool, max_quarantine: float
) -> Built:
    with connect(tmp) as con:
        built = build(con, directory, manifest, strict=strict, max_quarantine=max_quarantine)
        about = {
            "sha256": manifest.sha256,
            "as_of": rfc3339(manifest.as_of),
            "database_id": manifest.database_id,
            "snapshot": manifest.snapshot,
            "revision": manifest.revision,
        }
        con.execute(_SQL["create_manifest"])
        con.executemany(_SQL["fill_manifest"], list(about.items()))
        for mart in ORDER:
            con.execute((_MARTS / f"{mart}.sql").read_text("utf-8"))
        return built


def _replaceable(file: Path) -> None:
    """Raise unless `file` may be replaced: absent, or a DuckDB file that nobody is writing."""
    if not file.exists():
        return
    if file.is_dir():
        raise CannotCreate(f"{file.name}: is a directory; give a file", code="DK-IN-048")
    with translate_os_errors(file), file.open("rb") as opened:
        if opened.read(12)[8:] != b"DUCK":
            raise CannotCreate(
                f"{file.name}: exists and is not a DuckDB file; give another name", code="DK-IN-048"
            )
    try:
        duckdb.connect(str(file), read_only=True).close()
    except duckdb.Error as error:
        if isinstance(found := _trouble(error, file), TryLater):
            raise found from error


def _clear(tmp: Path) -> None:
    for path in (tmp, tmp.with_name(tmp.name + ".wal")):
        path.unlink(missing_ok=True)


def _trouble(error: duckdb.Error, file: Path) -> Exception:
    text = str(error)
    if "lock" in text.lower() or "being used" in text or "different configuration" in text:
        return TryLater(f"{file.name}: another process is writing it; try again when it is done")
    if (
        isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException)
        or "No space left" in text
    ):
        return IOFailed(f"{file.name}: disk full or unreadable, nothing kept")
    return error


class Marts:
    """A loaded database, read-only: `frame(name)` gives a table or a mart as polars, times in UTC."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self.names = sorted(row[0] for row in con.execute(_SQL["names"]).fetchall())
        self.manifest = dict(con.execute(_SQL["manifest"]).fetchall())

    def frame(
        self, name: str, columns: Sequence[str] = (), *, within: Window | None = None
    ) -> pl.DataFrame:
        """Return one table or mart in the order it was made, all or some of its columns.

        within: only the rows of a mart whose time (`marts.TIME`) lies in the window. Raises Usage for an unknown name,
        SchemaMismatch for a column that an older version did not make.
        """
        if name not in self.names:
            raise Usage(
                f"{shown(name)!r} is no table here; there are: {', '.join(self.names)}",
                code="DK-IN-050",
            )
        picked = ", ".join(f'"{column}"' for column in columns) or "*"
        try:
            if within is None:
                return self._con.sql(_SQL["rows"].format(columns=picked, name=name)).pl()
            cut = _SQL["rows_within"].format(columns=picked, name=name, time=TIME[name])
            return self._con.execute(cut, {"since": within.since, "until": within.until}).pl()
        except duckdb.BinderException as error:
            raise SchemaMismatch(
                f"{name} was loaded by another version; run `dispatchkit data load` again"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        self._con.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_marts(database_file: Path) -> Marts:
    """Return the loaded database for reading. Raises InputMissing, TryLater (being written), BadData (not ours)."""
    if not database_file.is_file():
        raise InputMissing(
            f"{database_file.name}: nothing loaded yet; run `dispatchkit data load` first"
        )
    try:
        con = connect(database_file, read_only=True)
        con.execute("SET lock_configuration=true")
        return Marts(con)
    except duckdb.Error as error:
        found = _trouble(error, database_file)
        if isinstance(found, TryLater):
            raise found from error
        raise BadData(
            f"{database_file.name}: not a database of ours; run `dispatchkit data load` again"
        ) from error

"""The manifest of an export: what was written, when, from which database, with checksums.

It is written last, as canonical JSON, so a directory without one is no complete export. A reader
trusts nothing else: bytes and SHA-256 of a file are compared before any parser opens it, because
Parquet and CSV readers accept damaged files silently.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.clock import parse_instant, rfc3339
from dispatchkit.kernel.errors import (
    BadData,
    DispatchError,
    InputMissing,
    NotPermitted,
    SchemaMismatch,
    TryLater,
    shown,
)
from dispatchkit.kernel.fault_codes import FileFault
from dispatchkit.kernel.files import digest, open_existing
from dispatchkit.warehouse.table_facts import polars_schema

FORMAT = 1
NAME = "manifest.json"
SUFFIXES = (".parquet", ".csv")
_CLOCK_SKEW = timedelta(minutes=5)  # clocks of two machines may differ by this much
_MAX_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """One file of an export.

    columns: name -> type; ranges: column -> [min, max] of id and times; cents: column -> exact sum;
    classes: column -> what kind of personal data it holds.
    """

    name: str
    table: str
    bytes: int
    sha256: str
    rows: int
    distinct_ids: int
    columns: dict[str, str]
    ranges: dict[str, list[int | str]] = field(default_factory=dict)
    cents: dict[str, int] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One export: `files` in table order, all of one snapshot of one database."""

    database_id: str
    snapshot: str
    as_of: datetime
    revision: str
    files: tuple[FileFacts, ...]
    contracts: str
    format: int

    def encode(self) -> bytes:
        """Return the manifest as canonical JSON: sorted keys, no spaces, one line."""
        document = asdict(self) | {
            "as_of": rfc3339(self.as_of),
            "files": [asdict(facts) for facts in self.files],
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return text.encode() + b"\n"

    @property
    def sha256(self) -> str:
        return sha256(self.encode()).hexdigest()


def column_types(table: str) -> dict[str, str]:
    """Return column -> type of a table's contract, in the words a manifest uses."""
    return {name: type_name(dtype) for name, dtype in polars_schema(table).items()}


def type_name(dtype: pl.DataType) -> str:
    """Return the manifest's word for a column type."""
    return "Timestamp" if isinstance(dtype, pl.Datetime) else str(dtype)


def fingerprint(tables: list[str]) -> str:
    """Return the SHA-256 of the tables' column types, which another version may change."""
    types = {table: column_types(table) for table in sorted(tables)}
    return sha256(json.dumps(types, sort_keys=True).encode()).hexdigest()


def read(directory: Path) -> Manifest:
    """Return the manifest of an export.

    Raises InputMissing (no such directory), BadData (no manifest, or damaged), NotPermitted.
    """
    if not directory.exists():
        raise InputMissing(f"{directory.name}: no such export", code=FileFault.NO_SUCH_FILE)
    if not directory.is_dir():
        raise InputMissing(
            f"{directory.name}: is a file; give the directory of an export",
            code=FileFault.WRONG_KIND,
        )
    try:
        with open_existing(directory / NAME) as file:
            data = file.read(_MAX_BYTES + 1)
    except InputMissing as error:
        raise BadData(
            f"{directory.name}: no manifest, so this is no complete export",
            code=FileFault.NO_MANIFEST,
        ) from error
    if len(data) > _MAX_BYTES:
        raise BadData(f"{NAME}: larger than {_MAX_BYTES >> 20} MiB", code=FileFault.BAD_MANIFEST)
    return decode(data)


def decode(data: bytes) -> Manifest:
    """Return a manifest from its bytes.

    Raises BadData naming the line or key, SchemaMismatch, NotPermitted.
    """
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_object_without_repeats)
    except UnicodeDecodeError as error:
        raise BadData(
            f"{NAME}: not UTF-8 at byte {error.start}", code=FileFault.BAD_MANIFEST
        ) from error
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise BadData(f"{NAME}: unreadable at line {line}", code=FileFault.BAD_MANIFEST) from error
    if isinstance(document, dict) and document.get("format") != FORMAT:
        version = shown(document.get("format"))
        raise SchemaMismatch(
            f"{NAME}: format {version}, this program reads {FORMAT}", code=FileFault.OTHER_FORMAT
        )
    try:
        files = tuple(_file_facts(entry) for entry in document["files"])
        as_of = parse_instant(document["as_of"])
        manifest = Manifest(**(document | {"as_of": as_of, "files": files}))
        words = (manifest.database_id, manifest.snapshot, manifest.revision, manifest.contracts)
        if not all(isinstance(word, str) for word in words):
            raise TypeError("identifiers are text")
        if len({facts.table for facts in files}) != len(files):
            raise ValueError("a table is there twice")
        return manifest
    except (NotPermitted, BadData):
        raise
    except (DispatchError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(
            f"{NAME}: not a manifest of an export: keys or types differ",
            code=FileFault.BAD_MANIFEST,
        ) from error


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object.

    Raises BadData for a repeated key, of which `json` would keep the last.
    """
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise BadData(f"{NAME}: key {shown(key)!r} is there twice", code=FileFault.BAD_MANIFEST)
        result[key] = value
    return result


def _file_facts(entry: dict[str, Any]) -> FileFacts:
    """Return one file's entry.

    Raises NotPermitted for a path that leaves the export, BadData, TypeError.
    """
    facts = FileFacts(**entry)
    path = PurePosixPath(facts.name)
    if (
        path.is_absolute()
        or len(path.parts) != 1
        or facts.name in (".", "..")
        or "\\" in facts.name
    ):
        raise NotPermitted(
            f"{NAME}: {shown(facts.name)!r} lies outside the export directory",
            code=FileFault.OUTSIDE_EXPORT,
        )
    if facts.table not in TABLES or facts.name not in {facts.table + suffix for suffix in SUFFIXES}:
        raise BadData(
            f"{NAME}: {shown(facts.name)!r} is not one of our tables", code=FileFault.BAD_MANIFEST
        )
    numbers = (facts.bytes, facts.rows, facts.distinct_ids, *facts.cents.values())
    if not all(type(number) is int for number in numbers) or not isinstance(facts.sha256, str):
        raise TypeError("numbers of a file are whole")
    return facts


def verify(
    directory: Path,
    manifest: Manifest,
    *,
    now: datetime,
    max_age: timedelta | None = None,
    database_id: str | None = None,
    revisions: frozenset[str] | None = None,
) -> None:
    """Check age, database, schema, and bytes and SHA-256 of every file, in this order.

    No parser opens a file before.

    Raises TryLater (too old), BadData (from the future, of another database, damaged),
    SchemaMismatch, InputMissing (a listed file is not there), NotPermitted (a symlink).
    """
    if manifest.as_of > now + _CLOCK_SKEW:
        raise BadData(
            f"{NAME}: as_of {rfc3339(manifest.as_of)} lies in the future",
            code=FileFault.IN_THE_FUTURE,
        )
    if max_age is not None and now - manifest.as_of > max_age:
        age = _rounded(now - manifest.as_of)
        raise TryLater(
            f"{NAME}: as_of is {age} old, limit {_rounded(max_age)}: extract again",
            code=FileFault.TOO_OLD,
        )
    if database_id is not None and manifest.database_id != database_id:
        actual = shown(manifest.database_id)
        raise BadData(
            f"{NAME}: made from database {actual}, expected {database_id}",
            code=FileFault.OTHER_DATABASE,
        )
    contracts = fingerprint([facts.table for facts in manifest.files])
    known_revision = revisions is None or manifest.revision in revisions
    if manifest.contracts != contracts or not known_revision:
        actual = f"schema {shown(manifest.revision)} (contracts {shown(manifest.contracts[:12])})"
        numbered = [revision for revision in revisions or () if revision.isdigit()]
        expected = f"{max(numbered, default='any')} (contracts {contracts[:12]})"
        raise SchemaMismatch(
            f"{NAME}: {actual}, this program reads {expected}", code=FileFault.OTHER_FORMAT
        )
    for link in sorted(path for path in directory.iterdir() if path.is_symlink()):
        raise NotPermitted(f"{link.name}: symlink refused in an export", code=FileFault.SYMLINK)
    for facts in manifest.files:
        _verify_file(directory / facts.name, facts)


def _verify_file(path: Path, facts: FileFacts) -> None:
    size, checksum = digest(path)
    if size == 0 and facts.bytes:
        raise BadData(
            f"{facts.name}: empty file, manifest says {facts.rows} rows", code=FileFault.EMPTY
        )
    if size != facts.bytes:
        raise BadData(
            f"{facts.name}: {size} bytes, manifest says {facts.bytes}: not a complete file,"
            " checksum mismatch",
            code=FileFault.CHECKSUM,
        )
    if checksum != facts.sha256:
        raise BadData(
            f"{facts.name}: checksum mismatch; copy or extract it again", code=FileFault.CHECKSUM
        )


def _rounded(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 72 * 60:
        return f"{minutes // 60} h"
    return f"{minutes // 1440} days"

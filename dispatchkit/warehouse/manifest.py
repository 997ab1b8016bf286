"""The manifest of an export: what was written, of which database and moment, and a checksum for every file.

It is written last, as canonical JSON, so an export without one is not an export. A reader trusts nothing
else: bytes and SHA-256 of a file are compared before any parser opens it, because Parquet and CSV readers
accept damaged files silently (reliability, section 4).
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
from dispatchkit.kernel.files import digest, open_existing
from dispatchkit.warehouse.facts import shape

FORMAT = 1
NAME = "manifest.json"
KINDS = (".parquet", ".csv")
_AHEAD = timedelta(minutes=5)  # clocks of two machines may differ by this much
_MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What is true of one file of an export. `ranges` holds min and max of id and times, `cents` exact sums."""

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
        raw = asdict(self) | {
            "as_of": rfc3339(self.as_of),
            "files": [asdict(facts) for facts in self.files],
        }
        return (
            json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
            + b"\n"
        )

    @property
    def sha256(self) -> str:
        return sha256(self.encode()).hexdigest()


def column_types(table: str) -> dict[str, str]:
    """Return column -> type of a table's contract, in the words a manifest uses."""
    return {name: type_name(dtype) for name, dtype in shape(table).items()}


def type_name(dtype: pl.DataType) -> str:
    """Return the manifest's word for a column type."""
    return "Timestamp" if isinstance(dtype, pl.Datetime) else str(dtype)


def fingerprint(tables: list[str]) -> str:
    """Return the SHA-256 of the contracts of these tables: another program version may read other columns."""
    shape = {table: column_types(table) for table in sorted(tables)}
    return sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BadData(f"{NAME}: key {shown(key)!r} is there twice", code="DK-IN-015")
        found[key] = value
    return found


def read(directory: Path) -> Manifest:
    """Return the manifest of an export. Raises InputMissing (no export), BadData (none or damaged), NotPermitted."""
    if not directory.exists():
        raise InputMissing(f"{directory.name}: no such export", code="DK-IN-001")
    if not directory.is_dir():
        raise InputMissing(
            f"{directory.name}: is a file; give the directory of an export", code="DK-IN-002"
        )
    try:
        with open_existing(directory / NAME) as file:
            data = file.read(_MOST_BYTES + 1)
    except InputMissing as error:
        raise BadData(
            f"{directory.name}: no manifest, so this is no complete export", code="DK-IN-007"
        ) from error
    if len(data) > _MOST_BYTES:
        raise BadData(f"{NAME}: larger than {_MOST_BYTES >> 20} MiB", code="DK-IN-015")
    return decode(data)


def decode(data: bytes) -> Manifest:
    """Return a manifest from its bytes. Raises BadData naming the line or key, SchemaMismatch, NotPermitted."""
    try:
        raw = json.loads(data.decode("utf-8"), object_pairs_hook=_no_repeats)
    except UnicodeDecodeError as error:
        raise BadData(f"{NAME}: not UTF-8 at byte {error.start}", code="DK-IN-015") from error
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise BadData(f"{NAME}: unreadable at line {line}", code="DK-IN-015") from error
    if isinstance(raw, dict) and raw.get("format") != FORMAT:
        came = shown(raw.get("format"))
        raise SchemaMismatch(
            f"{NAME}: format {came}, this program reads {FORMAT}", code="DK-IN-014"
        )
    try:
        files = tuple(_facts(entry) for entry in raw["files"])
        found = Manifest(**(raw | {"as_of": parse_instant(raw["as_of"]), "files": files}))
        plain = all(
            isinstance(x, str)
            for x in (found.database_id, found.snapshot, found.revision, found.contracts)
        )
        if not plain or len({facts.table for facts in files}) != len(files):
            raise TypeError
        return found
    except (NotPermitted, BadData):
        raise
    except (DispatchError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(
            f"{NAME}: not a manifest of ours: keys or types differ", code="DK-IN-015"
        ) from error


def _facts(entry: dict[str, Any]) -> FileFacts:
    facts = FileFacts(**entry)
    path = PurePosixPath(facts.name)
    if (
        path.is_absolute()
        or len(path.parts) != 1
        or facts.name in (".", "..")
        or "\\" in facts.name
    ):
        raise NotPermitted(
            f"{NAME}: {shown(facts.name)!r} lies outside the export directory", code="DK-IN-016"
        )
    if facts.table not in TABLES or facts.name not in {facts.table + kind for kind in KINDS}:
        raise BadData(f"{NAME}: {shown(facts.name)!r} is not one of our tables", code="DK-IN-015")
    whole = (facts.bytes, facts.rows, facts.distinct_ids, *facts.cents.values())
    if not all(type(number) is int for number in whole) or not isinstance(facts.sha256, str):
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
    """Check age, origin, schema, and bytes and SHA-256 of every file, in this order, before any parser opens one.

    Raises TryLater (too old), BadData (from the future, of another database, damaged), SchemaMismatch,
    InputMissing (a listed file is not there), NotPermitted (a symlink).
    """
    if manifest.as_of > now + _AHEAD:
        raise BadData(
            f"{NAME}: as_of {rfc3339(manifest.as_of)} lies in the future", code="DK-IN-012"
        )
    if max_age is not None and now - manifest.as_of > max_age:
        age = _rough(now - manifest.as_of)
        raise TryLater(
            f"{NAME}: as_of is {age} old, limit {_rough(max_age)}: extract again", code="DK-IN-011"
        )
    if database_id is not None and manifest.database_id != database_id:
        came = shown(manifest.database_id)
        raise BadData(
            f"{NAME}: made from database {came}, expected {database_id}", code="DK-IN-013"
        )
    known = fingerprint([facts.table for facts in manifest.files])
    if manifest.contracts != known or (
        revisions is not None and manifest.revision not in revisions
    ):
        came = f"schema {shown(manifest.revision)} (contracts {shown(manifest.contracts[:12])})"
        newest = max(
            (revision for revision in revisions or () if revision.isdigit()), default="any"
        )
        text = f"{came}, this program reads {newest} (contracts {known[:12]})"
        raise SchemaMismatch(f"{NAME}: {text}", code="DK-IN-014")
    for link in sorted(path for path in directory.iterdir() if path.is_symlink()):
        raise NotPermitted(f"{link.name}: symlink refused in an export", code="DK-IN-047")
    for facts in manifest.files:
        _verify_file(directory / facts.name, facts)


def _verify_file(path: Path, facts: FileFacts) -> None:
    size, found = digest(path)
    if size == 0 and facts.bytes:
        raise BadData(
            f"{facts.name}: empty file, manifest says {facts.rows} rows", code="DK-IN-004"
        )
    if size != facts.bytes:
        raise BadData(
            f"{facts.name}: {size} bytes, manifest says {facts.bytes}: not a complete file, checksum mismatch",
            code="DK-IN-008",
        )
    if found != facts.sha256:
        raise BadData(
            f"{facts.name}: checksum mismatch; copy or extract it again", code="DK-IN-008"
        )


def _rough(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    return (
        f"{minutes} min"
        if minutes < 120
        else f"{minutes // 60} h"
        if minutes < 72 * 60
        else f"{minutes // 1440} days"
    )

"""What `data import` reads, as frames that fit the store: an export here, else `foreign`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadData, Usage
from dispatchkit.kernel.fault_codes import FileFault
from dispatchkit.kernel.files import digest
from dispatchkit.warehouse import manifest as manifests
from dispatchkit.warehouse.build import build
from dispatchkit.warehouse.database import connect
from dispatchkit.warehouse.quarantine import MAX_QUARANTINE


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportBatch:
    """Frames by table (valid, ids ascending), quarantine lines, and counts by name."""

    frames: dict[str, pl.DataFrame]
    quarantine: pl.DataFrame
    counts: dict[str, int]
    warnings: list[str] = field(default_factory=list)


def read_export(
    directory: Path,
    *,
    now: datetime,
    strict: bool = False,
    max_quarantine: float = MAX_QUARANTINE,
    revisions: frozenset[str] | None = None,
) -> ImportBatch:
    """Return the rows of an export, verified as for a load.

    Raises for the export as `load` does.
    """
    manifest = manifests.read(directory)
    manifests.verify(directory, manifest, now=now, revisions=revisions)
    exported = {facts.table for facts in manifest.files}
    with connect(":memory:") as con:
        built = build(con, directory, manifest, strict=strict, max_quarantine=max_quarantine)
        frames = {table: con.table(table).order("id").pl() for table in TABLES if table in exported}

    lines = sum(facts.rows for facts in manifest.files)
    counts = {
        "lines": lines,
        "quarantined_lines": len(built.quarantine),
        "records": lines - len(built.quarantine),
    }
    return ImportBatch(
        frames=frames, quarantine=built.quarantine, counts=counts, warnings=built.warnings
    )


def require_checksum(path: Path, sha256: str) -> None:
    """Check a file without manifest against its sender's SHA-256, before any parser opens it.

    Raises BadData when they differ, Usage for a text that is no SHA-256.
    """
    if len(sha256) != 64 or not set(sha256.lower()) <= set("0123456789abcdef"):
        raise Usage("--sha256 expects 64 hexadecimal digits")
    if digest(path)[1] != sha256.lower():
        raise BadData(f"{path.name}: checksum mismatch; fetch it again", code=FileFault.CHECKSUM)

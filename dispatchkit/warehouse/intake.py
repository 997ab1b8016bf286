"""What `data import` read, ours or foreign: frames fit for the store, what was set aside, and the counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadData, Usage
from dispatchkit.kernel.files import digest
from dispatchkit.warehouse import manifest as manifests
from dispatchkit.warehouse.build import MAX_QUARANTINE, build, connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Contract-valid frames by table (ids ascending), quarantine lines, and counts by name."""

    frames: dict[str, pl.DataFrame]
    quarantine: pl.DataFrame
    counts: dict[str, int]
    warnings: list[str] = field(default_factory=list)


def read_native(
    directory: Path,
    *,
    now: datetime,
    strict: bool = False,
    max_quarantine: float = MAX_QUARANTINE,
    revisions: frozenset[str] | None = None,
) -> Intake:
    """Return the rows of an export of ours, verified as for a load. Raises as `load` does, for the export."""
    manifest = manifests.read(directory)
    manifests.verify(directory, manifest, now=now, revisions=revisions)
    with connect(":memory:") as con:
        built = build(con, directory, manifest, strict=strict, max_quarantine=max_quarantine)
        came = [table for table in TABLES if table in {facts.table for facts in manifest.files}]
        frames = {table: con.table(table).order("id").pl() for table in came}
    lines = sum(facts.rows for facts in manifest.files)
    counts = {
        "lines": lines,
        "quarantined_lines": len(built.quarantine),
        "records": lines - len(built.quarantine),
    }
    return Intake(
        frames=frames, quarantine=built.quarantine, counts=counts, warnings=built.warnings
    )


def require(path: Path, sha256: str) -> None:
    """Check a file that comes without a manifest against its sender's SHA-256, before any parser opens it.

    Raises BadData when they differ, Usage for a SHA-256 that is none.
    """
    if len(sha256) != 64 or not set(sha256.lower()) <= set("0123456789abcdef"):
        raise Usage("--sha256 expects 64 hexadecimal digits")
    if digest(path)[1] != sha256.lower():
        raise BadData(f"{path.name}: checksum mismatch; fetch it again", code="DK-IN-008")

"""Retention of the audit trail: old bodies move to archive files, whose links stay in the database.

The file is complete and synced before the database deletes anything. Its name comes from its
content, so a run after a killed one finds the file again. An archive is Parquet: `head` and `image` are the
text that was hashed, so anyone with the file can check sha256(prev || head || newline || image).
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from dispatchkit.config import Settings
from dispatchkit.decide.audit.model import Params
from dispatchkit.kernel.errors import BadData, Refused, Usage
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.kernel.files import (
    check_folder,
    digest,
    make_folder,
    open_existing,
    translate_os_errors,
    write_whole,
)
from dispatchkit.store.contract import Store

FILE = ("chain", "seq", "epoch", "txid", "head", "image", "prev", "hash")
KEYS = ("tbl", "row_id", "row_version", "op")  # of a link, as the head of its body names them


@dataclass(frozen=True)
class PruneResult:
    """How many events left, and the files that hold them now."""

    events: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class ArchiveCheck:
    """The names of verified archives, what is wrong, and files that this database does not know.

    A foreign file is no fault: a killed prune leaves one, and its bodies are still in the database.
    """

    verified: tuple[str, ...]
    wrong: tuple[str, ...]
    foreign: tuple[str, ...]


def limit(store: Store, settings: Settings, name: str, now: datetime | None = None) -> datetime:
    """Return the instant before which [audit] `name` has passed, by --now or the database clock.

    Raises Usage for --now where the clock is strict.
    """
    kept: timedelta = getattr(settings.params("audit", Params), name)
    return store.trail.clock(now) - kept


def prune(
    store: Store,
    before: datetime,
    to: Path,
    *,
    dry_run: bool = False,
    max_changes: int | None = None,
) -> PruneResult:
    """Move the bodies of sealed events older than `before` to archive files; return what moved.

    to: a folder, created if missing. The newest event of every row stays. Raises TryLater while
    another run prunes, Refused above `max_changes`, CannotCreate, IOFailed.
    """
    check_folder(to)
    if dry_run or max_changes is not None:
        waiting = store.trail.retirable_count(before)
        if dry_run:
            return PruneResult(waiting, ())
        if max_changes is not None and waiting > max_changes:
            raise Refused(
                f"{waiting} events would be retired, --max-changes is {max_changes}; nothing done"
            )
    make_folder(to)
    moved, names = 0, []
    with store.trail.pruning():
        while (events := store.trail.retirable(before)).height:
            name, checksum = _archive(events, to)
            moved += store.trail.retire(name, checksum, before, events)
            names.append(name)
    return PruneResult(moved, tuple(names))


def _archive(events: pl.DataFrame, to: Path) -> tuple[str, str]:
    """Write events as an archive unless it stands there already; return its name and SHA-256."""
    out = io.BytesIO()
    events.select(FILE).write_parquet(out, compression="zstd")
    data = out.getvalue()
    checksum = sha256(data).hexdigest()
    path = to / f"audit-{checksum[:16]}.parquet"
    if not path.exists() or digest(path)[1] != checksum:
        write_whole(path, data)
    failpoint("archive written")
    return path.name, checksum


def verify(store: Store, files: Sequence[Path], known: Mapping[str, str]) -> ArchiveCheck:
    """Return which archives were verified, and the first bad row of each."""
    verified, wrong, foreign = [], [], []
    names = {checksum: name for name, checksum in known.items()}
    for path in _listed(files):
        name = names.get(digest(path)[1])
        if name is not None:
            verified.append(name)
            wrong += _first_mismatch(path, store.trail.retired_links(name))
        elif path.name in known:
            wrong.append(f"{path}: not the file that was archived")
        else:
            foreign.append(str(path))
    return ArchiveCheck(tuple(sorted(verified)), tuple(wrong), tuple(foreign))


def _first_mismatch(path: Path, links: pl.DataFrame) -> list[str]:
    """Return the first row of an archive that is not the body of its link."""
    rows = _read(path)
    if rows.height != links.height:
        return [f"{path}: {rows.height} events, {links.height} links point to it"]
    for body, link in zip(rows.iter_rows(named=True), links.iter_rows(named=True), strict=True):
        body_text = body["head"].encode() + b"\n" + (body["image"] or "").encode()
        head = dict(zip(("chain", "seq", *KEYS), json.loads(body["head"]), strict=False))
        body_hash = sha256(bytes.fromhex(body["prev"]) + body_text).hexdigest()
        if (
            body_hash != link["hash"]
            or body["prev"] != link["prev"]
            or any(head[k] != link[k] for k in head)
        ):
            return [
                f"{path}: {link['tbl']} {link['row_id']} version {link['row_version']}, "
                f"seq {link['seq']}"
            ]
    return []


def bodies(files: Sequence[Path], chain: int) -> dict[int, dict[str, Any]]:
    """Return what archives hold of one chain: seq -> the fields of an event that its link lacks."""
    by_seq = {}
    for path in _listed(files):
        for row in _read(path).filter(pl.col("chain") == chain).iter_rows(named=True):
            login, actor, _, reason, at = json.loads(row["head"])[6:]
            by_seq[int(row["seq"])] = {
                "image": json.loads(row["image"]) if row["image"] else None,
                "archived": False,
                "login": login,
                "actor": actor,
                "reason": reason,
                "at": datetime.fromisoformat(at).replace(tzinfo=UTC),
            }
    return by_seq


def _listed(files: Sequence[Path]) -> list[Path]:
    """Return the files, and those in folders. Raises Usage for a folder without archives."""
    archives: list[Path] = []
    for path in files:
        contents = sorted(path.glob("audit-*.parquet")) if path.is_dir() else [path]
        if not contents:
            raise Usage(f"{path}: no archive in it; expected audit-*.parquet")
        archives += contents
    return archives


def _read(path: Path) -> pl.DataFrame:
    with open_existing(path) as file, translate_os_errors(path):
        data = file.read()
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except pl.exceptions.PolarsError:
        raise BadData(f"{path}: not an archive of the audit trail") from None
    if tuple(frame.columns) != FILE:
        raise BadData(f"{path}: not an archive of the audit trail; its columns are others")
    return frame

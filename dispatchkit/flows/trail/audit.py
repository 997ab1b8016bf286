"""The audit trail: shown, verified, sealed in a file outside the database, exported.

`run` is the job that seals it every minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from dispatchkit.config import Settings
from dispatchkit.decide.audit.model import Params
from dispatchkit.decide.audit.trail import Image, TrailEvent, TrailStep, state_at, timeline
from dispatchkit.flows.trail import retention, seal_file
from dispatchkit.kernel.clock import EARLIEST, LATEST, rfc3339
from dispatchkit.kernel.errors import BadData, CannotCreate, NotPermitted, Refused, Usage
from dispatchkit.kernel.fault_codes import FileFault
from dispatchkit.kernel.files import check_output, write_whole
from dispatchkit.kernel.flags import Flag
from dispatchkit.store.audit import Fault, Verified
from dispatchkit.store.contract import Store

# The flag permits `show` by the id of the chain, and `export`. The trail is written in any case.
FLAG = "audit"
SUFFIXES = (".parquet", ".csv", ".json")


@dataclass(frozen=True)
class ChainView:
    """One chain: steps, runs, refused acts and broken links.

    state: its rows at an instant, by table; None: no instant was requested.
    """

    subject: str
    steps: Sequence[TrailStep]
    state: Mapping[str, Sequence[Image]] | None
    runs: Sequence[Mapping[str, Any]]
    decisions: Mapping[int, str]
    refusals: Sequence[Mapping[str, Any]]
    broken: Sequence[Fault]


@dataclass(frozen=True)
class TrailCheck:
    """The result of a verification.

    lines, contradicted: of the seal file: how many, and those that the database does not hold.
    unread: names of archives that were not given.
    """

    trail: Verified
    lines: int
    contradicted: Sequence[str]
    archives: retention.ArchiveCheck
    unread: Sequence[str]

    @property
    def findings(self) -> list[str]:
        """Return every finding as text; none if the trail is intact."""
        findings = [f"{f.fault}: {f.count}, first {place(f)}" for f in self.trail.faults]
        if self.contradicted:
            count = f"{len(self.contradicted)} of {self.lines}"
            first = " ".join(self.contradicted[0].split()[:2])
            findings.append(f"outside: {count} seals are not the database's, first {first}")
        return findings + [f"archive: {wrong}" for wrong in self.archives.wrong]


def place(fault: Fault) -> str:
    """Return where a fault shows, in the words of an operator."""
    if fault.fault == "seal":
        return f"seal {fault.row_version} {fault.row_id}"
    if fault.fault == "archive":
        return str(fault.tbl)
    chain = f"{subject(fault.chain)}, " if fault.chain else ""
    row = (
        f"{fault.tbl} {fault.row_id} version {fault.row_version}" if fault.tbl else "no event left"
    )
    return f"{chain}{row}" + (f", seq {fault.seq}" if fault.seq else "")


def subject(chain: int) -> str:
    """Return whose chain a number names."""
    return f"delivery {chain}" if chain > 0 else f"driver {-chain}"


def show(
    store: Store,
    settings: Settings,
    chain: int,
    at: datetime | None = None,
    files: Sequence[Path] = (),
) -> ChainView:
    """Return a chain's timeline, and its rows `at` an instant. The reading is recorded.

    chain: a delivery's id, or minus a driver's id. files: archives with the bodies of old events.
    Raises NotPermitted while the flag is off, Refused if there is no such chain.
    """
    _permit(settings.flag(FLAG), abs(chain))
    held = store.trail.chain(chain)
    if not held.events:
        raise Refused(f"the trail knows no {subject(chain)}")
    bodies = retention.bodies(files, chain) if files else {}
    decisions = {row["seq"]: row.pop("decision_id") for row in held.events}
    events = [TrailEvent(**row | bodies.get(row["seq"], {})) for row in held.events]
    state = state_at(events, at) if at else None
    return ChainView(
        subject(chain), timeline(events), state, held.runs, decisions, held.refusals, held.broken
    )


def verify(store: Store, seals: Path | None = None, files: Sequence[Path] = ()) -> TrailCheck:
    """Return what is wrong with the trail, compared with the seal file and archives if given."""
    # The file is read first: a seal made in between is then no contradiction.
    file_lines = seal_file.read(seals) if seals else []
    trail, seal_lines = store.trail.verify()
    archived = store.trail.archives()
    archives = retention.verify(store, files, archived)
    unread = sorted(set(archived) - set(archives.verified))
    return TrailCheck(
        trail, len(file_lines), seal_file.contradictions(file_lines, seal_lines), archives, unread
    )


def seal(store: Store, to: Path, *, dry_run: bool = False) -> list[str]:
    """Seal what is not sealed, append every seal that the file lacks, and return those lines.

    Raises BadData when the file contradicts the database, TryLater while another run appends.
    """
    if not to.parent.is_dir():
        raise CannotCreate(f"{to.parent}: no such directory")
    if dry_run:
        file_lines = seal_file.read(to) if to.exists() else []
        seal_lines = store.trail.seal_lines()
        wrong = seal_file.contradictions(file_lines, seal_lines)
        if wrong:
            raise BadData(
                f"{to}: seal {' '.join(wrong[0].split()[:2])} is not the database's",
                code=FileFault.SEAL,
            )
        return [line for line in seal_lines if line not in set(file_lines)]
    with seal_file.appending(to) as file:
        # Called for its check: a file that contradicts the database is refused before sealing.
        seal_file.missing(file, store.trail.seal_lines())
        if unsealed(store):
            store.trail.seal()
        lines = seal_file.missing(file, store.trail.seal_lines())
        file.append(lines)
    return lines


def unsealed(store: Store) -> int:
    """Return how many finished events no seal covers yet."""
    return store.trail.unsealed()[0]


def export(
    store: Store,
    settings: Settings,
    to: Path,
    *,
    since: datetime | None,
    until: datetime | None,
    force: bool = False,
) -> int:
    """Write the trail of a period; return how many events it holds. The reading is recorded.

    to: a .parquet, .csv or .json file. Raises NotPermitted while the flag is off, Usage for
    another suffix, CannotCreate.
    """
    _permit(settings.flag(FLAG))
    if to.suffix not in SUFFIXES:
        raise Usage(f"{to}: by its suffix neither of {', '.join(SUFFIXES)}")
    check_output(to, force=force)
    store.trail.note_reading("export")
    frame = store.trail.period(since or EARLIEST, until or LATEST)
    write_whole(to, _encoded(frame, to.suffix))
    return frame.height


def run(store: Store, settings: Settings, now: datetime, *, dry_run: bool) -> Mapping[str, int]:
    """Seal finished events if the last seal is old enough; return how many were and were not."""
    try:
        unsealed_count, last_seal_at = store.trail.unsealed()
    except Usage:  # the store in memory has no trail
        return {"sealed": 0, "unsealed": 0}
    # --now may be before the last seal or after it.
    pause = settings.params("audit", Params).seal
    due = last_seal_at is None or abs(now - last_seal_at) >= pause
    if not (unsealed_count and due):
        return {"sealed": 0, "unsealed": unsealed_count}
    if dry_run:
        return {"sealed": unsealed_count, "unsealed": 0}
    sealed = sum(int(line.split()[2]) for line in store.trail.seal())
    return {"sealed": sealed, "unsealed": unsealed(store)}


def _permit(flag: Flag, unit: int | None = None) -> None:
    if not (flag.enabled if unit is None else flag.admits(unit)):
        raise NotPermitted(
            "audit queries are off (flags.audit); the trail itself goes on being written"
        )


def _encoded(frame: pl.DataFrame, suffix: str) -> bytes:
    import io

    out = io.BytesIO()
    if suffix == ".parquet":
        frame.write_parquet(out, compression="zstd")
        return out.getvalue()
    printable = frame.with_columns(pl.col("at").map_elements(rfc3339, return_dtype=pl.String))
    if suffix == ".csv":
        return printable.write_csv().encode()
    return printable.write_json().encode() + b"\n"

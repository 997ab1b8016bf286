"""Personal data: erased on request, purged after its retention; audit chains stay intact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dispatchkit.config import Settings
from dispatchkit.flows.trail import erasure_log as journal
from dispatchkit.flows.trail import retention
from dispatchkit.kernel.errors import DispatchError, Refused
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.kernel.files import exclusive_lock, translate_os_errors
from dispatchkit.store.contract import Store
from dispatchkit.store.privacy import Person
from dispatchkit.warehouse import manifest


@dataclass(frozen=True)
class Erased:
    """held: person -> rows per kind of data. refused: person -> why they cannot be erased yet."""

    held: Mapping[str, Mapping[str, int]]
    refused: Mapping[str, str]


def erase(
    store: Store,
    people: Sequence[str],
    *,
    outside: Path | None = None,
    dry_run: bool = False,
    max_changes: int | None = None,
) -> Erased:
    """Erase each person, or count their rows (dry_run); return the rows per person.

    people: `customer:ID` or `driver:ID`; they are written to the file `outside` first. Empty:
    erase everybody again who is in the database's journal or in that file, because an old backup
    or import may have brought rows back; who cannot be erased yet is listed, the others are erased.

    Raises Refused, before anything is erased, if a named person is at work or has a delivery under
    way, and for more rows than `max_changes`.
    """
    wanted = [journal.person(text) for text in people]
    if not wanted:
        logged = journal.read(outside) if outside else []
        wanted = store.privacy.known(sorted({*store.privacy.erased(), *logged}))
    preview = _each(store, wanted, dry_run=True)
    if people and preview.refused:
        raise Refused(f"{'; '.join(preview.refused.values())}; nobody erased")
    if dry_run:
        return preview
    rows = sum(sum(held.values()) for held in preview.held.values())
    if max_changes is not None and rows > max_changes:
        raise Refused(f"{rows} rows would be erased, --max-changes is {max_changes}; nothing done")
    if outside and people:
        journal.append(outside, wanted)
    return _each(store, wanted, dry_run=False)


def _each(store: Store, people: Sequence[Person], *, dry_run: bool) -> Erased:
    """Return the result of erasing each person in a transaction of their own."""
    held, refused = {}, {}
    for kind, id_ in people:
        try:
            held[f"{kind}:{id_}"] = store.privacy.erase((kind, id_), dry_run=dry_run)
        except Refused as error:
            refused[f"{kind}:{id_}"] = str(error)
    return Erased(held, refused)


def purge(
    store: Store,
    data: Path,
    settings: Settings,
    now: datetime | None,
    *,
    dry_run: bool = False,
    max_changes: int | None = None,
) -> dict[str, int]:
    """Remove pings, payloads of sent events and exports under `data` older than [audit] allows.

    Returns how many of each kind. Raises Refused for more than `max_changes`; then none is removed.
    """
    spans = {"pings": "pings", "payloads": "sent"}
    limits = {what: retention.limit(store, settings, name, now) for what, name in spans.items()}
    extracts = _old_extracts(store, data, retention.limit(store, settings, "extracts", now))
    if dry_run or max_changes is not None:
        counts = {
            what: store.privacy.purge(what, limit, dry_run=True) for what, limit in limits.items()
        }
        counts["extracts"] = len(extracts)
        if dry_run:
            return counts
        if max_changes is not None and sum(counts.values()) > max_changes:
            raise Refused(
                f"{sum(counts.values())} would be purged, --max-changes is {max_changes}; "
                "nothing done"
            )
    done = {what: store.privacy.purge(what, limit) for what, limit in limits.items()}
    for directory in extracts:
        _remove(directory)
    return {**done, "extracts": len(extracts)}


def _old_extracts(store: Store, data: Path, before: datetime) -> list[Path]:
    """Return the exports directly under `data` that this database wrote before an instant."""
    own_id = store.privacy.database_id()
    folders = []
    for path in sorted(data.glob(f"*/{manifest.NAME}")):
        try:
            export = manifest.read(path.parent)
        except DispatchError:  # a foreign or damaged folder is not ours to remove
            continue
        if export.database_id == own_id and export.as_of < before:
            folders.append(path.parent)
    return folders


def _remove(directory: Path) -> None:
    """Remove an export's files, the manifest last.

    Readers refuse what a killed run leaves, and the next run finds it again.
    """
    export = manifest.read(directory)
    with exclusive_lock(directory), translate_os_errors(directory):
        for file in export.files:
            (directory / file.name).unlink(missing_ok=True)
        failpoint("export emptied")
        (directory / manifest.NAME).unlink()
        if not any(directory.iterdir()):
            directory.rmdir()

"""Personal data: erased on request with every audit chain intact, and purged when its time is over."""

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
    """person -> what held their data, how often; and person -> why they may not go yet."""

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
    """Erase each person, or count what would go; who is named is noted in the file `outside` first.

    Nobody named: everybody once more who stands in the database's journal or in that file, for rows that came back with
    an old file or backup, which may not know some of them; of these whoever may go goes, also when others may not.
    Raises Refused, before anybody is touched, if one of those named is at work, and for more rows than `max_changes`.
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
    """Return what became of each person by themselves."""
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
    """Purge pings, payloads of events that have left, and exports under `data`, each past its time in [audit].

    Returns how many of each went, or would. Raises Refused when they are more than `max_changes`; then none goes.
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
                f"{sum(counts.values())} would be purged, --max-changes is {max_changes}; nothing done"
            )
    done = {what: store.privacy.purge(what, limit) for what, limit in limits.items()}
    for directory in extracts:
        _remove(directory)
    return {**done, "extracts": len(extracts)}


def _old_extracts(store: Store, data: Path, before: datetime) -> list[Path]:
    """Return the exports right under `data` that this very database wrote before an instant."""
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
    """Remove an export's files, the manifest last: what a killed run leaves is refused by readers, and found again."""
    export = manifest.read(directory)
    with exclusive_lock(directory), translate_os_errors(directory):
        for file in export.files:
            (directory / file.name).unlink(missing_ok=True)
        failpoint("export emptied")
        (directory / manifest.NAME).unlink()
        if not any(directory.iterdir()):
            directory.rmdir()

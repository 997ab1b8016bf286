"""The database itself: opened for a run, migrated both ways, checked."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dispatchkit.config import Settings
from dispatchkit.flows.live import catalog
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import Usage
from dispatchkit.store import check, connect, migrate, outbox
from dispatchkit.store.contract import Store
from dispatchkit.store.postgres import open_store

LATE = timedelta(minutes=15)  # a row due for longer, and no run since: that sweep fell silent


def store(
    db: str,
    data: Path,
    settings: Settings,
    *,
    now: datetime | None = None,
    batch: int | None = None,
    workers: int | None = None,
) -> Store:
    """Return the store that --db names, its schema checked.

    Raises DatabaseUnavailable, SchemaMismatch.
    """
    waits = settings.database
    waits = replace(waits, batch=batch or waits.batch, workers=workers or waits.workers)
    return open_store(db, data, waits, now)


def migrate_up(
    db: str,
    data: Path,
    revision: str = "head",
    *,
    strict_clock: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Migrate up and return the status; a dry run returns the steps that would run."""
    database = connect.open_database(db, data)
    if dry_run:
        at = migrate.status(database).revision or ""
        return {
            "would run": [
                stem for step, stem in migrate.history() if at < step <= _target(revision)
            ]
        }
    status = migrate.up(database, revision)
    if strict_clock:
        migrate.strict_clock(database)
    return _as_document(status)


def migrate_down(db: str, data: Path, revision: str, *, dry_run: bool = False) -> dict[str, Any]:
    """Migrate down and return the status; rows are kept in schema dk_kept."""
    database = connect.open_database(db, data)
    if dry_run:
        at = migrate.status(database).revision or ""
        undone = [stem for step, stem in migrate.history() if _target(revision) < step <= at]
        return {"would undo": list(reversed(undone))}
    return _as_document(migrate.down(database, revision))


def schema_status(db: str, data: Path) -> dict[str, Any]:
    """Return revision, newest revision and whether the schema drifted from what was migrated."""
    return _as_document(migrate.status(connect.open_database(db, data)))


def invariants() -> list[tuple[str, str, str]]:
    """Return (name, what an offender is, SQL) of every invariant."""
    return [(rule.name, rule.offender, rule.sql) for rule in check.checks()]


def check_database(db: str, data: Path, now: datetime | None = None) -> dict[str, Any]:
    """Return every invariant with its offenders, when each sweep last ran, and findings as text."""
    database = connect.open_database(db, data)
    migrate.require(database)
    counted = check.offenders(database)
    at, silences = check.silences(database, list(catalog.SWEEPS), now)
    findings = [f"{rule.name}: {count} x {rule.offender}" for rule, count in counted if count]
    if migrate.status(database).drifted:
        findings.append("the schema differs from what was migrated; compare with a fresh database")
    for sender, state, number in outbox.failed_sends(database, now):
        what = "were given up on" if state == "FAILED" else "were refused for good within a day"
        findings.append(
            f"sender {sender}: {number} events {what}; see `show outbox --state {state}`"
        )
    for sender, number, response in outbox.stuck(database, LATE, now):
        findings.append(
            f"sender {sender}: {number} events tried in vain for over 15 minutes, last {response}"
        )
    for silence in silences:
        if silence.oldest_due is None or at - silence.oldest_due <= LATE:
            continue
        if silence.last_as_of is None or at - silence.last_as_of > LATE:
            findings.append(
                f"sweep {silence.sweep} fell silent: "
                f"its oldest due row has waited since {silence.oldest_due:%FT%TZ}"
            )
        elif silence.sweep == "outbox" and check.senders_gone(database):
            findings.append(
                f"no sender takes events any more: "
                f"the oldest has waited since {silence.oldest_due:%FT%TZ}; see [senders] in the configuration"
            )
    return {
        "checks": [
            {"name": rule.name, "offenders": count, "offender": rule.offender}
            for rule, count in counted
        ],
        "sweeps": [
            {"sweep": s.sweep, "last_ok": _stamp(s.last_ok), "oldest_due": _stamp(s.oldest_due)}
            for s in silences
        ],
        "findings": findings,
    }


def _target(revision: str) -> str:
    known = {"head": migrate.newest(), "base": ""} | {step: step for step, _ in migrate.history()}
    if revision not in known:
        raise Usage(
            f"no revision {revision!r}; expected `head`, `base` or one of {', '.join(known)}"
        )
    return known[revision]


def _as_document(status: migrate.Status) -> dict[str, Any]:
    return {
        "revision": status.revision,
        "newest": status.newest,
        "current": status.current,
        "drifted": status.drifted,
    }


def _stamp(at: datetime | None) -> str | None:
    return rfc3339(at) if at else None

"""The only writer: one transaction for a batch of rows, decisions, events and run counters.

Rows are locked in the same order everywhere, so that writers cannot deadlock: delivery, offer,
driver and the rest of LOCK_ORDER; ids ascending. Triggers write the audit rows in the same
transaction.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from dispatchkit.domain.changes import Change, Fact
from dispatchkit.domain.tables import LOCK_ORDER
from dispatchkit.kernel.errors import BadConfig, DatabaseUnavailable
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.store import statements, statements_write
from dispatchkit.store.connect import RETRIED, sqlstate
from dispatchkit.store.contract import Outcome, Stale
from dispatchkit.store.groups import Key, WriteGroup, batches, fit, fit_facts
from dispatchkit.store.statements import array, query

ROW_FAULTS = ("22", "23", "DK", "P0")  # SQLSTATE classes of errors that a single row can cause
TRIES = 5  # of one batch that meets a deadlock or a lock timeout
ROUNDS = 3  # over the groups whose rows are locked by somebody else


class Deadline:
    """Until when batches may begin: an instant of the monotonic clock, or a worker's stop."""

    def __init__(self, end: float) -> None:
        self._end, self._stopped = end, False

    def stop(self) -> None:
        """Let no worker begin another batch."""
        self._stopped = True

    @property
    def is_over(self) -> bool:
        return self._stopped or time.monotonic() >= self._end


class Writer:
    """Writes the changes of one run, or of one act (`run_id` None), on one connection.

    leader: for a worker, the server process that holds the sweep's lock; None if this connection
    does.
    """

    def __init__(
        self, connection: Connection, sweep: str, run_id: str | None, leader: int | None = None
    ) -> None:
        self._connection, self._sweep = connection, sweep
        self._run, self._leader = run_id, leader

    def apply(self, groups: Sequence[WriteGroup], batch: int, deadline: Deadline) -> Outcome:
        """Write all groups in batches of about `batch` changes.

        Groups with rows that others have locked are tried again at the end. No batch begins after
        the deadline; what is left then counts as busy, and the next run decides it anew.
        """
        total = Outcome()
        left = groups
        for round_ in range(ROUNDS):
            locked: list[WriteGroup] = []
            for part in batches(left, batch):
                if deadline.is_over:
                    locked += part
                    continue
                outcome, busy = self._write_batch(part)
                total.add(outcome)
                locked += busy
            left = locked
            if not left or round_ + 1 == ROUNDS or deadline.is_over:
                break
            failpoint("busy retry")
            time.sleep(0.05 * (round_ + 1))
        total.busy = sum(len(group.changes) for group in left)
        return total

    def _write_batch(self, batch: list[WriteGroup]) -> tuple[Outcome, list[WriteGroup]]:
        """Return the outcome of one batch and its busy groups.

        A batch that the database refuses because of a row is halved until the bad group stands
        alone.
        """
        for attempt in range(TRIES):
            try:
                with self._connection.begin():
                    result = self._transaction(batch)
                failpoint("batch committed")
                return result
            except DBAPIError as fault:
                # Only an error that certainly rolled back is tried again. After a lost COMMIT (no
                # SQLSTATE) the batch may stand, so the run fails and the next one finds out.
                state = sqlstate(fault)
                if state in RETRIED and attempt + 1 < TRIES:
                    time.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311
                    continue
                if not state.startswith(ROW_FAULTS):
                    raise
                break
        if len(batch) == 1:
            failpoint("poison")
            return self._write_poison(batch[0], state), []
        failpoint("bisect")
        half = len(batch) // 2
        outcome, busy = self._write_batch(batch[:half])
        second_outcome, second_busy = self._write_batch(batch[half:])
        outcome.add(second_outcome)
        return outcome, busy + second_busy

    def _transaction(self, batch: list[WriteGroup]) -> tuple[Outcome, list[WriteGroup]]:
        """Do everything that belongs to one batch; return its outcome and its busy groups."""
        failpoint("batch begin")
        self._check_lock_held()
        self._describe_to_audit()
        locked = self._lock_rows(batch)
        failpoint("roots locked")
        ready, stale, busy = self._compare_versions(batch, locked)
        stale, already = self._without_repeats(stale)
        statements_write.write_rows(self._connection, ready)
        failpoint("rows written")
        outcome = Outcome(applied=sum(len(g.changes) for g in ready), already=already)
        outcome.stale = [
            Stale(c.entity, c.id, c.version, why) for group, why in stale for c in group.changes
        ]
        stale_groups = [group for group, _ in stale]
        statements_write.write_decisions(self._connection, self._run, ready, "APPLIED")
        statements_write.write_decisions(self._connection, self._run, stale_groups, "STALE")
        failpoint("decisions written")
        statements_write.write_events(self._connection, self._run, ready)
        failpoint("outbox written")
        self._count(outcome)
        failpoint("counters written")
        return outcome, busy

    def _check_lock_held(self) -> None:
        """Raise unless the sweep's lock is still held by the very connection that took it."""
        lock = {"sweep": self._sweep, "leader": self._leader}
        held = self._connection.execute(query("hold_lock"), lock).scalar_one()
        if held == 1:
            return
        if self._leader is not None:
            raise DatabaseUnavailable(
                "the connection that held the sweep's lock was lost; nothing more is written"
            )
        # A transaction pooler swaps the server's connection without telling us.
        raise BadConfig(
            "the connection lost the sweep's lock: is a transaction pooler in between? "
            "Connect directly"
        )

    def _describe_to_audit(self) -> None:
        """Tell the audit triggers the run and the reason of this transaction."""
        values = {"run": self._run or "", "reason": self._sweep}
        self._connection.execute(query("describe_to_audit"), values)

    def _lock_rows(self, batch: list[WriteGroup]) -> dict[Key, int]:
        """Lock every row that the batch needs, in lock order; return the versions found.

        Rows that others have locked, and rows that do not exist, are missing.
        """
        versions: dict[Key, int] = {}
        needed = (key for group in batch for key in (group.root, *group.seen))
        for entity, ids in _by_entity(needed):
            statement = text(statements.lock(entity))
            rows = self._connection.execute(statement, {"ids": array(ids)}).all()
            versions.update(((entity, id_), version) for id_, version in rows)
        return versions

    def _compare_versions(
        self, batch: list[WriteGroup], locked: dict[Key, int]
    ) -> tuple[list[WriteGroup], list[tuple[WriteGroup, str]], list[WriteGroup]]:
        """Return the ready groups, the stale ones with the reason, and the busy ones.

        locked: the version of every row that was locked. Stale: a row moved on, is gone, or was to
        be inserted and exists already. Busy: somebody else has locked a row.
        """
        missing = {key for g in batch for key in (g.root, *g.seen) if key not in locked}
        existing = self._existing(missing.union(*(group.births for group in batch)))
        ready, stale, busy = [], [], []
        for group in batch:
            rows = (group.root, *group.seen)
            gone = [k for k in group.seen if k not in locked and k not in existing]
            inserted = [k for k in sorted(group.births) if k in existing]
            moved = [k for k, v in group.seen.items() if k in locked and locked[k] != v]
            if moved:
                entity, id_ = moved[0]
                stale.append((group, f"{entity} {id_} is at version {locked[moved[0]]}"))
            elif inserted:
                stale.append((group, f"{inserted[0][0]} {inserted[0][1]} is there already"))
            elif gone:
                stale.append((group, f"{gone[0][0]} {gone[0][1]} is gone"))
            elif any(k not in locked and k in existing for k in rows):
                busy.append(group)
            else:
                ready.append(group)
        return ready, stale, busy

    def _existing(self, keys: set[Key]) -> set[Key]:
        """Return those of some rows that exist, locked by others or not."""
        existing: set[Key] = set()
        for entity, ids in _by_entity(keys):
            statement = text(statements.versions(entity))
            rows = self._connection.execute(statement, {"ids": array(ids)})
            existing.update((entity, id_) for id_, _ in rows)
        return existing

    def _without_repeats(
        self, stale: list[tuple[WriteGroup, str]]
    ) -> tuple[list[tuple[WriteGroup, str]], int]:
        """Return the groups that are really stale, and how many changes had been applied before.

        A decision keeps its id on every retry, so one that was applied earlier is no conflict.
        """
        if not stale:
            return stale, 0
        changes = [change for group, _ in stale for change in group.changes]
        rows = {
            "id": array([c.id for c in changes]),
            "version": array([c.version for c in changes]),
        }
        applied = {
            bytes(row[0]) for row in self._connection.execute(query("decisions_applied"), rows)
        }
        fresh = [(group, why) for group, why in stale if not applied.issuperset(group.ids)]
        return fresh, len(changes) - sum(len(group.changes) for group, _ in fresh)

    def _count(self, outcome: Outcome) -> None:
        """Add a batch to the ledger, as its last step.

        The update finds no row when the run is over: then a later run took the lock over, and this
        batch must not stand. Raises DatabaseUnavailable.
        """
        if self._run is None:
            return
        counts = {
            "run": self._run,
            "decided": outcome.decided,
            "applied": outcome.applied,
            "stale": len(outcome.stale),
            "already": outcome.already,
            "poison": outcome.poison,
        }
        if self._connection.execute(query("count_outcome"), counts).rowcount != 1:
            raise DatabaseUnavailable(
                "another run took over, since this one had lost its lock; its last batch is undone"
            )

    def _write_poison(self, group: WriteGroup, state: str) -> Outcome:
        """Record a group that the database refuses, without its rows; return its outcome."""
        outcome = Outcome(poison=len(group.changes))
        outcome.poisoned = [
            Stale(c.entity, c.id, c.version, f"SQLSTATE {state}") for c in group.changes
        ]
        with self._connection.begin():
            self._check_lock_held()
            statements_write.write_decisions(self._connection, self._run, [group], "POISON", state)
            self._count(outcome)
        return outcome

    def append(self, facts: Sequence[Fact]) -> None:
        """Insert the facts of a run in one transaction, while it still holds its lock."""
        fit_facts(facts)
        with self._connection.begin():
            self._check_lock_held()
            statements_write.write_facts(self._connection, self._run, facts)
            self._count(Outcome())

    def act(self, changes: Sequence[Change]) -> None:
        """Write an act's changes in the caller's transaction, which has locked the rows."""
        for change in changes:
            fit(change)
        self._describe_to_audit()
        group = WriteGroup(("delivery", 0), tuple(changes), ())
        statements_write.write_rows(self._connection, [group])
        statements_write.write_events(self._connection, None, [group])


def _by_entity(keys: Iterable[Key]) -> list[tuple[str, list[int]]]:
    """Return the ids of some rows by entity, entities in lock order, ids ascending."""
    ids: dict[str, set[int]] = defaultdict(set)
    for entity, id_ in keys:
        ids[entity].add(id_)
    return [(entity, sorted(ids[entity])) for entity in LOCK_ORDER if entity in ids]

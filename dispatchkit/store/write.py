"""The only writer. One transaction carries a batch of decisions whole: rows, decisions, outbox events, run counters.

The order of locks is the same everywhere: delivery, offer, driver, and the rest of LOCK_ORDER; ids ascending.
Audit rows come from the triggers, in the same transaction.
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
from dispatchkit.store import record, statements
from dispatchkit.store.connect import RETRIED, sqlstate
from dispatchkit.store.contract import Outcome, Stale
from dispatchkit.store.groups import Key, WriteGroup, batches, fit, fit_facts
from dispatchkit.store.statements import query

ROW_FAULTS = ("22", "23", "DK", "P0")  # SQLSTATE classes that one row can cause
TRIES, ROUNDS = 5, 3


class Clock:
    """Until when batches may begin: a monotonic instant, or a word from another worker that the run is over."""

    def __init__(self, end: float) -> None:
        self._end, self._stopped = end, False

    def stop(self) -> None:
        """Let no worker begin another batch."""
        self._stopped = True

    @property
    def over(self) -> bool:
        return self._stopped or time.monotonic() >= self._end


class Writer:
    """Writes the changes of one run (`run_id`) or of one act (None) on one connection.

    leader: the server process that holds the sweep's lock for a worker beside it; None: this connection's own.
    """

    def __init__(
        self, connection: Connection, sweep: str, run_id: str | None, leader: int | None = None
    ) -> None:
        self._on, self._sweep, self._run, self._leader = connection, sweep, run_id, leader

    def apply(self, left: Sequence[WriteGroup], batch: int, clock: Clock) -> Outcome:
        """Write all groups in batches of about `batch` changes; rows locked by others are tried again at the end.

        No batch begins once the clock is over; what is left then counts as busy, and the next run takes it up.
        """
        total = Outcome()
        for round_ in range(ROUNDS):
            busy: list[WriteGroup] = []
            for part in batches(left, batch):
                done, locked = (Outcome(), part) if clock.over else self._part(part)
                total.add(done)
                busy += locked
            left = busy
            if not left or round_ + 1 == ROUNDS or clock.over:
                break
            failpoint("busy retry")
            time.sleep(0.05 * (round_ + 1))
        total.busy = sum(len(group.changes) for group in left)
        return total

    def _part(self, part: list[WriteGroup]) -> tuple[Outcome, list[WriteGroup]]:
        """Write one batch; a batch that holds a bad row is halved down to it."""
        for attempt in range(TRIES):
            try:
                with self._on.begin():
                    done = self._transaction(part)
                failpoint("batch committed")
                return done
            except DBAPIError as fault:
                state = sqlstate(fault)
                if state in RETRIED and attempt + 1 < TRIES:
                    time.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311
                    continue
                if not state.startswith(ROW_FAULTS):
                    raise
                break
        if len(part) == 1:
            failpoint("poison")
            return self._poison(part[0], state), []
        failpoint("bisect")
        half = len(part) // 2
        first, busy = self._part(part[:half])
        second, more = self._part(part[half:])
        first.add(second)
        return first, busy + more

    def _transaction(self, part: list[WriteGroup]) -> tuple[Outcome, list[WriteGroup]]:
        failpoint("batch begin")
        self._fence()
        self._tell()
        locked = self._locked(part)
        failpoint("roots locked")
        ready, stale, busy = self._judge(part, locked)
        stale, already = self._already(stale)
        outcome = Outcome(applied=sum(len(g.changes) for g in ready), already=already)
        record.rows(self._on, ready)
        failpoint("rows written")
        outcome.stale = [
            Stale(c.entity, c.id, c.version, why) for g, why in stale for c in g.changes
        ]
        record.decisions(self._on, self._run, ready, "APPLIED")
        record.decisions(self._on, self._run, [group for group, _ in stale], "STALE")
        failpoint("decisions written")
        record.events(self._on, self._run, ready)
        failpoint("outbox written")
        self._count(outcome)
        failpoint("counters written")
        return outcome, busy

    def _fence(self) -> None:
        """Prove that the run still holds the sweep's lock: its leader, on the very connection that took it."""
        held = self._on.execute(
            query("hold_lock"), {"sweep": self._sweep, "leader": self._leader}
        ).scalar_one()
        if held != 1 and self._leader is not None:
            raise DatabaseUnavailable(
                "the connection that held the sweep's lock was lost; nothing more is written"
            )
        if held != 1:  # a transaction pooler would swap the connection unseen
            raise BadConfig(
                "the connection lost the sweep's lock: is a transaction pooler in between? Connect directly"
            )

    def _tell(self) -> None:
        self._on.execute(query("tell_audit"), {"run": self._run or "", "reason": self._sweep})

    def _locked(self, part: list[WriteGroup]) -> dict[Key, int]:
        """Lock every row the batch needs, in lock order, and return the versions found; busy rows are missing."""
        found: dict[Key, int] = {}
        for entity, ids in _by_entity(key for group in part for key in (group.root, *group.seen)):
            rows = self._on.execute(
                text(statements.lock(entity)), {"ids": statements.array(ids)}
            ).all()
            found.update([((entity, id_), version) for id_, version in rows])
        return found

    def _judge(
        self, part: list[WriteGroup], locked: dict[Key, int]
    ) -> tuple[list[WriteGroup], list[tuple[WriteGroup, str]], list[WriteGroup]]:
        """Part the groups into ready, stale (with the reason) and busy."""
        missing = {key for g in part for key in (g.root, *g.seen) if key not in locked}
        there = self._there(missing.union(*(g.births for g in part)))
        ready, stale, busy = [], [], []
        for group in part:
            if (
                group.root in locked
                and there.isdisjoint(group.births)
                and locked.items() >= group.seen.items()
            ):
                ready.append(group)
                continue
            gone = next((k for k in group.seen if k not in locked and k not in there), None)
            born = next((k for k in sorted(group.births) if k in there), None)
            moved = next((k for k, v in group.seen.items() if k in locked and locked[k] != v), None)
            if gone or born or moved:
                key = moved or born or gone
                assert key is not None
                what = (
                    f"is at version {locked.get(key, 0)}"
                    if moved
                    else "is there already"
                    if born
                    else "is gone"
                )
                stale.append((group, f"{key[0]} {key[1]} {what}"))
            elif any(k not in locked and k in there for k in (group.root, *group.seen)):
                busy.append(group)
            else:
                ready.append(group)
        return ready, stale, busy

    def _there(self, keys: set[Key]) -> set[Key]:
        """Return those of some rows that exist, locked by others or not."""
        found: set[Key] = set()
        for entity, ids in _by_entity(keys):
            rows = self._on.execute(
                text(statements.versions(entity)), {"ids": statements.array(ids)}
            )
            found.update((entity, id_) for id_, _ in rows)
        return found

    def _already(
        self, stale: list[tuple[WriteGroup, str]]
    ) -> tuple[list[tuple[WriteGroup, str]], int]:
        """Part what is really stale from repeats of decisions that were applied before; return the repeats' count."""
        if not stale:
            return stale, 0
        changes = [change for group, _ in stale for change in group.changes]
        rows = {"id": [c.id for c in changes], "version": [c.version for c in changes]}
        found = self._on.execute(
            query("decisions_applied"), {k: statements.array(v) for k, v in rows.items()}
        )
        done = {bytes(row[0]) for row in found}
        fresh = [(g, w) for g, w in stale if not done.issuperset(g.ids)]
        return fresh, sum(len(g.changes) for g, _ in stale) - sum(len(g.changes) for g, _ in fresh)

    def _count(self, outcome: Outcome) -> None:
        """Count a batch in the ledger, the last thing it does: the row's lock also proves that the run is not over."""
        if self._run is None:
            return
        counts = {
            "decided": outcome.decided,
            "applied": outcome.applied,
            "stale": len(outcome.stale),
        }
        counts |= {"already": outcome.already, "poison": outcome.poison}
        if self._on.execute(query("count_outcome"), counts | {"run": self._run}).rowcount != 1:
            raise DatabaseUnavailable(
                "another run took over, since this one had lost its lock; its last batch is undone"
            )

    def _poison(self, group: WriteGroup, state: str) -> Outcome:
        outcome = Outcome(poison=len(group.changes))
        outcome.poisoned = [
            Stale(c.entity, c.id, c.version, f"SQLSTATE {state}") for c in group.changes
        ]
        with self._on.begin():
            self._fence()
            record.decisions(self._on, self._run, [group], "POISON", state)
            self._count(outcome)
        return outcome

    def append(self, facts: Sequence[Fact]) -> None:
        """Insert the facts of a run in one transaction, while it still holds its lock."""
        fit_facts(facts)
        with self._on.begin():
            self._fence()
            record.facts(self._on, self._run, facts)
            self._count(Outcome())

    def act(self, changes: Sequence[Change]) -> None:
        """Write an act's changes inside the caller's transaction; its rows are locked already."""
        for change in changes:
            fit(change)
        self._tell()
        whole = WriteGroup(("delivery", 0), tuple(changes), ())
        record.rows(self._on, [whole])
        record.events(self._on, None, [whole])


def _by_entity(keys: Iterable[Key]) -> list[tuple[str, list[int]]]:
    """Return the ids of some rows by entity, in the order of locks, ids ascending."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for entity, id_ in keys:
        wanted[entity].add(id_)
    return [(entity, sorted(wanted[entity])) for entity in LOCK_ORDER if entity in wanted]

"""The only writer. One transaction carries a batch of decisions whole: rows, decisions, outbox events, run counters.

The order of locks is the same everywhere: delivery, offer, driver, and the rest of LOCK_ORDER; ids ascending.
Audit rows come from the triggers, in the same transaction.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from dispatchkit.kernel.change import Change, plain
from dispatchkit.kernel.errors import BadConfig, DispatchError
from dispatchkit.kernel.points import reached
from dispatchkit.kernel.tables import ENTITIES, LOCK_ORDER
from dispatchkit.store import statements
from dispatchkit.store.connect import RETRIED, sqlstate
from dispatchkit.store.contract import Outcome, Stale
from dispatchkit.store.groups import Group, Key, fit, groups
from dispatchkit.store.statements import query

ROW_FAULTS = ("22", "23", "DK", "P0")  # SQLSTATE classes that one row can cause
TRIES, ROUNDS = 5, 3


class Writer:
    """Writes the changes of one run (`run_id`) or of one act (None) on one connection."""

    def __init__(self, connection: Connection, sweep: str, run_id: str | None) -> None:
        self._on, self._sweep, self._run = connection, sweep, run_id

    def apply(self, changes: Sequence[Change], batch: int, deadline: timedelta | None = None) -> Outcome:
        """Write all changes in batches of about `batch`; rows locked by others are tried again at the end.

        No batch begins after the deadline; what is left then counts as busy, and the next run takes it up.
        """
        total, left = Outcome(), groups(changes, self._sweep)
        end = time.monotonic() + deadline.total_seconds() if deadline is not None else math.inf
        for round_ in range(ROUNDS):
            busy: list[Group] = []
            for part in _parts(left, batch):
                done, locked = self._part(part) if time.monotonic() < end else (Outcome(), part)
                total.add(done)
                busy += locked
            left = busy
            if not left or round_ + 1 == ROUNDS or time.monotonic() >= end:
                break
            reached("busy retry")
            time.sleep(0.05 * (round_ + 1))
        total.busy = sum(len(group.changes) for group in left)
        return total

    def _part(self, part: list[Group]) -> tuple[Outcome, list[Group]]:
        """Write one batch; a batch that holds a bad row is halved down to it."""
        for attempt in range(TRIES):
            try:
                with self._on.begin():
                    done = self._transaction(part)
                reached("batch committed")
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
            reached("poison")
            return self._poison(part[0], state), []
        reached("bisect")
        half = len(part) // 2
        first, busy = self._part(part[:half])
        second, more = self._part(part[half:])
        first.add(second)
        return first, busy + more

    def _transaction(self, part: list[Group]) -> tuple[Outcome, list[Group]]:
        reached("batch begin")
        self._fence()
        self._tell()
        locked = self._locked(part)
        reached("roots locked")
        ready, stale, busy = self._judge(part, locked)
        stale, already = self._already(stale)
        outcome = Outcome(applied=sum(len(g.changes) for g in ready), already=already)
        self._write(ready)
        reached("rows written")
        outcome.stale = [Stale(c.entity, c.id, c.version, why) for g, why in stale for c in g.changes]
        self._decisions(ready, "APPLIED")
        self._decisions([group for group, _ in stale], "STALE")
        reached("decisions written")
        self._outbox(ready)
        reached("outbox written")
        self._count(outcome)
        reached("counters written")
        return outcome, busy

    def _fence(self) -> None:
        """Prove that this very connection holds the sweep's lock (a transaction pooler would swap it unseen)."""
        held = self._on.execute(query("hold_lock"), {"sweep": self._sweep}).scalar_one()
        if held != 1:
            raise BadConfig(
                "the connection lost the sweep's lock: is a transaction pooler in between? Connect directly"
            )

    def _tell(self) -> None:
        self._on.execute(query("tell_audit"), {"run": self._run or "", "reason": self._sweep})

    def _locked(self, part: list[Group]) -> dict[Key, int]:
        """Lock every row the batch needs, in lock order, and return the versions found; busy rows are missing."""
        wanted: dict[str, set[int]] = defaultdict(set)
        for group in part:
            for entity, id_ in (group.root, *group.seen()):
                wanted[entity].add(id_)
        found: dict[Key, int] = {}
        for entity in LOCK_ORDER:
            if wanted[entity]:
                rows = self._on.execute(text(statements.lock(entity)), {"ids": sorted(wanted[entity])})
                found |= {(entity, id_): version for id_, version in rows}
        return found

    def _judge(
        self, part: list[Group], locked: dict[Key, int]
    ) -> tuple[list[Group], list[tuple[Group, str]], list[Group]]:
        """Part the groups into ready, stale (with the reason) and busy."""
        missing = {key for g in part for key in (g.root, *g.seen()) if key not in locked}
        there = self._there(missing | {key for g in part for key in g.births()})
        ready, stale, busy = [], [], []
        for group in part:
            seen = group.seen()
            gone = next((k for k in seen if k not in locked and k not in there), None)
            born = next((k for k in sorted(group.births()) if k in there), None)
            moved = next((k for k, v in seen.items() if k in locked and locked[k] != v), None)
            if gone or born or moved:
                key = moved or born or gone
                assert key is not None
                what = f"is at version {locked.get(key, 0)}" if moved else "is there already" if born else "is gone"
                stale.append((group, f"{key[0]} {key[1]} {what}"))
            elif any(k not in locked and k in there for k in (group.root, *seen)):
                busy.append(group)
            else:
                ready.append(group)
        return ready, stale, busy

    def _there(self, keys: set[Key]) -> set[Key]:
        found: set[Key] = set()
        for entity in LOCK_ORDER:
            ids = sorted(id_ for name, id_ in keys if name == entity)
            if ids:
                rows = self._on.execute(text(statements.versions(entity)), {"ids": ids})
                found |= {(entity, id_) for id_, _ in rows}
        return found

    def _already(self, stale: list[tuple[Group, str]]) -> tuple[list[tuple[Group, str]], int]:
        """Part what is really stale from repeats of decisions that were applied before; return the repeats' count."""
        if not stale:
            return stale, 0
        ids = [did for group, _ in stale for did in group.ids]
        done = {bytes(row[0]) for row in self._on.execute(query("decisions_applied"), {"ids": ids})}
        fresh = [(g, w) for g, w in stale if not done.issuperset(g.ids)]
        return fresh, sum(len(g.changes) for g, _ in stale) - sum(len(g.changes) for g, _ in fresh)

    def _write(self, ready: list[Group]) -> None:
        """Write step by step: the first change of every group, then the second, ...; updates before births."""
        for step in range(max((len(g.changes) for g in ready), default=0)):
            shapes: dict[statements.Shape, list[Change]] = defaultdict(list)
            for group in ready:
                if step < len(group.changes):
                    change = group.changes[step]
                    shapes[change.entity, change.version == 0, tuple(sorted(change.after))].append(change)
            for shape in sorted(shapes, key=lambda s: (s[1], LOCK_ORDER.index(s[0]), s[2])):
                self._shape(shape, shapes[shape])

    def _shape(self, shape: statements.Shape, changes: list[Change]) -> None:
        arrays: dict[str, list[Any]] = {name: [c.after[name] for c in changes] for name in shape[2]}
        arrays["id"] = [c.id for c in changes]
        if not shape[1]:
            arrays["version"] = [c.version for c in changes]
        written = self._on.execute(text(statements.apply(shape)), arrays).rowcount
        if written != len(changes):
            raise DispatchError(f"{ENTITIES[shape[0]]}: {written} of {len(changes)} locked rows written; rolled back")

    def _decisions(self, decided: list[Group], outcome: str, state: str | None = None) -> None:
        if not decided or self._run is None:
            return
        changes = [change for group in decided for change in group.changes]
        arrays: dict[str, Any] = {
            "did": [did for group in decided for did in group.ids],
            "entity": [c.entity for c in changes],
            "id": [c.id for c in changes],
            "version": [c.version for c in changes],
            "event": [c.event for c in changes],
            "reason": [c.reason for c in changes],
            "outcome": [outcome] * len(changes),
            "sqlstate": [state] * len(changes),
            "why": [_json(c.why) for c in changes],
        }
        self._on.execute(query("write_decisions"), arrays | {"run": self._run})

    def _outbox(self, done: list[Group]) -> None:
        changes = [change for group in done for change in group.changes]
        if not changes:
            return
        ids = [did for group in done for did in group.ids] if self._run else [None] * len(changes)
        arrays: dict[str, Any] = {
            "event": [c.event for c in changes],
            "root": [c.root[0] for c in changes],
            "root_id": [c.root[1] for c in changes],
            "id": [c.id for c in changes],
            "did": ids,
            "payload": [_json({f"{c.entity}Id": c.id, **c.payload}) for c in changes],
        }
        self._on.execute(query("write_outbox"), arrays)

    def _count(self, outcome: Outcome) -> None:
        if self._run is None:
            return
        counts = {"decided": outcome.decided, "applied": outcome.applied, "stale": len(outcome.stale)}
        counts |= {"already": outcome.already, "poison": outcome.poison}
        self._on.execute(query("count_outcome"), counts | {"run": self._run})

    def _poison(self, group: Group, state: str) -> Outcome:
        outcome = Outcome(poison=len(group.changes))
        outcome.poisoned = [Stale(c.entity, c.id, c.version, f"SQLSTATE {state}") for c in group.changes]
        with self._on.begin():
            self._fence()
            self._decisions([group], "POISON", state)
            self._count(outcome)
        return outcome

    def act(self, changes: Sequence[Change]) -> None:
        """Write an act's changes inside the caller's transaction; its rows are locked already."""
        for change in changes:
            fit(change)
        self._tell()
        whole = Group(("delivery", 0), tuple(changes), ())
        self._write([whole])
        self._outbox([whole])


def _json(value: Any) -> str | None:
    return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False) if value else None


def _parts(left: list[Group], batch: int) -> Iterator[list[Group]]:
    """Yield batches; a group that sees a row which the batch writes begins the next, judged on what is left."""
    part: list[Group] = []
    size, written = 0, set[Key]()
    for group in left:
        seen = group.seen().keys() | group.births()
        if part and (size + len(group.changes) > batch or not written.isdisjoint(seen)):
            yield part
            part, size, written = [], 0, set()
        part.append(group)
        size += len(group.changes)
        written |= {(change.entity, change.id) for change in group.changes}
    if part:
        yield part

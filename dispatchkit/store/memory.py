"""The in-memory store for replay and tests: it refuses what Postgres refuses, by the same rules."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

import polars as pl

from dispatchkit.domain.changes import Change, Fact, Value
from dispatchkit.domain.tables import ENTITIES, TABLES
from dispatchkit.kernel.errors import IllegalTransition, TryLater, Usage
from dispatchkit.kernel.sql import bind
from dispatchkit.store import rules
from dispatchkit.store.contract import Acting, Args, Outcome, Run, RunRequest, Stale, ping_id
from dispatchkit.store.groups import WriteGroup, fit, fit_facts, groups
from dispatchkit.store.rules import EXCLUSIONS, Row, RuleViolation

# What an insert writes in columns that it does not name; the same values as in the migrations.
DEFAULTS: Mapping[str, Mapping[str, Value]] = {
    "drivers": {"max_stack": 2, "timeouts": 0},
    "deliveries": {"episode": 1, "attempt": 0, "priority": 0, "driver_unknown": False},
    "driver_offers": {"state": "PENDING", "boost_cents": 0, "late": False},
    "unassigned_orders": {"level": 0, "reminders": 0},
}


class MemoryStore:
    """Each table as a frame, for queries, and as rows by id, for the rules.

    Rows are read from the frame when a table's rows are first needed. Written rows go into the
    frame when the table is read next.
    """

    now_given, until = True, math.inf

    def __init__(self, tables: Mapping[str, pl.DataFrame], now: datetime) -> None:
        self.now = now
        self._frames = {
            name: tables.get(name, pl.DataFrame(schema=_types(name)))
            .select(pl.col(column).cast(dtype) for column, dtype in _types(name).items())
            .sort("id")
            for name in TABLES
        }
        self.rows = _Rows(self._frames)
        self._written: dict[str, set[int]] = {name: set() for name in TABLES}
        self._taken: dict[str, dict[tuple[Any, ...], set[int]]] = {}
        for rule in EXCLUSIONS:
            self._taken[rule.name] = defaultdict(set)
            for id_, row in self.rows[rule.table].items():
                if key := rule.key_of(row):
                    self._taken[rule.name][key].add(id_)
        self._pings = set(self._frames["driver_locations"].select("driver_id", "at").iter_rows())
        self.events: list[Row] = []  # the outbox
        self.refusals: list[Row] = []
        self.runs: list[Row] = []
        self.fact_runs: dict[tuple[str, int], str] = {}  # (table, id of a fact) -> run
        self._applied: set[bytes] = set()
        self._locked: set[str] = set()

    def clock(self) -> datetime:
        """Return the simulated instant."""
        return self.now

    @property
    def trail(self) -> NoReturn:
        """Raise Usage: there is none."""
        raise Usage("the in-memory store keeps no audit trail")

    @property
    def privacy(self) -> NoReturn:
        """Raise Usage: there is none."""
        raise Usage("the in-memory store keeps no personal data")

    @property
    def outbox(self) -> NoReturn:
        """Raise Usage: there is none."""
        raise Usage("only a database has an outbox to send from")

    def frame(self, table: str) -> pl.DataFrame:
        """Return a whole table as a frame, rows by ascending id."""
        written = self._written[table]
        if written:
            rows = self.rows[table]
            new = [rows[id_] for id_ in sorted(written) if id_ in rows]
            kept = self._frames[table].filter(~pl.col("id").is_in(list(written)))
            self._frames[table] = kept.merge_sorted(pl.DataFrame(new, _types(table)), "id")
            written.clear()
        return self._frames[table]

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        """Return each query's frame; the SQL is the one Postgres runs."""
        plans = self.plan(queries, args)
        return dict(zip(plans, pl.collect_all(list(plans.values())), strict=True))

    def plan(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.LazyFrame]:
        """Return each query as a plan over the frames of the tables that the queries name."""
        tables = set[str]().union(*map(_tables_named, queries.values()))
        context = pl.SQLContext({name: self.frame(name) for name in sorted(tables)})
        return {name: context.execute(bind(query, args)) for name, query in queries.items()}

    @contextmanager
    def sweeping(self, request: RunRequest) -> Iterator[Run | None]:
        """Yield a Run, or None if the slot is done. Raises TryLater while the same sweep runs."""
        if request.sweep in self._locked:
            raise TryLater(f"another run of sweep {request.sweep} is in progress")
        done = any(
            r["sweep"] == request.sweep and r["slot"] == request.slot and r["status"] == "OK"
            for r in self.runs
        )
        if request.slot is not None and done:
            yield None
            return
        self._locked.add(request.sweep)
        entry: Row = {
            "sweep": request.sweep,
            "slot": request.slot,
            "status": "FAILED",
            "as_of": self.now,
        }
        try:
            run = _MemoryRun(self, request, str(len(self.runs) + 1))
            self.runs.append(entry)
            yield run
            entry["status"] = "OK"
        finally:
            self._locked.discard(request.sweep)

    @contextmanager
    def acting(
        self, root: tuple[str, int], *, drivers: Sequence[int], actor: str
    ) -> Iterator[Acting]:
        """Yield an Acting; nothing else runs meanwhile, so there is nothing to lock."""
        yield _MemoryActing(self, actor)

    def ping(self, driver: int, at: datetime, lat: float, lon: float) -> bool:
        """Store a driver's position; return False if there is one of that driver and instant."""
        if (driver, at) in self._pings:
            return False
        self._pings.add((driver, at))
        row: Row = {
            "id": ping_id(driver, at),
            "driver_id": driver,
            "at": at,
            "lat": lat,
            "lon": lon,
        }
        self.put("driver_locations", row["id"], row)
        return True

    def commit(self, sweep: str, changes: Sequence[Change], decided: bool) -> None:
        """Write one group whole, or raise RuleViolation or IllegalTransition and write nothing."""
        undo: list[tuple[str, int, Row | None]] = []
        try:
            for change in changes:
                table = ENTITIES[change.entity]
                undo.append((table, change.id, self.rows[table].get(change.id)))
                self._write(table, change)
            for change, (_, _, old) in zip(changes, undo, strict=True):
                for offer in self._offers_to_check(change):
                    rules.check_accepted_offer(self.rows["driver_offers"][offer], self.rows)
                if change.entity == "delivery":
                    rules.check_assignment(self.rows["deliveries"][change.id], old, self.rows)
        except (RuleViolation, IllegalTransition):
            for table, id_, row in reversed(undo):
                self.put(table, id_, row)
            raise
        for change in changes:
            decision_id = change.decision_id(sweep) if decided else None
            if decision_id:
                self._applied.add(decision_id)
            payload = change.event_payload()
            self.events.append(
                {
                    "event": change.event,
                    "root": change.root,
                    "payload": payload,
                    "decision_id": decision_id,
                }
            )

    def append(self, run_id: str, facts: Sequence[Fact]) -> None:
        """Insert the facts of a run, all of them or, on a RuleViolation, none."""
        fit_facts(facts)
        new: dict[tuple[str, int], Row] = {}
        for fact in facts:
            row: Row = dict.fromkeys(TABLES[fact.table].columns()) | dict(fact.values)
            if row["id"] not in self.rows[fact.table]:
                rules.check_row(fact.table, row, None, self.rows, self.now)
                new.setdefault((fact.table, row["id"]), row)
        for (table, id_), row in new.items():
            self.put(table, id_, row)
            self.fact_runs[table, id_] = run_id

    def _offers_to_check(self, change: Change) -> Iterable[int]:
        """Return the offers that may no longer agree with their delivery after a change."""
        if change.entity == "offer" and "state" in change.after:
            return (change.id,)
        if change.entity == "delivery" and not {"driver_id", "episode"}.isdisjoint(change.after):
            return self._taken["offer_one_accepted"][
                change.id, self.rows["deliveries"][change.id]["episode"]
            ]
        return ()

    def _write(self, table: str, change: Change) -> None:
        old = self.rows[table].get(change.id)
        if (old["version"] if old else 0) != change.version:
            raise RuleViolation(f"{table} {change.id} is not at version {change.version}")
        blank: Row = dict.fromkeys(_types(table)) | dict(DEFAULTS.get(table, {}))
        row = (old or blank) | dict(change.after) | {"id": change.id, "version": change.version + 1}
        rules.check_row(table, row, old, self.rows, self.now)
        self.put(table, change.id, row)
        for rule in EXCLUSIONS:
            key = rule.key_of(row) if rule.table == table else None
            for other in self._taken[rule.name][key] if key else ():
                if other != change.id and rule.clash(row, self.rows[table][other]):
                    raise RuleViolation(f"{table} {change.id}: {rule.name}, taken by {other}")

    def put(self, table: str, id_: int, row: Row | None) -> None:
        """Set or remove a row (None) without checking the rules."""
        old = self.rows[table].pop(id_, None)
        if row is not None:
            self.rows[table][id_] = row
        self._written[table].add(id_)
        for rule in EXCLUSIONS:
            if rule.table == table:
                if old and (old_key := rule.key_of(old)):
                    self._taken[rule.name][old_key].discard(id_)
                if row and (key := rule.key_of(row)):
                    self._taken[rule.name][key].add(id_)

    def find_stale(self, group: WriteGroup) -> Stale | None:
        """Return the first row that is no longer as the group saw it, or None."""
        for (entity, id_), version in group.seen.items():
            row = self.rows[ENTITIES[entity]].get(id_)
            if row is None:
                return Stale(entity, id_, version, f"{entity} {id_} is gone")
            if row["version"] != version:
                return Stale(entity, id_, version, f"{entity} {id_} is at version {row['version']}")
        for entity, id_ in sorted(group.births):
            if id_ in self.rows[ENTITIES[entity]]:
                return Stale(entity, id_, 0, f"{entity} {id_} is there already")
        return None

    def is_applied(self, group: WriteGroup) -> bool:
        """Return whether every decision of a group was applied before."""
        return self._applied.issuperset(group.ids)


class _Rows(dict[str, dict[int, Row]]):
    """Table -> id -> row, read from the frame on first use: most tables are never written."""

    def __init__(self, frames: Mapping[str, pl.DataFrame]) -> None:
        self._frames = frames

    def __missing__(self, table: str) -> dict[int, Row]:
        self[table] = {row["id"]: row for row in self._frames[table].iter_rows(named=True)}
        return self[table]


@lru_cache
def _types(table: str) -> dict[str, pl.DataType]:
    """Return column -> type of a table's contract."""
    return {name: column.dtype for name, column in TABLES[table].columns().items()}


@lru_cache(maxsize=1024)
def _tables_named(query: str) -> set[str]:
    """Return the tables whose names are words of a query: those that it may read."""
    return TABLES.keys() & set(re.findall(r"\w+", query))


class _MemoryRun:
    def __init__(self, store: MemoryStore, request: RunRequest, id_: str) -> None:
        self._store, self._sweep, self.id, self.now = store, request.sweep, id_, store.now

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        return self._store.read(queries, args)

    def apply(
        self,
        changes: Sequence[Change],
        *,
        inputs_sha256: str,
        facts: Sequence[Fact] = (),
        held: int = 0,
        left: int = 0,
    ) -> Outcome:
        outcome = Outcome(busy=left)
        for group in groups(changes, self._sweep):
            stale = self._store.find_stale(group)
            if stale and self._store.is_applied(group):
                outcome.already += len(group.changes)
            elif stale:
                outcome.stale += [
                    Stale(c.entity, c.id, c.version, stale.why) for c in group.changes
                ]
            else:
                try:
                    self._store.commit(self._sweep, group.changes, decided=True)
                    outcome.applied += len(group.changes)
                except (RuleViolation, IllegalTransition) as fault:
                    outcome.poison += len(group.changes)
                    outcome.poisoned += [
                        Stale(c.entity, c.id, c.version, str(fault)) for c in group.changes
                    ]
        self._store.append(self.id, facts)
        return outcome


class _MemoryActing:
    def __init__(self, store: MemoryStore, actor: str) -> None:
        self._store, self._actor, self.now = store, actor, store.now

    def read(self, queries: Mapping[str, tuple[str, str]], args: Args) -> dict[str, pl.DataFrame]:
        plans = self._store.plan({name: query for name, (_, query) in queries.items()}, args)
        typed = [
            plans[name].select(list(_types(table))).sort("id")
            for name, (table, _) in queries.items()
        ]
        return dict(zip(queries, pl.collect_all(typed), strict=True))

    def write(self, changes: Sequence[Change], *, reason: str = "act") -> None:
        for change in changes:
            fit(change)
        self._store.commit("act", changes, decided=False)

    def refuse(
        self,
        event: str,
        root: tuple[str, int],
        code: str,
        *,
        was: str | None = None,
        offer_id: int | None = None,
    ) -> None:
        refusal = {
            "actor": self._actor,
            "event": event,
            "root": root,
            "code": code,
            "was": was,
            "offer_id": offer_id,
        }
        self._store.refusals.append(refusal)

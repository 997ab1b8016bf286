"""The same contract in memory, for replay and tests. It refuses what Postgres refuses, by the same rules' names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from dispatchkit.kernel.change import Change
from dispatchkit.kernel.errors import DispatchError, IllegalTransition, TryLater
from dispatchkit.kernel.machine import BIRTH
from dispatchkit.kernel.sql import bind
from dispatchkit.kernel.states import ACTIVE, CASE_OPEN, CASE_SUSPECT, MACHINES, OPEN, WITH_DRIVER
from dispatchkit.kernel.tables import ENTITIES, TABLES
from dispatchkit.store.contract import Acting, Args, Outcome, Run, Stale, Ticket
from dispatchkit.store.write import Group, groups

Row = dict[str, Any]
_MACHINES = {machine.table: machine for machine in MACHINES}
ONE_A_DELIVERY = (  # as the partial unique indexes have it
    ("unassigned_orders", frozenset({"OPEN"})),
    ("reassignment_cases", CASE_SUSPECT),
    ("reassignment_cases", CASE_OPEN - CASE_SUSPECT),
)
_STATE = {"drivers": "duty", "driver_availability_history": "duty"}


class Violation(DispatchError):
    """A rule of the database was broken."""


class MemoryStore:
    """Rows as dictionaries by table and id; frames are made when asked for."""

    def __init__(self, tables: Mapping[str, pl.DataFrame], now: datetime) -> None:
        self.now = now
        self.rows: dict[str, dict[int, Row]] = {name: {} for name in TABLES}
        for name, frame in tables.items():
            self.rows[name] = {row["id"]: row for row in frame.iter_rows(named=True)}
        self.events: list[Row] = []  # the outbox
        self.refusals: list[Row] = []
        self.runs: list[Row] = []
        self._applied: set[bytes] = set()
        self._locked: set[str] = set()

    def clock(self) -> datetime:
        """Return the simulated instant."""
        return self.now

    def frame(self, table: str) -> pl.DataFrame:
        """Return a whole table as a frame of its contract, rows in ascending id."""
        dtypes = {name: column.dtype for name, column in TABLES[table].columns().items()}
        rows = self.rows[table]
        return pl.DataFrame([rows[key] for key in sorted(rows)], schema=dtypes)

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        """Return each query's frame; the SQL is the one Postgres runs."""
        context = pl.SQLContext({name: self.frame(name) for name in TABLES}, eager=True)
        return {name: context.execute(bind(query, args)) for name, query in queries.items()}

    @contextmanager
    def sweeping(self, ticket: Ticket) -> Iterator[Run | None]:
        """Yield a Run, or None if the slot is done. Raises TryLater while the same sweep is under way."""
        if ticket.sweep in self._locked:
            raise TryLater(f"another run of sweep {ticket.sweep} is at work")
        done = any(r["sweep"] == ticket.sweep and r["slot"] == ticket.slot and r["status"] == "OK" for r in self.runs)
        if ticket.slot is not None and done:
            yield None
            return
        self._locked.add(ticket.sweep)
        entry: Row = {"sweep": ticket.sweep, "slot": ticket.slot, "status": "FAILED", "as_of": self.now}
        try:
            run = _MemoryRun(self, ticket, str(len(self.runs) + 1))
            self.runs.append(entry)
            yield run
            entry["status"] = "OK"
        finally:
            self._locked.discard(ticket.sweep)

    @contextmanager
    def acting(self, root: tuple[str, int], *, drivers: Sequence[int], actor: str) -> Iterator[Acting]:
        """Yield an Acting; nothing else runs meanwhile, so there is nothing to lock."""
        yield _MemoryActing(self, actor)

    def commit(self, sweep: str, changes: Sequence[Change], decided: bool) -> None:
        """Write one group whole, or raise Violation and write nothing."""
        entities = {ENTITIES[c.entity] for c in changes}
        before = {name: dict(self.rows[name]) for name in entities}
        try:
            for change in changes:
                self._write(change)
            for change in changes:
                self._pair(change)
        except (Violation, IllegalTransition):
            self.rows.update(before)
            raise
        for change in changes:
            did = change.decision_id(sweep) if decided else None
            if did:
                self._applied.add(did)
            payload = {f"{change.entity}Id": change.id, **change.payload}
            self.events.append({"event": change.event, "root": change.root, "payload": payload, "decision_id": did})

    def _write(self, change: Change) -> None:
        table = ENTITIES[change.entity]
        old = self.rows[table].get(change.id)
        if (old["version"] if old else 0) != change.version:
            raise Violation(f"{table} {change.id} is not at version {change.version}")
        blank: Row = dict.fromkeys(TABLES[table].columns())
        if table == "deliveries":
            blank |= {"episode": 1, "attempt": 0, "priority": 0, "driver_unknown": False}
        if table == "driver_offers":
            blank |= {"late": False}
        if table == "unassigned_orders":
            blank |= {"level": 0}
        row = (deepcopy(old) if old else blank) | dict(change.after) | {"id": change.id, "version": change.version + 1}
        column = _STATE.get(table, "state")
        machine = _MACHINES.get(table)
        was = old[column] if old else BIRTH
        if machine and was != row[column]:
            machine.step(was, row[column])
        self._check(table, row, born=old is None)
        self.rows[table][change.id] = row

    def _check(self, table: str, row: Row, *, born: bool) -> None:
        others = [r for r in self.rows[table].values() if r["id"] != row["id"]]
        if table == "deliveries":
            if (row["driver_id"] is not None) != (row["state"] in WITH_DRIVER and not row["driver_unknown"]):
                raise Violation("driver_when_carried")
            if row["state"] in ACTIVE and row["slot"] is None:
                raise Violation("active_has_slot")
            if row["state"] in ACTIVE and any(
                r["state"] in ACTIVE and (r["driver_id"], r["slot"]) == (row["driver_id"], row["slot"]) for r in others
            ):
                raise Violation("delivery_one_per_slot")
        if table == "driver_offers":
            self._check_offer(row, others, born=born)
        for name, exclusive in ONE_A_DELIVERY:
            rivals = [r for r in others if r["state"] in exclusive] if table == name else []
            if row.get("state") in exclusive and any(r["delivery_id"] == row["delivery_id"] for r in rivals):
                raise Violation(f"{name}: one of {', '.join(sorted(exclusive))} for each delivery")

    def _check_offer(self, row: Row, others: list[Row], *, born: bool) -> None:
        delivery = self.rows["deliveries"].get(row["delivery_id"])
        if born and (not delivery or delivery["state"] not in OPEN or delivery["episode"] != row["episode"]):
            raise Violation("delivery takes no offers now")
        if (row["state"] == "PENDING") != (row["responded_at"] is None):
            raise Violation("offer_answered_iff_ended")
        if row["state"] == "ACCEPTED" and row["responded_at"] >= row["hard_deadline"]:
            raise Violation("offer_accepted_in_time")
        if row["state"] == "EXPIRED" and row["responded_at"] < row["hard_deadline"]:
            raise Violation("offer_expired_after_deadline")
        if row["state"] == "PENDING" and any(
            r["state"] == "PENDING" and r["driver_id"] == row["driver_id"] for r in others
        ):
            raise Violation("offer_one_pending")
        same = (row["delivery_id"], row["episode"])
        if row["state"] == "ACCEPTED" and any(
            r["state"] == "ACCEPTED" and (r["delivery_id"], r["episode"]) == same for r in others
        ):
            raise Violation("offer_one_accepted")

    def _pair(self, change: Change) -> None:
        if change.entity != "offer":
            return
        offer = self.rows["driver_offers"][change.id]
        delivery = self.rows["deliveries"][offer["delivery_id"]]
        in_force = offer["state"] == "ACCEPTED" and delivery["episode"] == offer["episode"]
        if in_force and delivery["driver_id"] != offer["driver_id"]:
            raise Violation("offer is accepted but its delivery is not with that driver")

    def judge(self, group: Group) -> Stale | None:
        """Return why a group is stale, or None if every row is at the version it was seen at."""
        for (entity, id_), version in group.seen().items():
            row = self.rows[ENTITIES[entity]].get(id_)
            if row is None:
                return Stale(entity, id_, version, f"{entity} {id_} is gone")
            if row["version"] != version:
                return Stale(entity, id_, version, f"{entity} {id_} is at version {row['version']}")
        for entity, id_ in sorted(group.births()):
            if id_ in self.rows[ENTITIES[entity]]:
                return Stale(entity, id_, 0, f"{entity} {id_} is there already")
        return None

    def applied(self, group: Group) -> bool:
        """Return whether every decision of a group was applied before."""
        return self._applied.issuperset(group.ids)


class _MemoryRun:
    def __init__(self, store: MemoryStore, ticket: Ticket, id_: str) -> None:
        self._store, self._sweep, self.id, self.now = store, ticket.sweep, id_, store.now

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        return self._store.read(queries, args)

    def apply(
        self, changes: Sequence[Change], *, inputs_sha256: str, held: int = 0, deadline: timedelta | None = None
    ) -> Outcome:
        outcome = Outcome()
        for group in groups(changes, self._sweep):
            stale = self._store.judge(group)
            if stale and self._store.applied(group):
                outcome.already += len(group.changes)
            elif stale:
                outcome.stale += [Stale(c.entity, c.id, c.version, stale.why) for c in group.changes]
            else:
                try:
                    self._store.commit(self._sweep, group.changes, decided=True)
                    outcome.applied += len(group.changes)
                except (Violation, IllegalTransition) as fault:
                    outcome.poison += len(group.changes)
                    outcome.poisoned += [Stale(c.entity, c.id, c.version, str(fault)) for c in group.changes]
        return outcome


class _MemoryActing:
    def __init__(self, store: MemoryStore, actor: str) -> None:
        self._store, self._actor, self.now = store, actor, store.now

    def read(self, queries: Mapping[str, tuple[str, str]], args: Args) -> dict[str, pl.DataFrame]:
        found = self._store.read({name: query for name, (_, query) in queries.items()}, args)
        return {
            name: found[name].select(list(TABLES[table].columns())).sort("id") for name, (table, _) in queries.items()
        }

    def write(self, changes: Sequence[Change], *, reason: str = "act") -> None:
        self._store.commit("act", changes, decided=False)

    def refuse(self, event: str, root: tuple[str, int], code: str) -> None:
        self._store.refusals.append({"actor": self._actor, "event": event, "root": root, "code": code})

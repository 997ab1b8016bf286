"""A small operation in the memory store and in Postgres; both get the same events."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg.rows import dict_row

from dispatchkit.config import Settings
from dispatchkit.domain.feature import Event
from dispatchkit.domain.tables import ENTITIES, TABLES
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.act import act
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.store import intake
from dispatchkit.store.check import checks
from dispatchkit.store.memory import MemoryStore
from dispatchkit.store.postgres import PostgresStore
from tests import counts, databases
from tests.builders import NOW, a_delivery, a_driver, at_place, minutes, tables
from tests.property.attacks import ATTACKS

DRIVERS = {1: (0, 0), 2: (200, 0), 3: (400, 0), 4: (600, 0)}  # id -> metres from the square
MOST = {1: 2, 2: 1, 3: 2, 4: 2}  # deliveries that a driver may hold
ORDERS = {
    n: None if n % 2 else minutes(11) for n in range(1, 7)
}  # id -> goods ready so long from the beginning
CHEAP = (
    "I1",
    "I2",
    "I3",
    "I11",
    "I12",
    "I18",
    "I19",
    "I20",
)  # of the invariants, those asked after each step
Row = dict[str, Any]


@cache
def settings(mode: str) -> Settings:
    """Return the settings that are shipped, but for how drivers are asked."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "mode.toml"
        file.write_text(f'[offers]\nmode = "{mode}"\n')
        return catalog.settings([file])


class BothStores:
    """Four drivers and six orders in both stores, and the current instant."""

    def __init__(self) -> None:
        self.now, self.mode = NOW, "cascade"
        self._open = ExitStack()
        orders = [
            row
            for n in ORDERS
            for row in a_delivery(n, ready_in=ORDERS[n])
            if row.table in ("orders", "merchants")
        ]
        people = (a_driver(id, at=place, max_stack=MOST[id]) for id, place in DRIVERS.items())
        frames = tables(*people, orders)
        self._made = self._open.enter_context(databases.fresh("empty"))
        intake.insert(self._made, frames)
        url = databases.url(self._made)
        self._on = self._open.enter_context(
            psycopg.connect(url, autocommit=True, row_factory=dict_row)
        )
        self._raw = self._open.enter_context(psycopg.connect(url))
        self._memory = MemoryStore(frames, NOW)

    def close(self) -> None:
        """Drop the database; every invariant must hold."""
        self._open.close()

    def go_to(self, instant: datetime) -> None:
        """Let time pass; every phone sends its position."""
        if instant <= self.now:
            return
        self.now = self._memory.now = instant
        for driver, place in DRIVERS.items():
            lat, lon = at_place(place)
            id = len(self._memory.rows["driver_locations"]) + 1
            ping = {"id": id, "driver_id": driver, "at": instant, "lat": lat, "lon": lon}
            self._memory.put("driver_locations", id, ping)
            self._on.execute(
                "INSERT INTO dk.driver_locations VALUES (%(id)s, %(driver_id)s, %(at)s, %(lat)s, "
                "%(lon)s)",
                ping,
            )

    def act(self, name: str, **said: Any) -> tuple[str, Sequence[Any]]:
        """Return the code and the changes of an act, the same from both stores."""
        event = Event(name=name, **said)
        theirs = act(PostgresStore(self._made, now=self.now), settings(self.mode), event).answer
        ours = act(self._memory, settings(self.mode), event).answer
        assert (ours.code, ours.refused, len(ours.changes)) == (
            theirs.code,
            theirs.refused,
            len(theirs.changes),
        )
        return theirs.code, theirs.changes

    def sweep(self, name: str) -> None:
        """Run a sweep on both stores: all that is decided applies."""
        for store in (PostgresStore(self._made, now=self.now), self._memory):
            done = sweep(store, settings(self.mode), name, Options())
            assert (done.outcome.applied, done.outcome.stale, done.outcome.poisoned) == (
                len(done.changes),
                [],
                [],
            )

    def attack(self, what: str) -> None:
        """Run raw SQL as the application's role; it must be refused by name or find no victim."""
        statement, state = ATTACKS[what]
        try:
            self._raw.execute("SET LOCAL ROLE dk_app")
            victims = self._raw.execute(statement.encode()).rowcount
            self._raw.commit()
            assert victims == 0, f"who {what} is not refused"
        except psycopg.Error as fault:
            self._raw.rollback()
            assert fault.sqlstate == state, f"{what}: {fault}"
            counts.add("attacks refused")

    def rows(self, table: str) -> dict[int, Row]:
        """Return a table of Postgres by id."""
        listed = ", ".join(TABLES[table].columns())
        found = self._on.execute(f"SELECT {listed} FROM dk.{table} ORDER BY id".encode())
        return {row["id"]: row for row in found}

    def agree(self) -> None:
        """Assert that both stores hold the same rows, events and refusals, and that invariants
        hold.
        """
        for table in ENTITIES.values():
            assert self.rows(table) == self._memory.rows[table], table
        counts = "SELECT (SELECT count(*) FROM dk.outbox) e, (SELECT count(*) FROM dk.refusals) r"
        left = self._on.execute(counts.encode()).fetchone()
        assert left == {"e": len(self._memory.events), "r": len(self._memory.refusals)}
        asked = ", ".join(
            f'({check.sql}) AS "{check.name}"' for check in checks() if check.name in CHEAP
        )
        found = self._on.execute(f"SELECT {asked}".encode()).fetchone()
        assert found is not None and not any(found.values()), found

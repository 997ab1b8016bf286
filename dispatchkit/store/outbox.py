"""The outbox as a sender sees it: what it has not got yet, and marks for what has left.

There is no cursor: what is unsent is asked for anew, so an event that commits late is found however low its id. Events
of one root come in their order, because whoever writes them holds the root's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, TextClause, text

from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import BadConfig, TryLater
from dispatchkit.kernel.sql import parse
from dispatchkit.store import connect
from dispatchkit.store.postgres import PostgresStore, release_lock
from dispatchkit.store.statements import query

SQL = parse(Path(__file__).with_name("outbox.sql").read_text("utf-8"))
SETTLED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Unsent:
    """One event that a sender has not got. The flags are judged by the database clock; see `unsent` in outbox.sql.

    offer_id, driver_id: the offer it tells of, if a phone is waiting for it.
    """

    id: int
    event: str
    root: tuple[str, int]
    key: str
    payload: Mapping[str, Any]
    at: datetime
    attempts: int
    wanted: bool
    due: bool
    spent: bool
    offer_id: int | None
    driver_id: int | None
    stale: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """What became of one event: DELIVERED, REFUSED, FAILED, or WAITING for so long."""

    id: int
    key: str
    state: str
    wait: timedelta = timedelta()
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """Who takes events: its name, the patterns of what it wants (`offer_*`), and whether phones wait behind it."""

    name: str
    events: tuple[str, ...]
    push: bool = False

    @property
    def patterns(self) -> list[str]:
        """Return the patterns as SQL's LIKE understands them."""
        return [pattern.replace("_", r"\_").replace("*", "%") for pattern in self.events]


class Outbox:
    """One sender's outbox, on a connection that alone serves this sender."""

    def __init__(
        self, connection: Connection, taker: Taker, give_up: timedelta, push_ack: timedelta
    ) -> None:
        self._connection, self._taker = connection, taker
        self._args = {"sender": taker.name, "push": taker.push, "push_ack": push_ack}
        self._give_up = give_up

    def unsent(self, after: int, limit: int) -> list[Unsent]:
        """Return the next open events past an id, lowest first, wanted or not; fewer than `limit` are the last."""
        asked = self._args | {
            "wanted": self._taker.patterns,
            "give_up": self._give_up,
            "after": after,
            "limit": limit,
        }
        with self._connection.begin():
            rows = self._connection.execute(_statement("unsent"), asked).all()
        return [
            Unsent(
                row.id,
                row.event,
                (row.root, row.root_id),
                row.decision or f"outbox-{row.id}",
                row.payload,
                row.at.astimezone(UTC),
                row.attempts,
                row.wanted,
                row.due,
                row.spent,
                row.offer_id,
                row.driver_id,
                row.stale,
            )
            for row in rows
        ]

    def soonest(self) -> timedelta | None:
        """Return how long until something waiting wants a look, None if nothing waits."""
        with self._connection.begin():
            found = self._connection.execute(_statement("soonest"), self._args).scalar_one()
        return None if found is None else timedelta(seconds=max(0.0, float(found)))

    def mark(self, marks: Sequence[Mark]) -> None:
        """Write what became of messages, in one transaction that proves to hold the sender's lock."""
        if not marks:
            return
        arrays = {
            "ids": [mark.id for mark in marks],
            "keys": [mark.key for mark in marks],
            "states": [mark.state for mark in marks],
            "waits": [mark.wait.total_seconds() for mark in marks],
            "said": [mark.said for mark in marks],
        }
        with self._connection.begin():
            if (
                self._connection.execute(
                    query("hold_lock"), {"sweep": _lock(self._taker), "leader": None}
                ).scalar_one()
                != 1
            ):
                raise BadConfig(
                    "the connection lost the sender's lock: is a transaction pooler in between?"
                )
            self._connection.execute(_statement("mark"), arrays | {"sender": self._taker.name})


@contextmanager
def serving(
    store: PostgresStore, taker: Taker, *, give_up: timedelta, push_ack: timedelta
) -> Iterator[Outbox]:
    """Yield the outbox of one sender, under its lock. Raises TryLater while another run serves it."""
    with store.connected() as connection:
        with connection.begin():
            if not connection.execute(query("take_lock"), {"sweep": _lock(taker)}).scalar_one():
                raise TryLater(f"another run is sending to {taker.name}")
        try:
            yield Outbox(connection, taker, give_up, push_ack)
        finally:
            release_lock(connection, _lock(taker))


def settle(store: PostgresStore, takers: Sequence[Taker]) -> int:
    """Close the events that are over at every taker, those that nobody wants included; return how many."""
    pairs = [(taker.name, pattern) for taker in takers for pattern in taker.patterns]
    args = {"senders": [p[0] for p in pairs], "patterns": [p[1] for p in pairs]}
    closed, after = 0, 0
    with store.connected() as connection:
        while True:
            with connection.begin():
                ids = list(
                    connection.execute(
                        _statement("open"), {"after": after, "limit": SETTLED_AT_ONCE}
                    ).scalars()
                )
                if not ids:
                    return closed
                closed += connection.execute(_statement("settle"), args | {"ids": ids}).rowcount
            after = ids[-1]


def due(store: PostgresStore, taker: Taker) -> int:
    """Return how many events a sender would be given now."""
    return _count(store, "due", {"sender": taker.name, "wanted": taker.patterns})


def unsettled(store: PostgresStore) -> int:
    """Return how many events are not closed."""
    return _count(store, "unsettled", {})


def retry(store: PostgresStore, sender: str, *, dry_run: bool = False) -> int:
    """Let a sender try again what was given up on; return how many events that are."""
    if dry_run:
        return _count(store, "failed", {"sender": sender})
    with store.connected() as connection, connection.begin():
        return connection.execute(_statement("retry"), {"sender": sender}).rowcount


def astray(engine: Engine, now: datetime | None = None) -> list[tuple[str, str, int]]:
    """Return (sender, state, events) of what was given up on, and of what was refused within a day."""
    with connect.open_connection(engine, role="dk_verify") as connection:
        if now is not None:
            connection.execute(query("set_clock"), {"now": rfc3339(now)})
        return [(row[0], row[1], row[2]) for row in connection.execute(_statement("astray"))]


def stuck(
    engine: Engine, late: timedelta, now: datetime | None = None
) -> list[tuple[str, int, str]]:
    """Return (sender, events, what it last said) of what was tried first more than `late` ago and still waits."""
    with connect.open_connection(engine, role="dk_verify") as connection:
        if now is not None:
            connection.execute(query("set_clock"), {"now": rfc3339(now)})
        return [
            (row[0], row[1], row[2])
            for row in connection.execute(_statement("stuck"), {"late": late})
        ]


def _count(store: PostgresStore, name: str, args: Mapping[str, Any]) -> int:
    with store.connected() as connection, connection.begin():
        return int(connection.execute(_statement(name), args).scalar_one())


def _statement(name: str) -> TextClause:
    return text(SQL[name])


def _lock(taker: Taker) -> str:
    return f"outbox {taker.name}"

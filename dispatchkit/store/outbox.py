"""The outbox as a sender sees it: the events it has not received, and what became of each.

There is no cursor. Every page is a new query for unsent events, so an event that commits late is
found however low its id is. Events of one root arrive in their order, because their writer holds
the root's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, TextClause, text

from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import BadConfig, TryLater
from dispatchkit.kernel.sql import parse
from dispatchkit.store import connect
from dispatchkit.store.statements import query

SQL = parse(Path(__file__).with_name("outbox.sql").read_text("utf-8"))
SETTLE_BATCH = 5_000  # events that one transaction closes


@dataclass(frozen=True, slots=True)
class UnsentEvent:
    """One event that a sender has not received; the flags are judged by the database clock.

    key: the idempotency key for receivers. wanted: the sender subscribes to it and it is not
    finished. due: it does not wait for its next try. spent: it was tried for too long. offer_id,
    driver_id: the pending offer that it announces, if the sender is a push gateway. stale: that
    offer was not acknowledged in time.
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
class SendResult:
    """What became of one event: DELIVERED, REFUSED, FAILED, or WAITING for `wait`.

    said: the receiver's last response, if it gave one.
    """

    id: int
    key: str
    state: str
    wait: timedelta = timedelta()
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A sender's name, the patterns of its events (`offer_*`), and whether it pushes to phones."""

    name: str
    events: tuple[str, ...]
    push: bool = False

    @property
    def patterns(self) -> list[str]:
        """Return the patterns as SQL's LIKE understands them."""
        return [pattern.replace("_", r"\_").replace("*", "%") for pattern in self.events]


class OutboxReader:
    """The outbox of one sender, on the only connection that serves this sender."""

    def __init__(
        self,
        connection: Connection,
        subscription: Subscription,
        give_up: timedelta,
        push_ack: timedelta,
    ) -> None:
        self._connection, self._subscription = connection, subscription
        self._give_up = give_up
        self._args = {
            "sender": subscription.name,
            "push": subscription.push,
            "push_ack": push_ack,
        }

    def unsent(self, after: int, limit: int) -> list[UnsentEvent]:
        """Return the next open events after an id, lowest first, wanted or not.

        Fewer than `limit` events are the last page.
        """
        args = self._args | {
            "wanted": self._subscription.patterns,
            "give_up": self._give_up,
            "after": after,
            "limit": limit,
        }
        with self._connection.begin():
            rows = self._connection.execute(_statement("unsent"), args).all()
        return [
            UnsentEvent(
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
        """Return how long until a waiting event needs attention, None if none is waiting."""
        with self._connection.begin():
            seconds = self._connection.execute(_statement("soonest"), self._args).scalar_one()
        return None if seconds is None else timedelta(seconds=max(0.0, float(seconds)))

    def mark(self, results: Sequence[SendResult]) -> None:
        """Write what became of events, in one transaction that checks the sender's lock."""
        if not results:
            return
        arrays = {
            "ids": [result.id for result in results],
            "keys": [result.key for result in results],
            "states": [result.state for result in results],
            "waits": [result.wait.total_seconds() for result in results],
            "said": [result.said for result in results],
        }
        lock = {"sweep": _lock_name(self._subscription), "leader": None}
        with self._connection.begin():
            if self._connection.execute(query("hold_lock"), lock).scalar_one() != 1:
                raise BadConfig(
                    "the connection lost the sender's lock: is a transaction pooler in between?"
                )
            self._connection.execute(
                _statement("mark"), arrays | {"sender": self._subscription.name}
            )


@dataclass(frozen=True)
class EventOutbox:
    """The events that left with decisions, for all senders of one database."""

    _connected: Callable[[], AbstractContextManager[Connection]]

    @contextmanager
    def serving(
        self, subscription: Subscription, *, give_up: timedelta, push_ack: timedelta
    ) -> Iterator[OutboxReader]:
        """Yield the outbox of one sender under its lock.

        Raises TryLater while another run serves it.
        """
        lock_name = _lock_name(subscription)
        with self._connected() as connection:
            with connection.begin():
                if not connection.execute(query("take_lock"), {"sweep": lock_name}).scalar_one():
                    raise TryLater(f"another run is sending to {subscription.name}")
            try:
                yield OutboxReader(connection, subscription, give_up, push_ack)
            finally:
                connect.release_lock(connection, lock_name)

    def settle(self, subscriptions: Sequence[Subscription]) -> int:
        """Close the events that are finished at every subscriber or have none; return how many."""
        pairs = [
            (subscription.name, p) for subscription in subscriptions for p in subscription.patterns
        ]
        args = {"senders": [sender for sender, _ in pairs], "patterns": [p for _, p in pairs]}
        closed, after = 0, 0
        with self._connected() as connection:
            while True:
                with connection.begin():
                    page = {"after": after, "limit": SETTLE_BATCH}
                    ids = list(connection.execute(_statement("open"), page).scalars())
                    if not ids:
                        return closed
                    closed += connection.execute(_statement("settle"), args | {"ids": ids}).rowcount
                after = ids[-1]

    def due(self, subscription: Subscription) -> int:
        """Return how many events a sender would receive now."""
        return self._count("due", {"sender": subscription.name, "wanted": subscription.patterns})

    def unsettled(self) -> int:
        """Return how many events are not closed."""
        return self._count("unsettled", {})

    def retry(self, sender: str, *, dry_run: bool = False) -> int:
        """Make a sender's given-up events due again; return how many."""
        if dry_run:
            return self._count("failed", {"sender": sender})
        with self._connected() as connection, connection.begin():
            return connection.execute(_statement("retry"), {"sender": sender}).rowcount

    def _count(self, name: str, args: Mapping[str, Any]) -> int:
        with self._connected() as connection, connection.begin():
            return int(connection.execute(_statement(name), args).scalar_one())


def failed_sends(engine: Engine, now: datetime | None = None) -> list[tuple[str, str, int]]:
    """Return (sender, state, events) of what was given up, and of what was refused within a day."""
    return [(row[0], row[1], row[2]) for row in _verify(engine, now, "failed_sends", {})]


def stuck(
    engine: Engine, late: timedelta, now: datetime | None = None
) -> list[tuple[str, int, str]]:
    """Return (sender, events, last response) of what still waits `late` after its first try."""
    return [(row[0], row[1], row[2]) for row in _verify(engine, now, "stuck", {"late": late})]


def _verify(
    engine: Engine, now: datetime | None, name: str, args: Mapping[str, Any]
) -> Sequence[Any]:
    """Return the rows of a statement as role dk_verify, at --now if given."""
    with connect.open_connection(engine, role="dk_verify") as connection:
        if now is not None:
            connection.execute(query("set_clock"), {"now": rfc3339(now)})
        return connection.execute(_statement(name), args).all()


def _statement(name: str) -> TextClause:
    return text(SQL[name])


def _lock_name(subscription: Subscription) -> str:
    return f"outbox {subscription.name}"

"""The store on Postgres: the lock, the ledger and the clock of a run live on the connection that writes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import polars as pl
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from dispatchkit.config import Database
from dispatchkit.domain.changes import Change, Fact
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import DatabaseUnavailable, DispatchError, TryLater, Usage
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.store import connect, migrate, read, statements
from dispatchkit.store import parallel as crew
from dispatchkit.store.contract import Acting, Args, Outcome, Run, RunRequest, ping_id
from dispatchkit.store.groups import groups
from dispatchkit.store.statements import query
from dispatchkit.store.write import Clock, Writer

LAST = timedelta(
    minutes=1
)  # what a run has begun in time may take so long: no message is waited for any longer


class SlotDone(Exception):
    """This slot of the sweep has been done."""


def open_store(db: str, data: Path, waits: Database, now: datetime | None = None) -> PostgresStore:
    """Return the store behind --db, its schema checked. Raises DatabaseUnavailable, SchemaMismatch, Usage."""
    made = connect.engine(connect.resolve(db, data), waits)
    migrate.require(made)
    return PostgresStore(made, waits, now=now)


class PostgresStore:
    """Rows in Postgres, written as role dk_app whatever the login."""

    def __init__(
        self, made: Engine, waits: Database | None = None, *, now: datetime | None = None
    ) -> None:
        self.engine, self.waits, self._now = made, waits or Database(), now
        self._run: PostgresRun | None = None

    @property
    def now_given(self) -> bool:
        return self._now is not None

    @property
    def until(self) -> float:
        """Return the deadline of the run under way, on the monotonic clock; endless while there is none."""
        return self._run.until if self._run else math.inf

    def clock(self) -> datetime:
        """Return --now if given, else the database clock. A strict clock only keeps --now from writes."""
        if self._now is not None:
            return self._now
        with self.connected() as on:
            return self._instant(on)

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        """Return each query's frame, all from one snapshot."""
        return read.frames(self.engine, queries, args, self.waits)

    @contextmanager
    def sweeping(self, ticket: RunRequest) -> Iterator[Run | None]:
        """Yield the one Run of this sweep, or None if its slot is done; the ledger is closed on the way out."""
        with self.connected() as on:
            longest = self.time_of(ticket) + self.waits.statement_timeout + LAST
            with on.begin():
                on.execute(query("bound_idle"), {"idle_ms": int(longest.total_seconds() * 1000)})
                ours, leader = on.execute(query("take_lock"), {"sweep": ticket.sweep}).one()
                if ours is None:
                    raise TryLater("the database is being migrated")
                if not ours:
                    raise TryLater(f"another run of sweep {ticket.sweep} is at work")
            failpoint("lock held")
            try:
                with on.begin():  # again, now that no migration can begin
                    migrate.require_on(on)
                yield from self._ledgered(on, ticket, leader)
            finally:
                let_go(on, ticket.sweep)

    def time_of(self, ticket: RunRequest) -> timedelta:
        """Return how long a run may begin batches: its own deadline, or the one that the settings give all."""
        return self.waits.deadline if ticket.deadline is None else ticket.deadline

    def _ledgered(self, on: Connection, ticket: RunRequest, leader: int) -> Iterator[Run | None]:
        try:
            run = PostgresRun(self, on, ticket, leader, self._instant(on))
        except SlotDone:
            yield None
            return
        failpoint("ledger open")
        self._run = run
        try:
            yield run
        except BaseException as stop:
            with suppress(DatabaseUnavailable):  # why the run failed is the news
                run.close("FAILED", interrupted=not isinstance(stop, Exception))
            raise
        finally:
            self._run = None
        run.close()
        failpoint("ledger closed")

    @contextmanager
    def acting(
        self, root: tuple[str, int], *, drivers: Sequence[int], actor: str
    ) -> Iterator[Acting]:
        """Yield an Acting on locked rows: the root, its pending offers, its driver and `drivers`; then the clock."""
        with self.connected() as on, on.begin():
            on.execute(query("tell_actor"), {"actor": actor})
            there = on.execute(text(statements.lock(root[0], wait=True)), {"ids": [root[1]]}).all()
            if (
                not there and root[1]
            ):  # yet to be born: a second who would bear it waits, and then finds it
                on.execute(query("lock_unborn"), {"row": f"{root[0]} {root[1]}"})
            wanted = set(drivers)
            if root[0] == "delivery":
                on.execute(query("lock_pending"), {"id": root[1]})
                wanted |= set(on.execute(query("holder"), {"id": root[1]}).scalars())
            if wanted:
                on.execute(text(statements.lock("driver", wait=True)), {"ids": sorted(wanted)})
            yield PostgresActing(on, actor, self._instant(on))

    def ping(self, driver: int, at: datetime, lat: float, lon: float) -> bool:
        """Keep where a driver was; return False if that instant of his is known already."""
        values = {"id": ping_id(driver, at), "driver": driver, "at": at, "lat": lat, "lon": lon}
        with self.connected() as on, on.begin():
            return on.execute(query("write_ping"), values).rowcount == 1

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Yield a connection that acts as dk_app and reasons at --now, if given. Raises Usage under a strict clock."""
        with connect.connection(self.engine) as on:
            with on.begin():
                if self._now is not None:
                    if on.execute(query("clock_mode")).scalar_one() == "strict":
                        raise Usage(
                            "--now is refused: this database keeps a strict clock (`db up --strict-clock`)"
                        )
                    on.execute(query("set_clock"), {"now": rfc3339(self._now)})
            yield on

    def _instant(self, on: Connection) -> datetime:
        if on.in_transaction():
            found = on.execute(query("clock")).scalar_one()
        else:
            with on.begin():
                found = on.execute(query("clock")).scalar_one()
        assert isinstance(found, datetime)
        return found.astimezone(UTC)


class PostgresRun:
    """One run: its row in the ledger is RUNNING while the advisory lock is held."""

    def __init__(
        self, store: PostgresStore, on: Connection, ticket: RunRequest, leader: int, now: datetime
    ) -> None:
        self.id, self.now = str(uuid4()), now
        self._store, self._on, self._ticket, self._leader = store, on, ticket, leader
        self.until = time.monotonic() + store.time_of(ticket).total_seconds()
        self._total = Outcome()
        values: dict[str, object] = {
            "run": self.id,
            "sweep": ticket.sweep,
            "slot": ticket.slot,
            "now": now,
        }
        values |= {
            "now_given": store.now_given,
            "seed": ticket.seed,
            "config": ticket.config_sha256,
            "code": ticket.code_version,
            "params": ticket.params,
        }
        with on.begin():  # we hold the lock, so whatever is still RUNNING died
            on.execute(query("abandon_runs"), {"sweep": ticket.sweep})
            failpoint("reaped")
        try:
            with on.begin():
                on.execute(query("begin_run"), values)
        except DBAPIError as fault:
            if connect.sqlstate(fault) == "23505":
                raise SlotDone from None
            if connect.sqlstate(fault) == "DK007":
                raise TryLater("the database clock was set back while the run began") from None
            raise

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        """Return each query's frame, all from one snapshot, on a connection of its own."""
        found = self._store.read(queries, args)
        failpoint("read")
        return found

    def apply(
        self,
        changes: Sequence[Change],
        *,
        inputs_sha256: str,
        facts: Sequence[Fact] = (),
        held: int = 0,
        left: int = 0,
    ) -> Outcome:
        """Write the changes in batches and keep the ledger's counters; see `store.write` and `store.crew`.

        inputs_sha256: empty for a job, which decides nothing.
        """
        with self._on.begin():
            self._on.execute(
                query("note_inputs"),
                {"inputs": inputs_sha256 or None, "held": held, "run": self.id},
            )
        waits, sweep = self._store.waits, self._ticket.sweep
        leader, clock = Writer(self._on, sweep, self.id), Clock(self.until)
        outcome = crew.write(
            leader, self._hire, waits.workers, groups(changes, sweep), waits.batch, clock
        )
        if facts:
            leader.append(facts)
        outcome.busy += left
        self._total.add(outcome)
        return outcome

    @contextmanager
    def _hire(self) -> Iterator[Writer]:
        """Yield a writer on a connection of its own, for a worker beside this run's leader."""
        with self._store.connected() as on:
            yield Writer(on, self._ticket.sweep, self.id, self._leader)

    def close(self, status: str | None = None, *, interrupted: bool = False) -> None:
        """Close the ledger row: OK, PARTIAL when rows stayed busy, FAILED when the run did not finish.

        An interrupt spoils the connection, so the word is said on another. A lost one leaves it to the next run.
        """
        if (self._on.closed or self._on.invalidated) and interrupted:
            with suppress(DispatchError), self._store.connected() as on:
                self._end(on, status or "FAILED")
        if self._on.closed or self._on.invalidated:
            return
        if self._on.in_transaction():
            self._on.rollback()
        self._end(self._on, status or ("PARTIAL" if self._total.busy else "OK"))

    def _end(self, on: Connection, status: str) -> None:
        with on.begin():
            closed = on.execute(
                query("end_run"), {"status": status, "busy": self._total.busy, "run": self.id}
            ).rowcount
        if closed != 1:
            raise DatabaseUnavailable(
                f"run {self.id} of sweep {self._ticket.sweep} lost its lock and a later run took over; "
                "what it wrote stands, see `show runs`"
            )


class PostgresActing:
    """One act inside its transaction."""

    def __init__(self, on: Connection, actor: str, now: datetime) -> None:
        self._on, self._actor, self.now = on, actor, now

    def read(self, queries: Mapping[str, tuple[str, str]], args: Args) -> dict[str, pl.DataFrame]:
        """Return each (table, query) as a frame of the table's contract, as the locked transaction sees it."""
        return {
            name: read.typed(self._on, table, query, args)
            for name, (table, query) in queries.items()
        }

    def write(self, changes: Sequence[Change], *, reason: str = "act") -> None:
        """Write the act's changes; the audit trail keeps the reason."""
        Writer(self._on, reason, None).act(changes)

    def refuse(
        self,
        event: str,
        root: tuple[str, int],
        code: str,
        *,
        was: str | None = None,
        offer_id: int | None = None,
    ) -> None:
        """Record a refusal; it commits with the transaction."""
        values = {
            "actor": self._actor,
            "event": event,
            "root": root[0],
            "id": root[1],
            "code": code,
        }
        self._on.execute(query("write_refusal"), values | {"was": was, "offer": offer_id})


def let_go(on: Connection, sweep: str) -> None:
    """Give the sweep's lock back before the connection closes: the server notices a closed one only a moment later."""
    if on.closed or on.invalidated:
        return
    with suppress(DBAPIError):  # a lost connection has lost its lock
        if on.in_transaction():
            on.rollback()
        with on.begin():
            on.execute(query("drop_lock"), {"sweep": sweep})

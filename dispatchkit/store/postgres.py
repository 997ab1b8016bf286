"""The store on Postgres: lock, ledger and clock of a run live on the connection that writes."""

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
from dispatchkit.store import connect, migrate, parallel, read, statements
from dispatchkit.store.audit import Trail
from dispatchkit.store.contract import Acting, Args, Outcome, Run, RunRequest, Store, ping_id
from dispatchkit.store.groups import groups
from dispatchkit.store.outbox import EventOutbox
from dispatchkit.store.privacy import PersonalData
from dispatchkit.store.statements import query
from dispatchkit.store.write import Deadline, Writer

# A batch that began before the deadline may take this long on top of the statement timeout. A
# connection that is silent for longer belongs to a dead run, and the server ends it.
LAST_BATCH = timedelta(minutes=1)


class SlotDone(Exception):
    """This slot of the sweep has been done."""


def open_store(db: str, data: Path, waits: Database, now: datetime | None = None) -> Store:
    """Return the store that --db names, its schema checked.

    Raises DatabaseUnavailable, SchemaMismatch, Usage.
    """
    engine = connect.open_database(db, data, waits)
    migrate.require(engine)
    return PostgresStore(engine, waits, now=now)


class PostgresStore:
    """Rows in Postgres, written as role dk_app for every login."""

    def __init__(
        self, engine: Engine, waits: Database | None = None, *, now: datetime | None = None
    ) -> None:
        self.engine, self.waits, self._now = engine, waits or Database(), now
        self.trail = Trail(engine, self.waits)
        self.privacy = PersonalData(engine)
        self.outbox = EventOutbox(self.connected)
        self._run: PostgresRun | None = None

    @property
    def now_given(self) -> bool:
        return self._now is not None

    @property
    def until(self) -> float:
        """Return the deadline of the current run on the monotonic clock, infinity without a run."""
        return self._run.until if self._run else math.inf

    def clock(self) -> datetime:
        """Return --now if given, else the database clock.

        A strict clock refuses --now for writes only.
        """
        if self._now is not None:
            return self._now
        with self.connected() as connection:
            return self._instant(connection)

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        """Return each query's frame, all from one snapshot."""
        return read.frames(self.engine, queries, args, self.waits)

    @contextmanager
    def sweeping(self, ticket: RunRequest) -> Iterator[Run | None]:
        """Yield the only Run of this sweep, or None if its slot is done; then close the ledger.

        Raises TryLater while another run of the sweep, or a migration, is in progress.
        """
        with self.connected() as connection:
            longest = self.time_of(ticket) + self.waits.statement_timeout + LAST_BATCH
            with connection.begin():
                idle_ms = int(longest.total_seconds() * 1000)
                connection.execute(query("limit_idle_time"), {"idle_ms": idle_ms})
                is_ours, leader = connection.execute(
                    query("take_lock"), {"sweep": ticket.sweep}
                ).one()
                if is_ours is None:
                    raise TryLater("the database is being migrated")
                if not is_ours:
                    raise TryLater(f"another run of sweep {ticket.sweep} is at work")
            failpoint("lock held")
            try:
                # Checked a second time: only now no migration can begin any more.
                with connection.begin():
                    migrate.require_on(connection)
                yield from self._with_ledger(connection, ticket, leader)
            finally:
                connect.release_lock(connection, ticket.sweep)

    def time_of(self, ticket: RunRequest) -> timedelta:
        """Return how long a run may begin batches: its own deadline, or the one in the settings."""
        return self.waits.deadline if ticket.deadline is None else ticket.deadline

    def _with_ledger(
        self, connection: Connection, ticket: RunRequest, leader: int
    ) -> Iterator[Run | None]:
        """Yield a run with an open ledger row and close the row; yield None if the slot is done."""
        try:
            run = PostgresRun(self, connection, ticket, leader, self._instant(connection))
        except SlotDone:
            yield None
            return
        failpoint("ledger open")
        self._run = run
        try:
            yield run
        except BaseException as error:
            # The caller must see why the run failed, not that the ledger could not be closed.
            with suppress(DatabaseUnavailable):
                run.close("FAILED", interrupted=not isinstance(error, Exception))
            raise
        finally:
            self._run = None
        run.close()
        failpoint("ledger closed")

    @contextmanager
    def acting(
        self, root: tuple[str, int], *, drivers: Sequence[int], actor: str
    ) -> Iterator[Acting]:
        """Yield an Acting on locked rows: the root, its pending offers, its driver and `drivers`.

        The clock is read after the locks: an act that waited for a lock must be judged by the time
        at which it gets its turn, or an offer could be accepted after its deadline.
        """
        with self.connected() as connection, connection.begin():
            connection.execute(query("describe_actor"), {"actor": actor})
            lock_root = text(statements.lock(root[0], wait=True))
            root_rows = connection.execute(lock_root, {"ids": [root[1]]}).all()
            if not root_rows and root[1]:
                # The row is to be inserted. A second act that would insert it waits here and then
                # finds it.
                connection.execute(query("lock_missing_row"), {"row": f"{root[0]} {root[1]}"})
            driver_ids = set(drivers)
            if root[0] == "delivery":
                connection.execute(query("lock_pending"), {"id": root[1]})
                driver_ids |= set(
                    connection.execute(query("assigned_driver"), {"id": root[1]}).scalars()
                )
            if driver_ids:
                lock_drivers = text(statements.lock("driver", wait=True))
                connection.execute(lock_drivers, {"ids": sorted(driver_ids)})
            yield PostgresActing(connection, actor, self._instant(connection))

    def ping(self, driver: int, at: datetime, lat: float, lon: float) -> bool:
        """Keep a driver's position; return False if one is known for that instant."""
        values = {"id": ping_id(driver, at), "driver": driver, "at": at, "lat": lat, "lon": lon}
        with self.connected() as connection, connection.begin():
            return connection.execute(query("write_ping"), values).rowcount == 1

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """Yield a connection of role dk_app whose clock is --now, if given.

        Raises Usage for --now under a strict clock.
        """
        with connect.open_connection(self.engine) as connection:
            if self._now is not None:
                with connection.begin():
                    if connection.execute(query("clock_mode")).scalar_one() == "strict":
                        raise Usage(
                            "--now is refused: this database keeps a strict clock "
                            "(`db up --strict-clock`)"
                        )
                    connection.execute(query("set_clock"), {"now": rfc3339(self._now)})
            yield connection

    def _instant(self, connection: Connection) -> datetime:
        if connection.in_transaction():
            now = connection.execute(query("clock")).scalar_one()
        else:
            with connection.begin():
                now = connection.execute(query("clock")).scalar_one()
        assert isinstance(now, datetime)
        return now.astimezone(UTC)


class PostgresRun:
    """One run of a sweep: its ledger row is RUNNING while the sweep's advisory lock is held."""

    def __init__(
        self,
        store: PostgresStore,
        connection: Connection,
        ticket: RunRequest,
        leader: int,
        now: datetime,
    ) -> None:
        self.id, self.now = str(uuid4()), now
        self.until = time.monotonic() + store.time_of(ticket).total_seconds()
        self._store, self._connection = store, connection
        self._ticket, self._leader = ticket, leader
        self._total = Outcome()
        values = {
            "run": self.id,
            "sweep": ticket.sweep,
            "slot": ticket.slot,
            "now": now,
            "now_given": store.now_given,
            "seed": ticket.seed,
            "config": ticket.config_sha256,
            "code": ticket.code_version,
            "params": ticket.params,
        }
        # This run holds the lock, so every other run that is still RUNNING has died.
        with connection.begin():
            connection.execute(query("abandon_runs"), {"sweep": ticket.sweep})
            failpoint("reaped")
        try:
            with connection.begin():
                connection.execute(query("begin_run"), values)
        except DBAPIError as fault:
            if connect.sqlstate(fault) == "23505":
                raise SlotDone from None
            if connect.sqlstate(fault) == "DK007":
                raise TryLater("the database clock was set back while the run began") from None
            raise

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        """Return each query's frame, all from one snapshot, on a separate connection."""
        frames = self._store.read(queries, args)
        failpoint("read")
        return frames

    def apply(
        self,
        changes: Sequence[Change],
        *,
        inputs_sha256: str,
        facts: Sequence[Fact] = (),
        held: int = 0,
        left: int = 0,
    ) -> Outcome:
        """Write the changes in batches and keep the ledger's counters; see `write` and `parallel`.

        inputs_sha256: empty for an upkeep job, which decides nothing.
        """
        with self._connection.begin():
            self._connection.execute(
                query("note_inputs"),
                {"inputs": inputs_sha256 or None, "held": held, "run": self.id},
            )
        waits, sweep = self._store.waits, self._ticket.sweep
        leader = Writer(self._connection, sweep, self.id)
        outcome = parallel.write(
            leader,
            self._open_worker,
            waits.workers,
            groups(changes, sweep),
            waits.batch,
            Deadline(self.until),
        )
        if facts:
            leader.append(facts)
        outcome.busy += left
        self._total.add(outcome)
        return outcome

    @contextmanager
    def _open_worker(self) -> Iterator[Writer]:
        """Yield a writer on another connection, which works beside this run's leader."""
        with self._store.connected() as connection:
            yield Writer(connection, self._ticket.sweep, self.id, self._leader)

    def close(self, status: str | None = None, *, interrupted: bool = False) -> None:
        """Close the ledger row: OK, PARTIAL if rows stayed busy, FAILED if the run did not finish.

        An interrupt breaks the connection, so the row is closed on a new one. When the connection
        was lost otherwise, the next run of the sweep marks this one as ABANDONED.
        """
        is_broken = self._connection.closed or self._connection.invalidated
        if is_broken and interrupted:
            with suppress(DispatchError), self._store.connected() as connection:
                self._end(connection, status or "FAILED")
        if is_broken:
            return
        if self._connection.in_transaction():
            self._connection.rollback()
        self._end(self._connection, status or ("PARTIAL" if self._total.busy else "OK"))

    def _end(self, connection: Connection, status: str) -> None:
        values = {"status": status, "busy": self._total.busy, "run": self.id}
        with connection.begin():
            closed = connection.execute(query("end_run"), values).rowcount
        if closed != 1:
            raise DatabaseUnavailable(
                f"run {self.id} of sweep {self._ticket.sweep} lost its lock "
                "and a later run took over; what it wrote stands, see `show runs`"
            )


class PostgresActing:
    """One act inside its transaction."""

    def __init__(self, connection: Connection, actor: str, now: datetime) -> None:
        self._connection, self._actor, self.now = connection, actor, now

    def read(self, queries: Mapping[str, tuple[str, str]], args: Args) -> dict[str, pl.DataFrame]:
        """Return each (table, query) as a frame of the contract, seen by this transaction."""
        return {
            name: read.typed(self._connection, table, query, args)
            for name, (table, query) in queries.items()
        }

    def write(self, changes: Sequence[Change], *, reason: str = "act") -> None:
        """Write the act's changes; the audit trail keeps the reason."""
        Writer(self._connection, reason, None).act(changes)

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
        self._connection.execute(query("write_refusal"), values | {"was": was, "offer": offer_id})

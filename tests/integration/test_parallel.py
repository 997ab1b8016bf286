"""Several connections write one run with the outcome of one, and stop when its lock is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Engine

from dispatchkit.config import Database
from dispatchkit.domain.changes import Change
from dispatchkit.kernel import failpoints
from dispatchkit.kernel.errors import DatabaseUnavailable
from dispatchkit.store.contract import Outcome, RunRequest
from dispatchkit.store.groups import groups
from dispatchkit.store.postgres import PostgresRun, PostgresStore
from dispatchkit.store.write import Deadline
from tests import databases
from tests.contract.both import apply, written
from tests.crash.recovery import differences, table_contents

DRIVERS = tuple(int(id_) for id_ in databases.sample_frames()["drivers"]["id"][:40])


def counted(driver: int, timeouts: int = 1, version: int = 1) -> Change:
    """Return a harmless change of a driver; the table refuses a negative number of timeouts."""
    return Change(
        entity="driver",
        id=driver,
        version=version,
        event="driver_counted",
        after={"timeouts": timeouts},
        reason="test",
        at=databases.NOW,
        root=("driver", driver),
    )


def mixed() -> list[Change]:
    """Return changes of which the table refuses one in ten, and one in eight is stale."""
    return [
        counted(d, -1 if i % 10 == 3 else 1, 7 if i % 8 == 5 else 1) for i, d in enumerate(DRIVERS)
    ]


@contextmanager
def at(point: str, act: Callable[[], None]) -> Iterator[None]:
    """Call `act` the first time that a run reaches a failpoint."""
    left = [act]

    def hook(name: str) -> None:
        if name == point and left:
            left.pop()()

    failpoints.hook = hook
    try:
        yield
    finally:
        failpoints.hook = None


def run(sql: str, engine: Engine) -> None:
    with psycopg.connect(databases.url(engine), autocommit=True) as connection:
        connection.execute(sql.encode())


def counts_of(outcome: Outcome) -> tuple[object, ...]:
    return outcome.applied, outcome.stale, outcome.poisoned, outcome.busy, outcome.already


def test_outcome_is_same_for_any_number_of_workers(now):
    results: list[tuple[tuple[object, ...], tuple[object, ...], dict[str, list[str]]]] = []
    for workers in (1, 2, 5):
        with databases.fresh("sample") as engine:
            outcome = apply(
                PostgresStore(engine, Database(batch=4, workers=workers), now=now), *mixed()
            )
            with engine.connect() as connection:
                ledger_row = connection.exec_driver_sql(
                    "SELECT status, decided, applied, stale, poison, busy FROM dk.sweep_runs"
                )
                results.append(
                    (counts_of(outcome), tuple(ledger_row.one()), table_contents(engine))
                )
    assert results[0][0][0] == 32
    for others in results[1:]:
        assert others[:2] == results[0][:2]
        assert differences(others[2], results[0][2]) == {}


def test_small_run_opens_no_worker(sample_db, now):
    def count() -> None:
        with sample_db.connect() as connection:
            connected = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            open_connections.append(connected.scalar_one())

    open_connections: list[int] = []
    with at("counters written", count):
        apply(PostgresStore(sample_db, Database(batch=30, workers=4), now=now), *mixed())
    assert open_connections == [1]


LEADER = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks "
    "WHERE locktype = 'advisory' AND classid = 1684733953 AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def test_workers_of_dead_leader_begin_no_batch(sample_db, now):
    """The leader's connection is lost before a worker begins: what the worker tries is undone."""
    store = PostgresStore(sample_db, Database(batch=2), now=now)
    with (
        pytest.raises(DatabaseUnavailable),
        store.sweeping(RunRequest(sweep="offers")) as leader,
    ):
        assert isinstance(leader, PostgresRun)
        with leader._open_worker() as worker:
            run(LEADER, sample_db)
            with pytest.raises(DatabaseUnavailable, match="nothing more is written"):
                worker.apply(groups([counted(DRIVERS[0])], "offers"), 2, Deadline(float("inf")))
        written(leader, [])
    assert touched(sample_db) == 0
    assert apply(store, counted(DRIVERS[0])).applied == 1


def test_batch_of_overtaken_run_is_undone(sample_db, now):
    """Rows, events and trail are written when the ledger says that the run is over."""
    store = PostgresStore(sample_db, Database(batch=40), now=now)
    over = (
        "UPDATE dk.sweep_runs SET status = 'ABANDONED', finished_at = clock_timestamp() "
        "WHERE status = 'RUNNING'"
    )
    with (
        at("outbox written", lambda: run(over, sample_db)),
        pytest.raises(DatabaseUnavailable, match="another run took over"),
    ):
        apply(store, *mixed()[:3])
    assert touched(sample_db) == 0
    assert apply(store, *mixed()[:3]).applied == 3


def test_failing_worker_stops_all_others_after_whole_batches(sample_db, now):
    store = PostgresStore(sample_db, Database(batch=2, workers=4), now=now)

    def fail() -> None:
        raise ZeroDivisionError

    with at("batch committed", fail), pytest.raises(ZeroDivisionError):
        apply(store, *(counted(driver) for driver in DRIVERS))
    with sample_db.connect() as connection:
        ledger_row = connection.exec_driver_sql("SELECT status, applied FROM dk.sweep_runs").one()
        assert (ledger_row[0], ledger_row[1]) == ("FAILED", touched(sample_db))
    assert 2 <= touched(sample_db) < len(DRIVERS)


def touched(engine: Engine) -> int:
    """Return how many drivers have been written."""
    with engine.connect() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT count(*) FROM dk.drivers WHERE version > 1"
            ).scalar_one()
        )


def test_database_refuses_run_ahead_of_its_clock(sample_db):
    ahead = (
        "INSERT INTO dk.sweep_runs (run_id, sweep, as_of) "
        "SELECT gen_random_uuid(), 'offers', now() + interval '1 min'"
    )
    with psycopg.connect(databases.url(sample_db)) as connection:
        connection.execute("SET ROLE dk_app")
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(ahead.encode())
    assert refused.value.sqlstate == "DK007"

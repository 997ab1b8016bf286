"""The writer beside other sessions: locked rows, concurrent work, and events."""

from __future__ import annotations

import itertools
import random
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import Engine

from dispatchkit.config import Database
from dispatchkit.domain.changes import Change
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.errors import BadConfig, DatabaseUnavailable
from dispatchkit.store.contract import Outcome, RunRequest
from dispatchkit.store.postgres import PostgresRun, PostgresStore
from tests import databases
from tests.contract.both import apply, events, written


def ledger(engine: Engine) -> list[tuple[object, ...]]:
    """Return the runs as (status, decided, applied, stale, poison, busy), oldest first."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT status, decided, applied, stale, poison, busy FROM dk.sweep_runs "
            "ORDER BY started_at"
        )
        return [tuple(row) for row in found]


def raised(delivery: int) -> Change:
    """A harmless change of a delivery."""
    return Change(
        entity="delivery",
        id=delivery,
        version=1,
        event="delivery_raised",
        after={"priority": 9},
        reason="test",
        at=databases.NOW,
        root=("delivery", delivery),
    )


def counted(driver: int, timeouts: int, root: tuple[str, int] | None = None) -> Change:
    """A harmless change of a driver; less than nothing is refused by the table."""
    return Change(
        entity="driver",
        id=driver,
        version=1,
        event="driver_counted",
        after={"timeouts": timeouts},
        reason="test",
        at=databases.NOW,
        root=root or ("driver", driver),
    )


def test_locked_rows_are_left_for_next_run(sample_db, now):
    settings, store = catalog.settings(), PostgresStore(sample_db, Database(batch=4), now=now)
    planned = sweep(store, settings, "offers", Options(dry_run=True)).changes
    roots = sorted({change.root[1] for change in planned})
    held = [change for change in planned if change.root[1] == roots[1]]
    with psycopg.connect(databases.url(sample_db)) as other:
        other.execute("SELECT FROM dk.deliveries WHERE id = %s FOR UPDATE", (roots[1],))
        first = sweep(store, settings, "offers", Options()).outcome
        other.rollback()
    assert (first.applied, first.busy, first.stale) == (len(planned) - len(held), len(held), [])
    second = sweep(store, settings, "offers", Options()).outcome
    assert (second.applied, second.busy) == (len(held), 0)
    assert [row[0] for row in ledger(sample_db)] == ["PARTIAL", "OK"]


def test_poison_row_is_isolated_with_its_sqlstate(sample_db, now):
    drivers = databases.sample_frames()["drivers"]["id"].to_list()[:40]
    changes = [counted(driver, -1 if i in (7, 31) else 1) for i, driver in enumerate(drivers)]
    outcome = apply(PostgresStore(sample_db, Database(batch=40), now=now), *changes)
    assert (outcome.decided, outcome.applied, outcome.poison) == (40, 38, 2)
    assert sorted((p.id, p.why) for p in outcome.poisoned) == [
        (drivers[i], "SQLSTATE 23514") for i in (7, 31)
    ]
    assert ledger(sample_db) == [("OK", 40, 38, 0, 2, 0)]


def test_every_applied_decision_leaves_one_event_of_its_name(sample_db, now):
    for name in catalog.FEATURES:
        swept = sweep(
            PostgresStore(sample_db, Database(batch=3), now=now),
            catalog.settings(),
            name,
            Options(),
        )
        assert swept.outcome.applied == len(swept.changes)
    with sample_db.connect() as connection:
        decided = connection.exec_driver_sql(
            "SELECT decision_id, event, row_id FROM dk.decisions ORDER BY 1"
        ).all()
        told = connection.exec_driver_sql(
            "SELECT decision_id, event, row_id FROM dk.outbox ORDER BY 1"
        ).all()
    assert told == decided != []


def test_four_workers_apply_each_row_once(sample_db, now):
    deliveries = databases.sample_frames()["deliveries"]["id"].to_list()
    drivers = databases.sample_frames()["drivers"]["id"].to_list()

    def work(seed: int) -> Outcome:
        order = random.Random(seed).sample(deliveries, len(deliveries))
        pairs = [
            (raised(root), counted(drivers[root % len(drivers)], root, root=("delivery", root)))
            for root in order
        ]
        request = RunRequest(sweep=f"worker {seed}")
        return apply(
            PostgresStore(sample_db, Database(batch=30), now=now),
            *itertools.chain(*pairs),
            request=request,
        )

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(work, range(4)))
    outcomes.append(work(5))  # takes up what all four found locked by one another
    with sample_db.connect() as connection:
        deadlocks = connection.exec_driver_sql(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        assert deadlocks.scalar_one() == 0
        newest = connection.exec_driver_sql(
            "SELECT (SELECT max(version) FROM dk.deliveries), (SELECT max(version) FROM dk.drivers)"
        )
        assert tuple(newest.one()) == (2, 2)
    assert [o.poison for o in outcomes] == [0] * 5
    assert sum(o.applied for o in outcomes) == 2 * len(drivers), (
        "a driver's row goes with one delivery, once"
    )


def test_disconnected_run_leaves_lock_to_next_run(sample_db, now):
    store, request = PostgresStore(sample_db, now=now), RunRequest(sweep="offers")
    driver = int(databases.sample_frames()["drivers"]["id"][0])
    with pytest.raises(DatabaseUnavailable), store.sweeping(request) as run:
        assert run is not None
        with psycopg.connect(databases.url(sample_db), autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'dispatchkit'"
            )
        written(run, [counted(driver, 1)])
    assert apply(store, counted(driver, 1), request=request).applied == 1
    assert [row[0] for row in ledger(sample_db)] == ["ABANDONED", "OK"]
    assert len(events(store)) == 1


def test_run_without_its_lock_writes_nothing(sample_db, now):
    """Behind a transaction pooler another backend may run the transaction: there the lock is not
    held.
    """
    driver = databases.sample_frames()["drivers"]["id"].to_list()[0]
    store = PostgresStore(sample_db, now=now)
    with (
        pytest.raises(BadConfig, match="transaction pooler"),
        store.sweeping(RunRequest(sweep="offers")) as run,
    ):
        assert isinstance(run, PostgresRun)
        run._ticket = RunRequest(sweep="routes")  # whose lock this connection does not hold
        run.apply([counted(driver, 1)], inputs_sha256="")
    with sample_db.connect() as connection:
        assert connection.exec_driver_sql("SELECT max(version) FROM dk.drivers").scalar_one() == 1
    assert [row[0] for row in ledger(sample_db)] == ["FAILED"]

"""Copies of a sweep start together, and all sweeps run beside clients: everything is done exactly
once.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from threading import Event as Flag

import pytest
from sqlalchemy import Engine

from dispatchkit.domain.feature import Event
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.act import act
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import TryLater
from dispatchkit.store.postgres import PostgresStore
from tests import counts, databases
from tests.crash.recovery import (
    broken_invariants,
    differences,
    sweep_command,
    table_contents,
    wait_for_disconnects,
)

COPIES = 8
# One deadlock is tolerated for so many rows written: none in a round, few in a night.
ROWS_A_DEADLOCK = 10_000
SWEEPS = tuple(catalog.FEATURES)
SLOT = ("--slot", rfc3339(databases.NOW))
FULL = [pytest.mark.nightly, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def alone(fork_server):
    return runs_alone(fork_server)


def runs_alone(fork_server):
    """Return a function that runs a sweep alone, once, and returns the contents and the applied
    decisions.
    """

    @cache
    def run(sweep: str) -> tuple[dict[str, list[str]], int]:
        with databases.fresh("sample") as engine:
            result = fork_server.run(engine, *sweep_command(sweep))
            assert result.exit == 0, result.stderr
            return table_contents(engine), applied(engine, sweep)

    return run


def applied(engine: Engine, sweep: str) -> int:
    """Return how many decisions the runs of a sweep say that they applied."""
    return int(
        scalar(
            engine, f"SELECT coalesce(sum(applied), 0) FROM dk.sweep_runs WHERE sweep = '{sweep}'"
        )
    )


def scalar(engine: Engine, query: str) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


def deadlocks(engine: Engine) -> int:
    return scalar(
        engine, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )


def assert_few_deadlocks(suffered: int, rows: int) -> None:
    counts.add("deadlocks while sweeps overlapped", suffered)
    assert suffered * ROWS_A_DEADLOCK <= rows, (
        f"{suffered} deadlocks while {rows} rows were written"
    )


@pytest.mark.parametrize(
    "rounds", [pytest.param(1, id="short"), pytest.param(50, id="full", marks=FULL)]
)
@pytest.mark.parametrize("sweep", SWEEPS)
def test_only_one_of_eight_concurrent_sweeps_works(fork_server, alone, sweep, rounds):
    wanted, total = alone(sweep)
    suffered = 0
    for round_ in range(rounds):
        slot = () if round_ % 2 else SLOT
        with databases.fresh("sample") as engine:
            result = fork_server.together(engine, [(*sweep_command(sweep), *slot)] * COPIES)
            exits = Counter(run.exit for run in result)
            assert set(exits) <= {0, 75} and exits[0] >= 1, [run.stderr for run in result]
            wait_for_disconnects(engine)
            assert differences(table_contents(engine), wanted) == {}
            assert applied(engine, sweep) == total
            assert scalar(engine, "SELECT count(*) FROM dk.sweep_runs WHERE status <> 'OK'") == 0
            if slot:
                assert scalar(engine, "SELECT count(*) FROM dk.sweep_runs WHERE status = 'OK'") == 1
            suffered += deadlocks(engine)
        counts.add(f"rounds of {COPIES} copies of a sweep")
    assert_few_deadlocks(suffered, total * rounds)


@pytest.mark.parametrize(
    ("rounds", "clients", "minutes"),
    [pytest.param(1, 8, 1, id="short"), pytest.param(20, 16, 3, id="full", marks=FULL)],
)
def test_concurrent_sweeps_and_answers_write_nothing_twice(fork_server, rounds, clients, minutes):
    """Stale decisions (exit 3) are expected: clients change rows between a sweep's read and write."""
    suffered = rows = 0
    for _ in range(rounds):
        with databases.fresh("sample") as engine:
            day = Day(databases.NOW)
            with ThreadPoolExecutor(clients) as pool:
                answers = [pool.submit(_answer, engine, client, day) for client in range(clients)]
                try:
                    for _minute in range(minutes):
                        day.now += timedelta(minutes=1)
                        words = ("--now", rfc3339(day.now), "--batch", "12")
                        result = fork_server.together(
                            engine, [("--json", "sweep", sweep, *words) for sweep in SWEEPS]
                        )
                        assert {run.exit for run in result} <= {0, 3, 75}, [
                            run.stderr for run in result
                        ]
                        stale = [
                            len(json.loads(run.stdout)["stale"]) for run in result if run.stdout
                        ]
                        counts.add("stale decisions beside clients", sum(stale))
                finally:
                    day.over.set()
            codes = sum((answer.result() for answer in answers), Counter[str]())
            wait_for_disconnects(engine)
            assert broken_invariants(engine) == []
            yes = scalar(
                engine, f"SELECT count(*) FROM dk.driver_offers WHERE state = 'ACCEPTED' AND {NEW}"
            )
            no = scalar(
                engine, f"SELECT count(*) FROM dk.driver_offers WHERE state = 'DECLINED' AND {NEW}"
            )
            assert (codes["accept OK"], codes["decline OK"]) == (yes, no), codes
            assert scalar(engine, REFUSED) == sum(
                n for code, n in codes.items() if " OK" not in code and "later" not in code
            )
            suffered += deadlocks(engine)
            rows += scalar(engine, "SELECT sum(applied) FROM dk.sweep_runs") + yes + no
        counts.add(f"rounds of all sweeps beside {clients} clients")
        counts.add("answers beside sweeps", sum(codes.values()))
    assert_few_deadlocks(suffered, rows)


NEW = f"responded_at >= '{rfc3339(databases.NOW)}'"
REFUSED = "SELECT count(*) FROM dk.refusals"
PENDING = "SELECT id, driver_id FROM dk.driver_offers WHERE state = 'PENDING' ORDER BY id"


@dataclass
class Day:
    """What sweeps and clients share: the instant at which they act, and whether it is over."""

    now: datetime
    over: Flag = field(default_factory=Flag)


def _answer(engine: Engine, client: int, day: Day) -> Counter[str]:
    """Answer pending offers, every third with no, until the day is over; return the count of each
    answer.
    """
    settings, codes = catalog.settings(), Counter[str]()
    while not day.over.is_set():
        store = PostgresStore(engine, now=day.now + timedelta(seconds=5))
        with engine.connect() as connection:
            pending = connection.exec_driver_sql(PENDING).all()
        for offer, driver in pending[client % 4 :: 4]:
            name = "decline" if offer % 3 == 0 else "accept"
            event = Event(name=name, actor=f"driver:{driver}", offer_id=offer, driver_id=driver)
            try:
                codes[f"{name} {act(store, settings, event).answer.code}"] += 1
            except TryLater:
                codes[f"{name} later"] += 1
        day.over.wait(0.02)
    return codes

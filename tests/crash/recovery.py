"""Helpers of the crash tests: commands of sweeps, contents of a database, and what is broken in it."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from zlib import crc32

import pytest
from _pytest.mark import ParameterSet
from sqlalchemy import Engine

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.store.check import offenders
from tests import databases

SEED = "DISPATCHKIT_TEST_SEED"
HISTORY = {
    "decisions": "SELECT entity, row_id, row_version, event, reason FROM dk.decisions "
    "WHERE outcome = 'APPLIED'",
    "outbox": "SELECT event, root, root_id, row_id, payload FROM dk.outbox",
    "audit": "SELECT tbl, row_id, row_version, op, image::text FROM dk_aud.delivery_audit_logs",
}


# Minutes after NOW at which a sweep has work in the sample city, and a batch size that gives
# several batches.
PACE = {"availability": (90, 6), "reassignment": (0, 3), "escalation": (5, 6)}


def seed() -> int:
    """Return the seed of this session: from the environment, or a new one, the same in all workers."""
    return int(os.environ.get(SEED) or crc32(os.environ[databases.HOME].encode()) % 10**6)


def drawn_by_day(shares: int) -> list[ParameterSet]:
    """Return the numbers of all shares of a long test; a pull request runs only the drawn one."""
    return [
        pytest.param(n, marks=[] if n == seed() % shares else pytest.mark.nightly)
        for n in range(shares)
    ]


def sweep_command(sweep: str, batch: int | None = None) -> tuple[str, ...]:
    """Return the command line of a sweep of the sample city; its batches are so small that there
    are several.
    """
    minutes, small = PACE.get(sweep, (0, 12))
    now = databases.NOW + timedelta(minutes=minutes)
    return ("sweep", sweep, "--now", rfc3339(now), "--batch", str(batch or small))


def table_contents(engine: Engine) -> dict[str, list[str]]:
    """Return every table's rows and the history as sorted text, without instants and runs of the
    history.
    """
    wanted = {name: f"SELECT to_jsonb(t)::text FROM dk.{name} t" for name in TABLES}
    with engine.connect() as connection:
        return {
            name: sorted(str(tuple(row)) for row in connection.exec_driver_sql(query))
            for name, query in (wanted | HISTORY).items()
        }


def differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return by table the rows that only one of two databases holds."""
    pairs = {name: sorted(set(one[name]) ^ set(other[name])) for name in one}
    return {
        name: rows for name, rows in pairs.items() if rows or len(one[name]) != len(other[name])
    }


def wait_for_disconnects(engine: Engine, beside: int = 0) -> None:
    """Wait until the server has noticed that a process is dead; `beside`: a session that stays."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(250):
            left = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                f"AND pid NOT IN (pg_backend_pid(), {beside}) AND backend_type = 'client backend'"
            )
            if left.scalar_one() == 0:
                return
            time.sleep(0.02)
    raise AssertionError("a backend outlives its client")


def broken_invariants(engine: Engine) -> list[str]:
    """Return the broken invariants, except for a run that is still RUNNING: the next run closes it."""
    return [found.name for found, count in offenders(engine) if count and found.name != "I17"]

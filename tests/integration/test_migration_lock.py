"""Migrations beside live work wait for a lock only briefly, and again, so that writers go on."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg

from dispatchkit.store import migrate
from tests import databases

HELD_S = 1.5  # how long a reader keeps the table


def test_waiting_migration_does_not_block_writers(sample_db):
    stalls: list[float] = []

    def write() -> None:
        with psycopg.connect(databases.url(sample_db), autocommit=True) as connection:
            end = time.monotonic() + HELD_S
            while time.monotonic() < end:
                begin = time.monotonic()
                connection.execute(
                    "UPDATE dk.deliveries SET priority = priority WHERE id = (SELECT min(id) "
                    "FROM dk.deliveries)"
                )
                stalls.append(time.monotonic() - begin)
                time.sleep(0.005)

    before = migrate.history()[-5][0]
    with psycopg.connect(databases.url(sample_db)) as reader, ThreadPoolExecutor(2) as pool:
        reader.execute("SELECT count(*) FROM dk.deliveries, dk.driver_offers LIMIT 1")
        writing = pool.submit(write)
        migrating = pool.submit(migrate.down, sample_db, before)
        writing.result(60)
        assert not migrating.done(), "the reader still holds what the migration wants"
        reader.rollback()
        assert migrating.result(60).revision == before
    assert migrate.up(sample_db).current
    assert len(stalls) > 20
    assert max(stalls) < 1.0, f"a writer waited {max(stalls):.2f} s behind the migration"

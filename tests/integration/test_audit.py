"""The audit trail: every change of a row is chained per delivery, in the same transaction."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import psycopg

from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.store.postgres import PostgresStore
from tests import databases

LOGS = "dk_aud.delivery_audit_logs"
STAMP = "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"


def test_chain_can_be_recomputed_from_its_rows(sample_db, now):
    for name in catalog.FEATURES:
        sweep(PostgresStore(sample_db, now=now), catalog.settings(), name, Options())
    with sample_db.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT chain, seq, tbl, row_id, row_version, op, login, actor, run_id, reason, "
            f"{STAMP}, image::text, "
            f"prev, hash FROM {LOGS} WHERE chain IN (SELECT chain FROM {LOGS} "
            "WHERE run_id IS NOT NULL) "
            "ORDER BY chain, seq"
        ).all()
    heads: dict[int, bytes] = {}
    for *head, image, prev, written in rows:
        assert bytes(prev) == heads.get(head[0], b"\0"), head
        body = json.dumps(head, ensure_ascii=False) + "\n" + (image or "")
        assert bytes(written) == sha256(bytes(prev) + body.encode()).digest(), head
        heads[head[0]] = bytes(written)
    assert len(rows) > len(heads) > 10


def test_one_statement_chains_its_rows_in_order(sample_db):
    with sample_db.begin() as connection:
        delivery = connection.exec_driver_sql(
            "SELECT delivery_id FROM dk.driver_offers GROUP BY 1 HAVING count(*) >= 3 "
            "ORDER BY 1 LIMIT 1"
        ).scalar_one()
        count = connection.exec_driver_sql(
            "UPDATE dk.driver_offers SET viewed_at = sent_at WHERE delivery_id = %s", (delivery,)
        ).rowcount
    with sample_db.connect() as connection:
        told = connection.exec_driver_sql(
            f"SELECT seq, row_id FROM {LOGS} WHERE chain = %s AND op = 'U' ORDER BY seq",
            (delivery,),
        ).all()
    assert count == len(told) >= 3
    assert [row[1] for row in told] == sorted(row[1] for row in told)
    assert [row[0] for row in told] == list(range(told[0][0], told[0][0] + count))


def test_writers_of_one_chain_wait_for_each_other(sample_db):
    """Two rows of one delivery differ: their writers wait only for the head of the chain."""
    with sample_db.connect() as connection:
        delivery = connection.exec_driver_sql(
            "SELECT delivery_id FROM dk.driver_offers GROUP BY 1 HAVING count(*) >= 2 "
            "ORDER BY 1 LIMIT 1"
        ).scalar_one()
        offers = (
            connection.exec_driver_sql(
                "SELECT id FROM dk.driver_offers WHERE delivery_id = %s", (delivery,)
            )
            .scalars()
            .all()
        )
        before = connection.exec_driver_sql(
            "SELECT seq FROM dk_aud.head WHERE chain = %s", (delivery,)
        ).scalar_one()

    def write(offer: int) -> None:
        with psycopg.connect(databases.url(sample_db), autocommit=True) as mine:
            for _ in range(25):
                mine.execute(
                    "UPDATE dk.driver_offers SET viewed_at = clock_timestamp() WHERE id = %s",
                    (offer,),
                )

    with ThreadPoolExecutor(len(offers)) as pool:
        list(pool.map(write, offers))
    with sample_db.connect() as connection:
        after = connection.exec_driver_sql(
            "SELECT seq FROM dk_aud.head WHERE chain = %s", (delivery,)
        ).scalar_one()
    assert after - before == 25 * len(offers)


def test_replication_role_cannot_bypass_guards_or_trail(sample_db):
    with psycopg.connect(databases.url(sample_db)) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE dk.drivers SET timeouts = timeouts + 1")
        connection.commit()
        told = connection.execute(
            f"SELECT count(*) FROM {LOGS} WHERE tbl = 'drivers' AND op = 'U'"
        ).fetchone()
        there = connection.execute(
            "SELECT count(*), min(version), max(version) FROM dk.drivers"
        ).fetchone()
    assert there is not None
    assert told == there[:1]
    assert there[1:] == (2, 2)


def test_rolled_back_change_leaves_no_trace(sample_db):
    with psycopg.connect(databases.url(sample_db)) as connection:
        before = connection.execute(f"SELECT count(*) FROM {LOGS}").fetchone()
        connection.execute("UPDATE dk.drivers SET timeouts = timeouts + 1")
        connection.rollback()
        assert connection.execute(f"SELECT count(*) FROM {LOGS}").fetchone() == before


def test_audit_event_records_login_and_claimed_actor(sample_db):
    with psycopg.connect(databases.url(sample_db)) as connection:
        connection.execute("SET ROLE dk_app")
        connection.execute(
            "SELECT set_config('dk.actor', 'driver:7', true), set_config('dk.reason', 'because', "
            "true)"
        )
        connection.execute(
            "UPDATE dk.drivers SET timeouts = 5 WHERE id = (SELECT min(id) FROM dk.drivers)"
        )
        connection.commit()
        connection.execute("RESET ROLE")
        told = connection.execute(
            f"SELECT login = session_user, actor, reason, run_id FROM {LOGS} WHERE op = 'U'"
        ).fetchall()
    assert told == [(True, "driver:7", "because", None)]

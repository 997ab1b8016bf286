"""The audit trail: chained per delivery, in the same transaction, by whatever road a row changes."""

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


def test_the_chain_can_be_recomputed_by_anyone_from_what_stands_in_it(sample_db, now):
    for name in catalog.FEATURES:
        sweep(PostgresStore(sample_db, now=now), catalog.settings(), name, Options())
    with sample_db.connect() as on:
        rows = on.exec_driver_sql(
            f"SELECT chain, seq, tbl, row_id, row_version, op, login, actor, run_id, reason, {STAMP}, image::text, "
            f"prev, hash FROM {LOGS} WHERE chain IN (SELECT chain FROM {LOGS} WHERE run_id IS NOT NULL) "
            "ORDER BY chain, seq"
        ).all()
    heads: dict[int, bytes] = {}
    for *head, image, prev, written in rows:
        assert bytes(prev) == heads.get(head[0], b"\0"), head
        body = json.dumps(head, ensure_ascii=False) + "\n" + (image or "")
        assert bytes(written) == sha256(bytes(prev) + body.encode()).digest(), head
        heads[head[0]] = bytes(written)
    assert len(rows) > len(heads) > 10


def test_many_rows_of_one_chain_in_one_statement_are_chained_one_after_another(sample_db):
    with sample_db.begin() as on:
        delivery = on.exec_driver_sql(
            "SELECT delivery_id FROM dk.driver_offers GROUP BY 1 HAVING count(*) >= 3 ORDER BY 1 LIMIT 1"
        ).scalar_one()
        count = on.exec_driver_sql(
            "UPDATE dk.driver_offers SET viewed_at = sent_at WHERE delivery_id = %s", (delivery,)
        ).rowcount
    with sample_db.connect() as on:
        told = on.exec_driver_sql(
            f"SELECT seq, row_id FROM {LOGS} WHERE chain = %s AND op = 'U' ORDER BY seq",
            (delivery,),
        ).all()
    assert count == len(told) >= 3
    assert [row[1] for row in told] == sorted(row[1] for row in told)
    assert [row[0] for row in told] == list(range(told[0][0], told[0][0] + count))


def test_writers_who_meet_in_one_chain_follow_each_other(sample_db):
    """Two rows of one delivery are different rows: only the head of the chain makes their writers wait."""
    with sample_db.connect() as on:
        delivery = on.exec_driver_sql(
            "SELECT delivery_id FROM dk.driver_offers GROUP BY 1 HAVING count(*) >= 2 ORDER BY 1 LIMIT 1"
        ).scalar_one()
        offers = (
            on.exec_driver_sql(
                "SELECT id FROM dk.driver_offers WHERE delivery_id = %s", (delivery,)
            )
            .scalars()
            .all()
        )
        before = on.exec_driver_sql(
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
    with sample_db.connect() as on:
        after = on.exec_driver_sql(
            "SELECT seq FROM dk_aud.head WHERE chain = %s", (delivery,)
        ).scalar_one()
    assert after - before == 25 * len(offers)


def test_a_replication_role_does_not_slip_past_guard_and_trail(sample_db):
    with psycopg.connect(databases.url(sample_db)) as on:
        on.execute("SET session_replication_role = replica")
        on.execute("UPDATE dk.drivers SET timeouts = timeouts + 1")
        on.commit()
        told = on.execute(
            f"SELECT count(*) FROM {LOGS} WHERE tbl = 'drivers' AND op = 'U'"
        ).fetchone()
        there = on.execute("SELECT count(*), min(version), max(version) FROM dk.drivers").fetchone()
    assert there is not None
    assert told == there[:1]
    assert there[1:] == (2, 2)


def test_a_rolled_back_change_leaves_no_trace(sample_db):
    with psycopg.connect(databases.url(sample_db)) as on:
        before = on.execute(f"SELECT count(*) FROM {LOGS}").fetchone()
        on.execute("UPDATE dk.drivers SET timeouts = timeouts + 1")
        on.rollback()
        assert on.execute(f"SELECT count(*) FROM {LOGS}").fetchone() == before


def test_an_event_names_the_login_beside_whoever_the_client_claims_to_be(sample_db):
    with psycopg.connect(databases.url(sample_db)) as on:
        on.execute("SET ROLE dk_app")
        on.execute(
            "SELECT set_config('dk.actor', 'driver:7', true), set_config('dk.reason', 'because', true)"
        )
        on.execute("UPDATE dk.drivers SET timeouts = 5 WHERE id = (SELECT min(id) FROM dk.drivers)")
        on.commit()
        on.execute("RESET ROLE")
        told = on.execute(
            f"SELECT login = session_user, actor, reason, run_id FROM {LOGS} WHERE op = 'U'"
        ).fetchall()
    assert told == [(True, "driver:7", "because", None)]

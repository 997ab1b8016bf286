"""Attacks on the trail: whoever is not its owner is refused by name, and what its owner or a superuser does is found."""

# ruff: noqa: E501 - one case a line reads best

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from dispatchkit.domain.tables import ENTITIES
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.flows.trail import audit, retention
from dispatchkit.store.postgres import PostgresStore
from tests import counts, databases
from tests.integration.invariant_breaks import LONG_CHAIN, TRIGGERS_OFF

LOGS = "dk_aud.delivery_audit_logs"
NOBODY = "repeat('0', 64)"

# (how, SQL, SQLSTATE): tried as each of the roles that a program runs as.
ROLES = ("dk_app", "dk_import", "dk_export", "dk_verify", "dk_privacy")
REFUSED = [
    ("edit an event", f"UPDATE {LOGS} SET reason = 'x'", "42501"),
    ("edit an image", f"UPDATE {LOGS} SET image = '{{}}'", "42501"),
    ("delete an event", f"DELETE FROM {LOGS}", "42501"),
    ("empty the trail", f"TRUNCATE {LOGS}", "42501"),
    ("forge an event", f"INSERT INTO {LOGS} SELECT chain, seq + 100, tbl, row_id, row_version + 100, op, image, login, actor, run_id, reason, at, epoch, txid, prev, hash FROM {LOGS} LIMIT 1", "42501"),
    ("move a head", "UPDATE dk_aud.head SET seq = seq - 1", "42501"),
    ("forge a head", "INSERT INTO dk_aud.head VALUES (1, 1, '')", "42501"),
    ("delete a head", "DELETE FROM dk_aud.head", "42501"),
    ("edit a seal", "UPDATE dk_aud.seal SET events = 0", "42501"),
    ("delete a seal", "DELETE FROM dk_aud.seal", "42501"),
    ("forge a seal", f"INSERT INTO dk_aud.seal SELECT 1, 99, '0', '9', 0, ''::bytea, ''::bytea, {NOBODY}::bytea", "42501"),
    ("raise the epoch", "UPDATE dk_aud.epoch SET n = n + 1", "42501"),
    ("forge a retirement", f"INSERT INTO dk_aud.retired SELECT chain, seq, tbl, row_id, row_version, op, run_id, NULL, at, epoch, txid, prev, hash, 'x' FROM {LOGS}", "42501"),
    ("forge an archive", f"INSERT INTO dk_aud.archive VALUES ('x', {NOBODY}, 1, now(), 'x', now())", "42501"),
    ("forget who read", "DELETE FROM dk_aud.readings", "42501"),
    ("forget who was erased", "DELETE FROM dk_aud.erasures", "42501"),
    ("edit who was erased", "UPDATE dk_aud.erasures SET subject = 1", "42501"),
    ("switch a trigger off", "ALTER TABLE dk.deliveries DISABLE TRIGGER z_audit_u", "42501"),
    ("drop a trigger", "DROP TRIGGER z_audit_u ON dk.deliveries", "42501"),
    ("drop the trail", f"DROP TABLE {LOGS}", "42501"),
    ("rewrite the capture", "CREATE OR REPLACE FUNCTION dk_aud.capture_deliveries() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "42501"),
    ("pose as a replica", "SET session_replication_role = replica", "42501"),
    ("become the owner of the trail", "SET ROLE dk_audit", "42501"),
    ("become the owner of the tables", "SET ROLE dk_owner", "42501"),
]  # fmt: skip
ONE_ROLE = [
    ("the app seals", "dk_app", "SELECT dk_aud.make_seal()", "42501"),
    ("the app retires", "dk_app", f"SELECT dk_aud.retire('x', {NOBODY}, now(), '{{1}}', '{{1}}')", "42501"),
    ("the verifier retires", "dk_verify", f"SELECT dk_aud.retire('x', {NOBODY}, now(), '{{1}}', '{{1}}')", "42501"),
    ("the app reads names", "dk_app", "SELECT * FROM dk_pii.subject", "42501"),
    ("the export reads names", "dk_export", "SELECT * FROM dk_pii.subject", "42501"),
    ("the app reads the trail", "dk_app", f"SELECT * FROM {LOGS}", "42501"),
    ("a reader signs with another name", "dk_verify", "INSERT INTO dk_aud.readings (what, login) VALUES ('show', 'somebody')", "42501"),
    ("an erasure signs with another name", "dk_privacy", "INSERT INTO dk_aud.erasures (kind, subject, removed, login) VALUES ('driver', 1, 0, 'x')", "42501"),
    ("privacy retires what no seal covers", "dk_privacy", "SELECT dk_aud.retire('x', {nobody}, 'infinity', ARRAY[chain], ARRAY[seq]) FROM {unsealed}", "DK012"),
    ("privacy retires the newest of a row", "dk_privacy", "SELECT dk_aud.retire('x', {nobody}, 'infinity', ARRAY[chain], ARRAY[seq]) FROM {newest}", "DK012"),
    ("privacy retires what is not there", "dk_privacy", f"SELECT dk_aud.retire('x', {NOBODY}, 'infinity', '{{99999999}}', '{{1}}')", "DK012"),
    ("privacy retires the same twice", "dk_privacy", "SELECT dk_aud.retire('x', {nobody}, 'infinity', ARRAY[chain, chain], ARRAY[seq, seq]) FROM {older}", "23505"),
    ("privacy changes an order's money", "dk_privacy", "UPDATE dk.orders SET fee_cents = 0", "42501"),
    ("privacy deletes a delivery", "dk_privacy", "DELETE FROM dk.deliveries", "42501"),
    ("privacy deletes an event that left", "dk_privacy", "DELETE FROM dk.outbox", "42501"),
    ("a superuser edits an event", "postgres", f"UPDATE {LOGS} SET reason = 'x'", "DK010"),
    ("a superuser deletes an event", "postgres", f"DELETE FROM {LOGS}", "DK010"),
    ("a superuser empties the trail", "postgres", f"TRUNCATE {LOGS}", "DK010"),
    ("a superuser edits a seal", "postgres", "UPDATE dk_aud.seal SET events = 0", "DK010"),
    ("a superuser deletes a seal", "postgres", "DELETE FROM dk_aud.seal", "DK010"),
    ("a superuser deletes a retired link", "postgres", "DELETE FROM dk_aud.retired", "DK010"),
    ("a superuser empties the journal", "postgres", "TRUNCATE dk_aud.erasures", "DK010"),
    ("the owner deletes an event", "dk_audit", f"DELETE FROM {LOGS}", "DK010"),
]  # fmt: skip
PLACES = {  # events of each kind, found by the superuser and handed over as literals
    "unsealed": f"SELECT e.chain, e.seq FROM {LOGS} e WHERE op = 'U' AND txid >= (SELECT max(hi) FROM dk_aud.seal) LIMIT 1",
    "newest": f"SELECT e.chain, e.seq FROM {LOGS} e WHERE txid < (SELECT max(hi) FROM dk_aud.seal) AND NOT EXISTS (SELECT FROM {LOGS} n WHERE (n.tbl, n.row_id) = (e.tbl, e.row_id) AND n.row_version > e.row_version) LIMIT 1",
    "older": f"SELECT e.chain, e.seq FROM {LOGS} e WHERE txid < (SELECT max(hi) FROM dk_aud.seal) AND EXISTS (SELECT FROM {LOGS} n WHERE (n.tbl, n.row_id) = (e.tbl, e.row_id) AND n.row_version > e.row_version) LIMIT 1",
}


@dataclass(frozen=True)
class World:
    """A city that worked, was sealed outside, pruned a little, and worked on."""

    engine: Engine
    seals: Path
    archive: Path


def work(engine: Engine, *names: str) -> None:
    for name in names:
        sweep(PostgresStore(engine, now=databases.NOW), catalog.settings(), name, Options())


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    """Yield the world; what tests do to it never commits."""
    folder = tmp_path_factory.mktemp("outside")
    with databases.fresh("sample", sound=False) as engine:
        store = PostgresStore(engine)
        work(engine, "reassignment")
        audit.seal(store, folder / "seals.txt")
        retention.prune(store, datetime(2099, 1, 1, tzinfo=UTC), folder)
        work(engine, "offers", "routes")
        audit.seal(store, folder / "seals.txt")
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE dk.drivers SET timeouts = timeouts + 1 WHERE duty = 'ON_DUTY'"
            )
            connection.exec_driver_sql(
                "INSERT INTO dk_aud.erasures (kind, subject, removed) VALUES ('driver', 1, 0)"
            )
        yield World(engine, folder / "seals.txt", folder)


def session(engine: Engine, role: str) -> psycopg.Connection:
    """Return a session of one role on a login that may become nothing else; `postgres`: the superuser."""
    connection = psycopg.connect(databases.url(engine))
    if role != "postgres":
        connection.execute(f"SET SESSION AUTHORIZATION {role}".encode())
        connection.commit()
    return connection


def refused(engine: Engine, role: str, sql: str) -> str:
    """Return the SQLSTATE with which a statement is refused, or nothing if it is not."""
    with session(engine, "postgres") as connection:
        for name, query in PLACES.items():
            if f"{{{name}}}" in sql:
                row = connection.execute(query.encode()).fetchone()
                assert row is not None, name
                sql = sql.replace(
                    f"{{{name}}}", f"(VALUES ({row[0]}::bigint, {row[1]}::bigint)) AS k(chain, seq)"
                )
    sql = sql.replace("{nobody}", NOBODY)
    try:
        with session(engine, role) as connection:
            connection.execute(sql.encode())
            connection.rollback()
    except psycopg.Error as fault:
        return fault.sqlstate or ""
    return ""


@pytest.mark.parametrize("role", ROLES)
def test_no_role_of_program_can_touch_trail(world, role):
    outcome = {how: refused(world.engine, role, sql) for how, sql, _ in REFUSED}
    assert outcome == {how: state for how, _, state in REFUSED}
    assert len(outcome) >= 20
    counts.add("ways of tampering refused by name", len(outcome))


@pytest.mark.parametrize(
    ("how", "role", "sql", "state"), ONE_ROLE, ids=[row[0] for row in ONE_ROLE]
)
def test_roles_cannot_exceed_their_rights(world, how, role, sql, state):
    assert refused(world.engine, role, sql) == state, how
    counts.add("ways of tampering refused by name")


def rehash(chain: str) -> str:
    """Return SQL that computes a whole chain anew, as somebody who hides a change would."""
    return f"""DO $$ DECLARE e record; h bytea := '\\x00'; BEGIN
      FOR e IN SELECT * FROM {LOGS} WHERE chain = {chain} ORDER BY seq LOOP
        h := CASE WHEN e.seq = 1 THEN '\\x00'::bytea ELSE coalesce((SELECT hash FROM dk_aud.trail t WHERE t.chain = e.chain AND t.seq = e.seq - 1), '\\x00') END;
        UPDATE {LOGS} SET prev = h, hash = sha256(h || convert_to(dk_aud.body(chain, seq, tbl, row_id, row_version, op, login, actor, run_id, reason, at, image), 'UTF8'))
         WHERE (chain, seq) = (e.chain, e.seq); END LOOP;
      UPDATE dk_aud.head SET seq = t.seq, hash = t.hash FROM (SELECT * FROM dk_aud.trail WHERE chain = {chain} ORDER BY seq DESC LIMIT 1) t WHERE head.chain = t.chain;
    END $$;"""


RUN = "(SELECT run_id::text FROM dk.sweep_runs WHERE sweep = 'offers')"
ONE = f"(SELECT min(chain) FROM {LOGS} WHERE tbl = 'deliveries' AND run_id = {RUN} AND chain NOT IN (SELECT chain FROM dk_aud.retired))"
LAST = f"(chain, seq) = (SELECT chain, max(seq) FROM {LOGS} WHERE chain = {ONE} GROUP BY chain)"
RETIRED = "(SELECT min(chain) FROM dk_aud.retired)"
ROLLBACK = f"""CREATE TEMP TABLE undone AS SELECT * FROM {LOGS} WHERE chain = {ONE} AND run_id = {RUN};
    CREATE TEMP TABLE kept AS SELECT DISTINCT ON (tbl, row_id) tbl, row_id, row_version, image FROM {LOGS} e
      WHERE EXISTS (SELECT FROM undone u WHERE (u.tbl, u.row_id) = (e.tbl, e.row_id)) AND NOT EXISTS (SELECT FROM undone u WHERE (u.chain, u.seq) = (e.chain, e.seq)) ORDER BY tbl, row_id, row_version DESC;
    CREATE TEMP TABLE decided AS SELECT k.decision_id, k.run_id FROM dk.decisions k JOIN undone u ON u.row_id = k.row_id AND u.row_version = k.row_version + 1 AND u.run_id = k.run_id::text;
    DELETE FROM {LOGS} e USING undone u WHERE (e.chain, e.seq) = (u.chain, u.seq);
    DELETE FROM dk.deliveries d USING kept k WHERE k.tbl = 'deliveries' AND d.id = k.row_id;
    INSERT INTO dk.deliveries ({{columns}}) SELECT {{columns}} FROM kept k, json_populate_record(NULL::dk.deliveries, k.image) r WHERE k.tbl = 'deliveries';
    DELETE FROM dk.driver_offers o USING undone u WHERE u.tbl = 'driver_offers' AND o.id = u.row_id;
    INSERT INTO dk.driver_offers SELECT r.* FROM kept k, json_populate_record(NULL::dk.driver_offers, k.image) r WHERE k.tbl = 'driver_offers';
    DELETE FROM dk.unassigned_orders o USING undone u WHERE u.tbl = 'unassigned_orders' AND o.id = u.row_id;
    INSERT INTO dk.unassigned_orders SELECT r.* FROM kept k, json_populate_record(NULL::dk.unassigned_orders, k.image) r WHERE k.tbl = 'unassigned_orders';
    DELETE FROM dk.outbox o USING decided x WHERE o.decision_id = x.decision_id;
    DELETE FROM dk.decisions k USING decided x WHERE (k.decision_id, k.run_id) = (x.decision_id, x.run_id);
    UPDATE dk.sweep_runs r SET applied = applied - n, decided = decided - n FROM (SELECT run_id, count(*) AS n FROM decided GROUP BY run_id) x WHERE r.run_id = x.run_id;
    {{rehash}}"""
RESEAL = """DO $$ DECLARE s record; p bytea := '\\x00'; e bigint; r bytea; BEGIN
      FOR s IN SELECT * FROM dk_aud.seal ORDER BY epoch, n LOOP
        SELECT events, root INTO e, r FROM dk_aud.root(s.epoch, s.lo, s.hi);
        UPDATE dk_aud.seal SET prev = p, events = e, root = r, digest = sha256(p || r || convert_to(concat_ws('|', s.epoch, s.n, s.lo, s.hi, e), 'UTF8'))
         WHERE (epoch, n) = (s.epoch, s.n) RETURNING digest INTO p; END LOOP; END $$;"""

# What a superuser does with every trigger off -> the kinds of fault that name it.
DONE: Mapping[str, tuple[str, set[str]]] = {
    "an event edited": (f"UPDATE {LOGS} SET reason = 'x' WHERE {LAST}", {"hash"}),
    "an image edited": (f"UPDATE {LOGS} SET image = (image::jsonb || '{{\"priority\": 9}}')::json WHERE (tbl, row_id, row_version) = (SELECT 'deliveries', id, version FROM dk.deliveries WHERE id = {ONE})", {"hash", "image"}),
    "a login edited": (f"UPDATE {LOGS} SET login = 'somebody' WHERE {LAST}", {"hash"}),
    "an instant edited": (f"UPDATE {LOGS} SET at = at - interval '1 day' WHERE {LAST}", {"hash"}),
    "a run's name taken off": (f"UPDATE {LOGS} SET run_id = NULL WHERE {LAST}", {"hash"}),
    "an event deleted": (f"DELETE FROM {LOGS} WHERE chain = {LONG_CHAIN} AND seq = (SELECT max(seq) - 1 FROM {LOGS} WHERE chain = {LONG_CHAIN})", {"gap", "version", "seal"}),
    "the last event deleted": (f"DELETE FROM {LOGS} WHERE {LAST}", {"head", "version", "seal"}),
    "an event inserted": (f"INSERT INTO {LOGS} SELECT chain, seq + 1, tbl, row_id, row_version + 1, 'U', image, login, actor, run_id, reason, at, epoch, txid, hash, hash FROM {LOGS} WHERE {LAST}", {"hash", "head", "version", "seal"}),
    "two events swapped": (f"UPDATE {LOGS} SET seq = 2 * (SELECT max(seq) FROM {LOGS} WHERE chain = {ONE}) - seq + 1 WHERE chain = {ONE}", {"gap", "predecessor", "head", "seal"}),
    "a head edited": (f"UPDATE dk_aud.head SET seq = seq + 1 WHERE chain = {ONE}", {"head"}),
    "a head deleted": (f"DELETE FROM dk_aud.head WHERE chain = {ONE}", {"head"}),
    "a seal edited": ("UPDATE dk_aud.seal SET events = events + 1 WHERE n = 1", {"seal"}),
    "a seal deleted": ("DELETE FROM dk_aud.seal WHERE n = 1", {"seal"}),
    "a row edited": (f"UPDATE dk.deliveries SET priority = priority + 1 WHERE id = {ONE}", {"image"}),
    "a version edited": (f"UPDATE dk.deliveries SET version = version + 1 WHERE id = {ONE}", {"version", "image"}),
    "a row deleted": ("DELETE FROM dk.route_optimization_data WHERE id = (SELECT min(id) FROM dk.route_optimization_data)", {"version"}),
    "a row inserted": ("INSERT INTO dk.drivers (id, vehicle, duty, version) VALUES (987654, 'car', 'OFF_DUTY', 1)", {"version"}),
    "a whole chain deleted": (f"DELETE FROM {LOGS} WHERE chain = {ONE}", {"head", "version", "seal"}),
    "a chain deleted with its head": (f"DELETE FROM dk_aud.head WHERE chain = {ONE}; DELETE FROM {LOGS} WHERE chain = {ONE}", {"version", "seal"}),
    "a retired link edited": (f"UPDATE dk_aud.retired SET hash = prev WHERE chain = {RETIRED}", {"predecessor", "seal"}),
    "a retired link deleted": (f"DELETE FROM dk_aud.retired WHERE chain = {RETIRED}", {"gap", "version", "seal", "archive"}),
    "an edit with its chain hashed anew": (f"UPDATE {LOGS} SET reason = 'x' WHERE {LAST};" + rehash(ONE), {"seal"}),
    "an event deleted with its row's version": (f"UPDATE dk.drivers r SET version = version - 1, timeouts = timeouts - 1 WHERE id = (SELECT min(-chain) FROM {LOGS} WHERE tbl = 'drivers' AND row_version = 2 AND chain < 0); SELECT 1", {"version", "image"}),
}  # fmt: skip


def verdict(world: World, monkeypatch, *statements: str) -> audit.TrailCheck:
    """Return what a verification finds after these statements of a superuser; nothing of it stays."""
    with world.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(TRIGGERS_OFF)
        for statement in statements:
            driver.execute(statement)
        monkeypatch.setattr("dispatchkit.store.audit._snapshot", lambda engine: _inside(connection))
        found = audit.verify(PostgresStore(world.engine), world.seals, [world.archive])
        monkeypatch.undo()
        connection.rollback()
    return found


def _inside(connection):
    connection.exec_driver_sql("SET LOCAL extra_float_digits = 1")
    return nullcontext(connection)


def test_untouched_trail_verifies(world, monkeypatch):
    found = verdict(world, monkeypatch)
    assert (found.findings, found.lines, len(found.archives.verified), found.unread) == (
        [],
        2,
        1,
        [],
    )


@pytest.mark.parametrize("how", DONE)
def test_superuser_tampering_is_found_by_row(world, monkeypatch, how):
    sql, kinds = DONE[how]
    found = verdict(world, monkeypatch, sql)
    assert {fault.fault for fault in found.trail.faults} == kinds, found.findings
    assert all(fault.count > 0 for fault in found.trail.faults)
    counts.add("superuser tampers found by verify")
    named = next(told for told in found.findings if told.split(":")[0] in kinds)
    assert named.split("first ")[1].split()[0] in ("delivery", "driver", "seal", *ENTITIES.values())


def rollback(world: World) -> str:
    with world.engine.connect() as connection:
        columns = connection.exec_driver_sql(
            "SELECT string_agg(column_name, ', ') FROM information_schema.columns WHERE table_schema = 'dk' "
            "AND table_name = 'deliveries' AND is_generated = 'NEVER'"
        ).scalar_one()
    chain = "(SELECT min(chain) FROM undone)"
    return ROLLBACK.replace("{columns}", columns).replace("{rehash}", rehash(chain))


def test_consistent_rollback_is_found_by_its_seal(world, monkeypatch):
    """Event, head, row, decision and event in the outbox, all turned back together: cli_in_process, only the seal still knows."""
    found = verdict(world, monkeypatch, rollback(world))
    assert {fault.fault for fault in found.trail.faults} == {"seal"}, found.findings
    assert found.contradicted == []


def test_resealed_rollback_is_found_by_outside_file(world, monkeypatch):
    found = verdict(world, monkeypatch, rollback(world), RESEAL)
    assert (found.trail.faults, found.archives.wrong) == ((), ())
    assert len(found.contradicted) == 1
    assert found.findings[0].startswith("outside: 1 of 2 seals are not the database's, first 1 2")
    counts.add("consistent rollbacks found by the outside file alone")


def test_function_that_lies_is_not_asked(world, monkeypatch):
    """A superuser edits an event and teaches the database's own hashing to agree: verify spells its hashing out."""
    lie = "CREATE OR REPLACE FUNCTION dk_aud.root(p_epoch int, lo xid8, hi xid8, OUT events bigint, OUT root bytea) LANGUAGE sql STABLE AS 'SELECT 0::bigint, ''''::bytea'"
    found = verdict(world, monkeypatch, lie, f"UPDATE {LOGS} SET reason = 'x' WHERE {LAST}")
    assert {fault.fault for fault in found.trail.faults} == {"hash"}


def test_verify_command_exits_65_with_one_line(cli_in_process, world):
    with databases.fresh("sample", sound=False) as engine:
        work(engine, "offers")
        with engine.begin() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute(TRIGGERS_OFF)
            connection.exec_driver_sql(f"UPDATE {LOGS} SET reason = 'x' WHERE {LAST}")
            delivery = connection.exec_driver_sql(f"SELECT {ONE}").scalar_one()
        ran = cli_in_process("audit", "verify", db=engine)
        assert ran.exit == 65
        assert ran.stderr.count("\n") == 1
        assert f"hash: 1, first delivery {delivery}, " in ran.stderr
        shown = cli_in_process("audit", "show", delivery, db=engine)
        assert (
            shown.exit,
            f"the chain of delivery {delivery} is broken: hash" in shown.stderr,
        ) == (65, True)

"""The database refuses, whoever asks: raw SQL as the app role meets the same rules as the program."""

# ruff: noqa: E501 - one case a line reads best

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import psycopg
import pytest
from sqlalchemy import Engine

from tests import databases

PENDING = "(SELECT min(id) FROM dk.driver_offers WHERE state = 'PENDING')"
COPIED = (
    "delivery_id, {driver}, episode, attempt, ask + 1, 'PENDING', mode, pay_cents, distance_m, payload, payload_sha256, "
    "sent_at, expires_at, hard_deadline, 1 FROM dk.driver_offers WHERE id = {offer}"
)
OFFER = (
    "INSERT INTO dk.driver_offers (id, delivery_id, driver_id, episode, attempt, ask, state, mode, pay_cents, distance_m, "
    "payload, payload_sha256, sent_at, expires_at, hard_deadline, version) SELECT {id}, " + COPIED
)
IDLE = (
    "(SELECT min(r.id) FROM dk.drivers r WHERE NOT EXISTS "
    "(SELECT FROM dk.driver_offers o WHERE o.driver_id = r.id AND o.state = 'PENDING'))"
)
ANSWERED = (
    "UPDATE dk.driver_offers SET state = '{state}', responded_at = {at} "
    "WHERE id = {id} AND set_config('dk.now', CAST({clock} AS text), true) <> ''"
)
IN_TIME = "hard_deadline - interval '1 s'"
CLOSED = "(SELECT min(o.id) FROM dk.driver_offers o JOIN dk.deliveries d ON d.id = o.delivery_id WHERE d.state = 'DELIVERED')"
WON = (
    "(SELECT min(d.id) FROM dk.deliveries d JOIN dk.driver_offers o ON o.delivery_id = d.id AND o.episode = d.episode "
    "WHERE o.state = 'ACCEPTED' AND d.state = 'ASSIGNED')"
)
AGAIN = (
    "(SELECT min(d.id) FROM dk.deliveries d JOIN dk.driver_offers o ON o.delivery_id = d.id AND o.episode = 1 "
    "WHERE o.state = 'ACCEPTED' AND d.episode > 1 AND d.driver_id IS DISTINCT FROM o.driver_id)"
)
GIVE = "UPDATE dk.deliveries SET state = '{state}', driver_id = {driver}, slot = {slot} WHERE id = (SELECT min(id) FROM dk.deliveries WHERE state = 'UNASSIGNED')"
AT_HOME = "(SELECT min(id) FROM dk.drivers WHERE duty = 'OFF_DUTY')"
SMALL = (
    "(SELECT min(r.id) FROM dk.drivers r WHERE r.duty = 'ON_DUTY' AND r.max_stack < 3 "
    "AND NOT EXISTS (SELECT FROM dk.deliveries d WHERE d.driver_id = r.id AND d.active))"
)


def answered(
    offer: object, state: str = "ACCEPTED", at: str = IN_TIME, clock: str | None = None
) -> str:
    """Return the SQL of an answer at an instant of the offer's own, when the database clock says the same or `clock`."""
    return ANSWERED.format(id=offer, state=state, at=at, clock=clock or at)


REFUSED: Sequence[tuple[str, str, str, str]] = [
    # (what, as whom, SQL, SQLSTATE)
    ("a delivery leaps from UNASSIGNED to the end", "dk_app", "UPDATE dk.deliveries SET state = 'DELIVERED' WHERE state = 'UNASSIGNED'", "DK003"),
    ("a terminal state is left", "dk_app", "UPDATE dk.driver_offers SET state = 'PENDING', responded_at = NULL WHERE state = 'DECLINED'", "DK003"),
    ("a driver is born on a break", "dk_app", "INSERT INTO dk.drivers (id, vehicle, duty, version) VALUES (999999, 'car', 'ON_BREAK', 1)", "DK003"),
    ("a version is skipped", "dk_app", "UPDATE dk.drivers SET version = version + 2", "DK001"),
    ("a version is turned back", "dk_app", "UPDATE dk.drivers SET version = version - 1", "DK001"),
    ("the pay of an offer changes", "dk_app", "UPDATE dk.driver_offers SET pay_cents = pay_cents + 1", "DK002"),
    ("a deadline is moved", "dk_app", "UPDATE dk.driver_offers SET hard_deadline = hard_deadline + interval '1 h'", "DK002"),
    ("a delivery changes its order", "dk_app", "UPDATE dk.deliveries SET order_id = (SELECT min(id) FROM dk.orders)", "DK002"),
    ("an offer for a delivered delivery", "dk_app", OFFER.format(id=999999, driver=IDLE, offer=CLOSED), "DK004"),
    ("an accepted offer whose delivery stays open", "dk_app", answered(PENDING), "DK006"),
    ("a delivery goes to somebody who did not accept it", "dk_app", f"UPDATE dk.deliveries SET driver_id = {IDLE}, slot = 3 WHERE id = {WON}", "DK006"),
    ("an acceptance is undone within its episode", "dk_app", f"UPDATE dk.deliveries SET state = 'UNASSIGNED', driver_id = NULL WHERE id = {WON}", "DK006"),
    ("an episode is turned back", "dk_app", f"UPDATE dk.deliveries SET episode = 1 WHERE id = {AGAIN}", "DK006"),
    ("a delivery is assigned to somebody at home", "dk_app", GIVE.format(state="ASSIGNED", driver=AT_HOME, slot=1), "DK013"),
    ("somebody at home has picked up", "dk_app", GIVE.format(state="PICKED_UP", driver=AT_HOME, slot=1), "DK013"),
    ("a driver gets a slot beyond the stack", "dk_app", GIVE.format(state="ASSIGNED", driver=SMALL, slot=3), "DK013"),
    ("an offer ends at an instant to come", "dk_app", answered(PENDING, "EXPIRED", "hard_deadline", clock=IN_TIME), "DK014"),
    ("a second pending offer of a driver", "dk_app", OFFER.format(id=999999, driver="driver_id", offer=PENDING), "23505"),
    ("two deliveries in one slot", "dk_app", "UPDATE dk.deliveries SET driver_id = (SELECT min(driver_id) FROM dk.deliveries WHERE active), slot = 1 WHERE active", "23505"),
    ("an active delivery without a driver", "dk_app", "UPDATE dk.deliveries SET driver_id = NULL WHERE active", "23514"),
    ("an acceptance after the deadline", "dk_app", answered(PENDING, at="hard_deadline"), "23514"),
    ("an acceptance dated back over the deadline", "dk_app", answered(PENDING, clock="hard_deadline + interval '1 min'"), "DK014"),
    ("a position that is not a number", "dk_app", "INSERT INTO dk.driver_locations SELECT 999999999, min(id), now(), 'NaN', 0 FROM dk.drivers", "23514"),
    ("a row is deleted", "dk_app", "DELETE FROM dk.driver_offers", "42501"),
    ("a table is emptied", "dk_app", "TRUNCATE dk.driver_offers", "42501"),
    ("a decision is rewritten", "dk_app", "UPDATE dk.decisions SET outcome = 'STALE'", "42501"),
    ("an event is rewritten", "dk_app", "UPDATE dk.outbox SET payload = '{}'", "42501"),
    ("the transitions are widened", "dk_app", "INSERT INTO dk.transitions VALUES ('deliveries', 'DELIVERED', 'CREATED')", "42501"),
    ("the clock is opened", "dk_app", "UPDATE dk.meta SET clock = 'open'", "42501"),
    ("audit: edited", "dk_app", "UPDATE dk_aud.delivery_audit_logs SET reason = 'x'", "42501"),
    ("audit: deleted", "dk_app", "DELETE FROM dk_aud.delivery_audit_logs", "42501"),
    ("audit: emptied", "dk_app", "TRUNCATE dk_aud.delivery_audit_logs", "42501"),
    ("audit: forged", "dk_app", "INSERT INTO dk_aud.head VALUES (1, 1, '')", "42501"),
    ("audit: switched off", "dk_app", "ALTER TABLE dk.drivers DISABLE TRIGGER z_audit_u", "42501"),
    ("audit: replication role", "dk_app", "SET session_replication_role = replica", "42501"),
    ("audit: sealed by the app", "dk_app", "SELECT dk_aud.make_seal()", "42501"),
    ("import updates a row", "dk_import", "UPDATE dk.deliveries SET priority = 1", "42501"),
    ("export writes", "dk_export", "INSERT INTO dk.customers VALUES (999999)", "42501"),
    ("audit: edited by a superuser", "postgres", "UPDATE dk_aud.delivery_audit_logs SET reason = 'x'", "DK010"),
    ("audit: deleted by a superuser", "postgres", "DELETE FROM dk_aud.delivery_audit_logs", "DK010"),
    ("audit: emptied by a superuser", "postgres", "TRUNCATE dk_aud.delivery_audit_logs", "DK010"),
]  # fmt: skip


@pytest.fixture(scope="module")
def filled():
    """Yield the made-up city; what these tests try never commits."""
    with databases.fresh("sample") as engine:
        yield engine


def session(engine: Engine, role: str) -> psycopg.Connection:
    """Return a session that acts as `role`; `postgres` stands for the superuser who logged in."""
    connection = psycopg.connect(
        databases.url(engine), options="-c search_path=dk,pg_temp -c timezone=UTC"
    )
    if role != "postgres":
        connection.execute(f"SET ROLE {role}".encode())
        connection.commit()
    return connection


@pytest.mark.parametrize(("what", "role", "sql", "state"), REFUSED, ids=[row[0] for row in REFUSED])
def test_database_refuses(filled, what, role, sql, state):
    with session(filled, role) as connection, pytest.raises(psycopg.Error) as fault:
        connection.execute(sql.encode())
        connection.commit()
    assert fault.value.sqlstate == state, f"{what}: {fault.value}"


def test_second_acceptance_of_episode_is_refused_by_index(filled):
    with session(filled, "dk_app") as connection:
        connection.execute(OFFER.format(id=999999, driver=IDLE, offer=PENDING).encode())
        connection.execute(answered(999999).encode())
        with pytest.raises(psycopg.errors.UniqueViolation, match="offer_one_accepted"):
            connection.execute(answered(PENDING).encode())
        connection.rollback()


@pytest.mark.parametrize("goes", ["first", "second"])
def test_driver_going_off_duty_gets_no_delivery(goes):
    """Whoever comes second, the gift or the end of the shift, waits for the first and is refused."""
    gift = GIVE.format(state="ASSIGNED", driver=SMALL, slot=1)
    home = f"UPDATE dk.drivers SET duty = 'OFF_DUTY' WHERE id = {SMALL}"
    first, then, code = (home, gift, "DK013") if goes == "first" else (gift, home, "DK009")
    with (
        databases.fresh(
            "sample", sound=False
        ) as engine,  # raw SQL leaves the rest of the gift undone
        ThreadPoolExecutor(1) as worker,
        session(engine, "dk_app") as one,
        session(engine, "dk_app") as other,
    ):
        one.execute(f"{first}; SET CONSTRAINTS ALL IMMEDIATE".encode())
        late = worker.submit(other.execute, f"{then}; SET CONSTRAINTS ALL IMMEDIATE".encode())
        assert not wait([late], timeout=0.3).done, "it does not wait"
        one.commit()
        with pytest.raises(psycopg.Error) as fault:
            late.result(10)
        assert fault.value.sqlstate == code
        other.rollback()


def test_temporary_table_cannot_replace_transitions(filled):
    with session(filled, "dk_app") as connection:
        connection.execute(
            "CREATE TEMP TABLE transitions AS SELECT 'deliveries' AS tbl, 'UNASSIGNED' AS src, 'DELIVERED' AS dst"
        )
        with pytest.raises(psycopg.Error, match='"UNASSIGNED" may not become "DELIVERED"'):
            connection.execute(
                "UPDATE dk.deliveries SET state = 'DELIVERED' WHERE state = 'UNASSIGNED'"
            )
        connection.rollback()


def test_closed_run_stays_as_it_was_closed(filled):
    with session(filled, "postgres") as connection:
        connection.execute(
            "INSERT INTO dk.sweep_runs (run_id, sweep, as_of, status, finished_at) "
            "VALUES (gen_random_uuid(), 'x', now(), 'OK', now())"
        )
        with pytest.raises(psycopg.Error, match="is closed"):
            connection.execute("UPDATE dk.sweep_runs SET applied = 1, decided = 1")
        connection.rollback()


def test_inserted_row_always_has_version_one(filled):
    with session(filled, "dk_app") as connection:
        connection.execute(
            "INSERT INTO dk.drivers (id, vehicle, duty, version) VALUES (999999, 'car', 'OFF_DUTY', 77)"
        )
        assert connection.execute(
            "SELECT version FROM dk.drivers WHERE id = 999999"
        ).fetchone() == (1,)
        connection.rollback()

"""Personal data is erased on request and after its time; the trail stays provable without it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from dispatchkit.config import Settings
from dispatchkit.flows.data import data_io
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.flows.trail import append_only_file as outside
from dispatchkit.flows.trail import audit, privacy
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import BadData, DispatchError, InputMissing, Refused, Usage
from dispatchkit.store.data_classification import LEDGERS
from dispatchkit.store.postgres import PostgresStore
from tests import databases

LAT = 47.1234567  # a place that no other row of the made-up city has
NAMES = {
    "name": "Canary Bird",
    "phone": "+1 555 0100",
    "email": "canary@example.org",
    "address": "1 Cage Street",
}
LATER = datetime(2099, 1, 1, tzinfo=UTC)


def one(engine, sql: str, *args):
    with engine.connect() as connection:
        return connection.exec_driver_sql(sql, args).scalar_one()


def wherever(engine, text: str) -> list[str]:
    """Return the tables of any schema of ours in which a text stands in any column."""
    with engine.connect() as connection:
        tables = connection.exec_driver_sql(
            "SELECT relnamespace::regnamespace || '.' || relname FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace IN "
            "(SELECT oid FROM pg_namespace WHERE nspname IN ('dk', 'dk_aud', 'dk_pii', 'dk_kept'))"
        )
        return [
            name
            for name in sorted(tables.scalars())
            if connection.exec_driver_sql(
                f"SELECT count(*) FROM {name} t WHERE t::text LIKE %s", (f"%{text}%",)
            ).scalar_one()
        ]


def plant(engine, kind: str) -> int:
    """Give somebody who is not at work a name and a place nobody else has; return their id."""
    with engine.begin() as connection:
        if kind == "customer":
            id_ = connection.exec_driver_sql(
                "SELECT min(o.customer_id) FROM dk.orders o WHERE NOT EXISTS "
                "(SELECT FROM dk.orders p JOIN dk.deliveries d ON d.order_id = p.id "
                "WHERE p.customer_id = o.customer_id AND d.state NOT IN "
                "('DELIVERED', 'RETURNED', 'FAILED', 'CANCELLED', 'UNFULFILLED'))"
            ).scalar_one()
            connection.exec_driver_sql(
                "UPDATE dk.orders SET dropoff_lat = %s WHERE customer_id = %s", (LAT, id_)
            )
        else:
            id_ = connection.exec_driver_sql(
                "SELECT min(id) FROM dk.drivers WHERE duty = 'OFF_DUTY'"
            ).scalar_one()
            connection.exec_driver_sql(
                "INSERT INTO dk.driver_locations SELECT max(id) + 1, %s, now(), %s, 8.5 "
                "FROM dk.driver_locations",
                (id_, LAT),
            )
        connection.exec_driver_sql(
            "INSERT INTO dk_pii.subject (kind, id, name, phone, email, address) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            (kind, id_, *NAMES.values()),
        )
    return int(id_)


@pytest.mark.parametrize("kind", ["customer", "driver"])
def test_erased_value_is_gone_and_chains_verify(cli_in_process, sample_db, kind):
    for name in catalog.FEATURES:
        sweep(PostgresStore(sample_db, now=databases.NOW), catalog.settings(), name, Options())
    id_ = plant(sample_db, kind)
    held = {"customer": "dk.orders", "driver": "dk.driver_locations"}[kind]
    assert wherever(sample_db, str(LAT)) == [held]
    assert all(wherever(sample_db, value) == ["dk_pii.subject"] for value in NAMES.values())
    salt = one(sample_db, "SELECT encode(salt, 'hex') FROM dk_pii.subject")
    before = one(sample_db, "SELECT count(*) FROM dk_aud.delivery_audit_logs")
    dry = cli_in_process("--json", "data", "erase", f"{kind}:{id_}", "--dry-run", db=sample_db)
    assert wherever(sample_db, str(LAT)) == [held]
    done = cli_in_process("--json", "data", "erase", f"{kind}:{id_}", db=sample_db)
    assert done.exit == 0, done.stderr
    assert json.loads(done.stdout)["erased"] == json.loads(dry.stdout)["erased"]
    assert min(json.loads(done.stdout)["erased"][f"{kind}:{id_}"].values()) > 0
    for value in (str(LAT), salt, *NAMES.values()):
        assert wherever(sample_db, value) == [], value
    assert one(sample_db, "SELECT count(*) FROM dk_aud.delivery_audit_logs") == before
    assert cli_in_process("audit", "verify", db=sample_db).exit == 0
    assert (
        one(
            sample_db,
            "SELECT count(*) FROM dk_aud.erasures WHERE (kind, subject) = (%s, %s)",
            kind,
            id_,
        )
        == 1
    )


def test_commitment_proves_value_until_salt_is_erased(sample_db):
    id_ = plant(sample_db, "customer")
    committed = one(sample_db, "SELECT dk_pii.commitment(salt, phone) FROM dk_pii.subject")
    proof = "SELECT count(*) FROM dk_pii.subject WHERE dk_pii.commitment(salt, %s) = %s"
    assert (
        one(sample_db, proof, NAMES["phone"], committed),
        one(sample_db, proof, "+1 555 0199", committed),
    ) == (1, 0)
    privacy.erase(PostgresStore(sample_db), [f"customer:{id_}"])
    assert one(sample_db, proof, NAMES["phone"], committed) == 0


def test_restored_people_are_erased_by_journal(sample_db):
    store, id_ = PostgresStore(sample_db), plant(sample_db, "driver")
    assert privacy.erase(store, [f"driver:{id_}"]).held[f"driver:{id_}"]["pings"] > 0
    with sample_db.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO dk.driver_locations SELECT max(id) + 1, %s, now(), %s, 8.5 "
            "FROM dk.driver_locations",
            (id_, LAT),
        )
    assert privacy.erase(store, ()).held == {f"driver:{id_}": {"subject": 0, "pings": 1}}
    assert wherever(sample_db, str(LAT)) == []
    assert privacy.erase(store, ()).held == {f"driver:{id_}": {"subject": 0, "pings": 0}}
    assert one(sample_db, "SELECT count(*) FROM dk_aud.erasures") == 2, (
        "an erasure of nothing is no further entry"
    )


def test_erasure_log_finds_people_in_restored_backup(cli_in_process, sample_db, tmp_path):
    store, file = PostgresStore(sample_db), tmp_path / "erased.txt"
    file.write_text("customer:987654\n")  # born and erased after the backup was made
    driver, customer = plant(sample_db, "driver"), plant(sample_db, "customer")
    words = ("data", "erase", f"driver:{driver}", f"customer:{customer}", "--journal", file)
    assert cli_in_process(*words, "--dry-run", db=sample_db).exit == 0
    assert file.read_text() == "customer:987654\n"
    for _ in range(2):  # who stands there already is not noted again
        assert cli_in_process(*words, db=sample_db).exit == 0
        assert file.read_text() == f"customer:987654\ndriver:{driver}\ncustomer:{customer}\n"
    with databases.fresh("sample") as backup:  # as it was before
        plant(backup, "driver")
        assert privacy.erase(PostgresStore(backup), ()).held == {}
        again = cli_in_process("--json", "data", "erase", "--again", "--journal", file, db=backup)
        assert set(json.loads(again.stdout)["erased"]) == {
            f"driver:{driver}",
            f"customer:{customer}",
        }
        assert wherever(backup, str(LAT)) == []
    with pytest.raises(InputMissing):
        privacy.erase(store, (), outside=tmp_path / "none.txt")


def test_working_driver_does_not_block_other_erasures(cli_in_process, sample_db, tmp_path):
    gone, busy = (
        plant(sample_db, "driver"),
        one(sample_db, "SELECT min(driver_id) FROM dk.deliveries WHERE active"),
    )
    pings = one(sample_db, "SELECT count(*) FROM dk.driver_locations WHERE driver_id = %s", busy)
    file = tmp_path / "erased.txt"
    file.write_text(f"driver:{busy}\ndriver:{gone}\n")
    why = f"a delivery of driver {busy} is under way; erase when it has ended"
    words = ("data", "erase", "--again", "--journal", file)
    for more in (("--dry-run",), ()):
        assert wherever(sample_db, str(LAT)) == ["dk.driver_locations"]
        ran = cli_in_process("--json", *words, *more, db=sample_db)
        told = json.loads(ran.stdout)
        assert (ran.exit, list(told["erased"]), told["refused"]) == (
            3,
            [f"driver:{gone}"],
            {f"driver:{busy}": why},
        )
        assert f"1 people not erased, the first: {why}" in ran.stderr
    assert wherever(sample_db, str(LAT)) == []
    assert (
        one(sample_db, "SELECT count(*) FROM dk.driver_locations WHERE driver_id = %s", busy)
        == pings
    )
    assert f"driver:{busy}\t{why}" in cli_in_process(*words, db=sample_db).stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [("driver:1\nmoon:2\n", ":2: 'moon:2' names nobody"), ("driver:1\ndriver:10", ":2: cut short")],
)
def test_damaged_journal_erases_nobody(sample_db, tmp_path, text, told):
    store, file, id_ = PostgresStore(sample_db), tmp_path / "erased.txt", plant(sample_db, "driver")
    file.write_text(text)
    for people in ((), (f"driver:{id_}",)):
        with pytest.raises(BadData, match=told):
            privacy.erase(store, people, outside=file)
    assert file.read_text() == text
    assert wherever(sample_db, str(LAT)) == ["dk.driver_locations"]


def test_locked_journal_stops_erasure(cli_in_process, sample_db, tmp_path):
    file, id_ = tmp_path / "erased.txt", plant(sample_db, "driver")
    with outside.appending(file, "journal"):
        assert (
            cli_in_process("data", "erase", f"driver:{id_}", "--journal", file, db=sample_db).exit
            == 75
        )
    assert file.read_text() == ""
    assert wherever(sample_db, str(LAT)) == ["dk.driver_locations"]


def test_more_rows_than_allowed_are_not_erased(sample_db):
    store, id_ = PostgresStore(sample_db), plant(sample_db, "driver")
    rows = sum(privacy.erase(store, [f"driver:{id_}"], dry_run=True).held[f"driver:{id_}"].values())
    with pytest.raises(Refused, match=f"{rows} rows would be erased"):
        privacy.erase(store, [f"driver:{id_}"], max_changes=rows - 1)
    assert one(sample_db, "SELECT count(*) FROM dk_aud.erasures") == 0
    assert (
        sum(
            privacy.erase(store, [f"driver:{id_}"], max_changes=rows).held[f"driver:{id_}"].values()
        )
        == rows
    )


def test_erasure_with_working_driver_erases_nobody(sample_db):
    store, gone = PostgresStore(sample_db), plant(sample_db, "driver")
    working = one(sample_db, "SELECT min(driver_id) FROM dk.deliveries WHERE active")
    waiting = one(
        sample_db,
        "SELECT min(o.customer_id) FROM dk.orders o JOIN dk.deliveries d ON d.order_id = o.id "
        "WHERE d.active",
    )
    idle = one(
        sample_db,
        "SELECT min(id) FROM dk.drivers WHERE duty <> 'OFF_DUTY' AND id NOT IN "
        "(SELECT driver_id FROM dk.deliveries WHERE active)",
    )
    for person, why in [
        (f"driver:{working}", "under way"),
        (f"customer:{waiting}", "under way"),
        (f"driver:{idle}", "at work"),
        ("driver:987654", "there is no driver 987654"),
    ]:
        with pytest.raises(Refused, match=why):
            privacy.erase(store, [f"driver:{gone}", person])
    with pytest.raises(
        Refused, match=f"driver {idle} is at work.*; there is no driver 987654; nobody erased"
    ):
        privacy.erase(store, [f"driver:{idle}", f"driver:{gone}", "driver:987654"])
    assert wherever(sample_db, str(LAT)) == ["dk.driver_locations"]
    assert one(sample_db, "SELECT count(*) FROM dk_aud.erasures") == 0


def test_purge_removes_expired_rows_only(cli_in_process, sample_db):
    sweep(PostgresStore(sample_db, now=databases.NOW), catalog.settings(), "offers", Options())
    with sample_db.begin() as connection:
        connection.exec_driver_sql("UPDATE dk.outbox SET sent_at = at WHERE mod(id, 2) = 0")
    sent = one(sample_db, "SELECT count(*) FROM dk.outbox WHERE sent_at IS NOT NULL")
    kept = one(sample_db, "SELECT count(*) FROM dk.outbox")
    at = databases.NOW + timedelta(days=29)
    limit = rfc3339(at)
    young = one(
        sample_db,
        "SELECT count(*) FROM dk.driver_locations WHERE at >= %s",
        at - timedelta(days=30),
    )
    old = one(sample_db, "SELECT count(*) FROM dk.driver_locations") - young
    dry = json.loads(
        cli_in_process("--json", "data", "purge", "--now", limit, "--dry-run", db=sample_db).stdout
    )
    assert dry == {"dry_run": True, "pings": old, "payloads": 0, "extracts": 0}
    done = cli_in_process("--json", "data", "purge", "--now", rfc3339(LATER), db=sample_db)
    assert json.loads(done.stdout) == {
        "dry_run": False,
        "pings": old + young,
        "payloads": sent,
        "extracts": 0,
    }
    assert one(sample_db, "SELECT count(*) FROM dk.outbox") == kept
    assert one(sample_db, "SELECT count(*) FROM dk.outbox WHERE payload = '{}'") == sent
    assert cli_in_process(
        "data", "purge", "--now", rfc3339(LATER), db=sample_db
    ).stdout.split() == [*("what", "gone", "pings", "0", "payloads", "0", "extracts", "0")]


def test_purge_above_its_limit_does_nothing(sample_db, tmp_path):
    pings = one(sample_db, "SELECT count(*) FROM dk.driver_locations")
    with pytest.raises(Refused, match=f"{pings} would be purged, --max-changes is 5"):
        privacy.purge(PostgresStore(sample_db), tmp_path, Settings({}), LATER, max_changes=5)
    assert one(sample_db, "SELECT count(*) FROM dk.driver_locations") == pings


def test_purge_removes_only_own_old_exports(sample_db, tmp_path):
    store = PostgresStore(sample_db)
    url = databases.url(sample_db)
    data_io.extract(url, tmp_path, tmp_path / "extract")
    with databases.fresh("empty") as other:
        data_io.extract(databases.url(other), tmp_path, tmp_path / "of_another")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/manifest.json").write_text("{}")
    soon = datetime.now(UTC) + timedelta(days=29)
    assert privacy.purge(store, tmp_path, Settings({}), soon, dry_run=True)["extracts"] == 0
    assert privacy.purge(store, tmp_path, Settings({}), LATER)["extracts"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "of_another"]


def test_ledgers_have_columns_that_are_classed(database):
    with database.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'dk' "
            "AND table_name = ANY(%s)",
            (list(LEDGERS),),
        ).all()
    assert {tuple(row) for row in found} == {
        (t, column) for t, columns in LEDGERS.items() for column in columns
    }


def test_strict_clock_refuses_purge_with_now(database, tmp_path):
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE dk.meta SET clock = 'strict'")
    with pytest.raises(Usage, match="strict clock"):
        privacy.purge(PostgresStore(database), tmp_path, Settings({}), LATER)
    with pytest.raises(DispatchError):
        audit.show(PostgresStore(database), Settings({}), 1)

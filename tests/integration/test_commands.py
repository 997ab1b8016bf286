"""Messages and exit codes of the commands when the database is missing, locked or wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import NoReturn

import pytest

from dispatchkit.cli import main
from dispatchkit.flows.live import catalog
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import BadData, DatabaseUnavailable, IllegalTransition, TryLater
from dispatchkit.store import migrate
from dispatchkit.store.contract import RunRequest
from dispatchkit.store.postgres import PostgresStore
from tests import databases

SECRET = "geheim42"
OPTIONS = ("--now", rfc3339(databases.NOW))


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Return a function that runs a command line in this process: (exit, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> tuple[int, str, str]:
        code = main.run([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def one_line(stderr: str) -> str:
    """Return the only message; warnings stand in lines of their own."""
    lines = [line for line in stderr.splitlines() if not line.startswith("dispatchkit: warning:")]
    assert len(lines) == 1, stderr
    return lines[0]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (f"postgresql://u:{SECRET}@127.0.0.1:1/x", 69),
        (f"postgresql://u:{SECRET}@no-such-host.invalid/x", 69),
        (f"postgresql://u:{SECRET}@/x?host=/nowhere", 69),
        (f"postgresql://u:{SECRET}@127.0.0.1:port/x", 2),
        (f"postgresql://u:{SECRET}@[::1/x", 2),
        (f"postgresql://u:{SECRET}@127.0.0.1:99999/x", 69),
        (f"postgresql://127.0.0.1:1/x?password={SECRET}", 69),
        (f"postgresql://127.0.0.1:1/x?pasword={SECRET}", 2),
        (f"sqlite:///{SECRET}.db", 2),
        (SECRET, 2),
        ("", 2),
    ],
)
@pytest.mark.parametrize(
    "words", [("db", "status"), ("sweep", "offers", *OPTIONS), ("--debug", "db", "check")], ids=str
)
def test_unreachable_database_error_hides_password(run, url, code, words):
    found, out, err = run("--db", url, *words)
    assert found == code, err
    assert SECRET not in out + err
    if "--debug" not in words:
        assert one_line(err).startswith("dispatchkit: DK-")


def test_database_that_does_not_exist_is_unreachable(run, database):
    gone = databases.to_database(databases.url(database), "no_such_database")
    code, _, err = run("--db", gone, "db", "status")
    assert (code, "no_such_database" in one_line(err)) == (69, True)


def test_database_without_schema_asks_for_it(run, database):
    migrate.down(database, "base")
    for words in (
        ("sweep", "offers"),
        ("act", "offer", "accept", 1, "--driver", 1),
        ("db", "check"),
    ):
        code, _, err = run("--db", databases.url(database), *words)
        assert (code, "db up" in one_line(err)) == (76, True)


@pytest.mark.parametrize("revision", ["20260201000800", "29990101000000"])
def test_other_revision_is_refused_before_writing(run, sample_db, revision):
    newest = migrate.newest()
    with sample_db.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE public.alembic_version SET version_num = %s", (revision,)
        )
    for words in (
        ("sweep", "offers", *OPTIONS),
        ("act", "offer", "accept", 1, "--driver", 1, *OPTIONS),
    ):
        code, out, err = run("--db", databases.url(sample_db), *words)
        assert (code, out) == (76, "")
        assert revision in one_line(err) and newest in err
    with sample_db.begin() as connection:
        connection.exec_driver_sql("UPDATE public.alembic_version SET version_num = %s", (newest,))
        assert connection.exec_driver_sql("SELECT count(*) FROM dk.sweep_runs").scalar_one() == 0


def test_strict_clock_takes_no_instant_from_anyone(run, sample_db):
    url = databases.url(sample_db)
    assert run("--db", url, "db", "up", "--strict-clock")[0] == 0
    for words in (("sweep", "offers"), ("act", "offer", "accept", 1, "--driver", 1)):
        code, out, err = run("--db", url, *words, *OPTIONS)
        assert (code, out, "strict clock" in one_line(err)) == (2, "", True)
    with sample_db.connect() as connection:
        connection.exec_driver_sql("SELECT set_config('dk.now', '2026-01-01', false)")
        assert connection.exec_driver_sql("SELECT dk.clock() > '2026-02-01'").scalar_one()


def test_sweep_with_held_lock_exits_try_later(run, sample_db, now):
    with PostgresStore(sample_db, now=now).sweeping(RunRequest(sweep="offers")):
        code, out, err = run("--db", databases.url(sample_db), "sweep", "offers", *OPTIONS)
        assert (code, out, "another run" in one_line(err)) == (75, "", True)
        assert (
            run("--db", databases.url(sample_db), "sweep", "offers", *OPTIONS, "--dry-run")[0] == 0
        )
    with sample_db.connect() as connection:
        assert connection.exec_driver_sql(
            "SELECT count(*), min(status) FROM dk.sweep_runs"
        ).one() == (
            1,
            "OK",
        )


def test_sweep_leaves_locked_rows_to_next_run(run, sample_db):
    words = ("--db", databases.url(sample_db), "--json", "sweep", "offers", *OPTIONS)
    planned = json.loads(run(*words, "--dry-run")[1])["changes"]
    with sample_db.begin() as connection:
        connection.exec_driver_sql("SELECT FROM dk.deliveries FOR UPDATE")
        code, out, err = run(*words)
    assert (code, json.loads(out)["applied"], json.loads(out)["busy"]) == (75, 0, len(planned))
    assert "rows were locked by others" in err
    code, out, _ = run(*words)
    assert (code, json.loads(out)["applied"]) == (0, len(planned))


def test_act_on_locked_row_exits_try_later(run, sample_db):
    with sample_db.begin() as connection:
        offer, driver = connection.exec_driver_sql(
            "SELECT id, driver_id FROM dk.driver_offers WHERE state = 'PENDING'"
        ).first()
        connection.exec_driver_sql("SELECT FROM dk.deliveries FOR UPDATE")
        code, out, err = run(
            "--db", databases.url(sample_db), "act", "offer", "accept", offer, "--driver", driver
        )
    assert (code, out) == (75, ""), err


def test_login_without_app_role_is_told_grant(run, database):
    with database.begin() as connection:
        connection.exec_driver_sql(
            "DO $$ BEGIN CREATE ROLE dk_test_stranger LOGIN; EXCEPTION WHEN duplicate_object THEN "
            "END $$"
        )
        connection.exec_driver_sql("GRANT SELECT ON public.alembic_version TO dk_test_stranger")
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA dk TO dk_test_stranger")
    stranger = databases.url(database).replace("//postgres@", "//dk_test_stranger@")
    if stranger == databases.url(database):
        pytest.skip("the given server's login is not `postgres`")
    code, _, err = run("--db", stranger, "sweep", "offers", *OPTIONS)
    with database.begin() as connection:
        connection.exec_driver_sql("DROP OWNED BY dk_test_stranger")
    assert (code, "dk_app" in one_line(err)) == (77, True)


def test_documented_roles_suffice_for_cron(run, sample_db, tmp_path):
    with sample_db.begin() as connection:
        connection.exec_driver_sql(
            "DO $$ BEGIN CREATE ROLE dk_test_cron LOGIN; EXCEPTION WHEN duplicate_object THEN END "
            "$$"
        )
        connection.exec_driver_sql("GRANT dk_app, dk_import, dk_export, dk_verify TO dk_test_cron")
    cron = databases.url(sample_db).replace("//postgres@", "//dk_test_cron@")
    if cron == databases.url(sample_db):
        pytest.skip("the given server's login is not `postgres`")
    for words in (
        ("sweep", "all"),
        ("db", "check"),
        ("db", "status"),
        ("data", "extract", "--to", tmp_path / "x"),
    ):
        code, _, err = run(
            "--db",
            cron,
            "-q",
            *words,
            *(OPTIONS if words[0] != "data" and words[1] != "status" else ()),
        )
        assert code == 0, (words, err)


def fail(monkeypatch, feature: str, fault: Exception) -> None:
    """Let a sweep's policy raise `fault`."""
    module = import_module(catalog.FEATURES[feature])

    def decide(*_: object) -> NoReturn:
        raise fault

    monkeypatch.setattr(module, "FEATURE", replace(module.FEATURE, decide=decide))


def runs(engine) -> dict[str, str]:
    """Return how the newest run of each sweep ended."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT sweep, status FROM dk.sweep_runs ORDER BY started_at"
        )
        return dict(map(tuple, found))


def test_one_stuck_sweep_stops_no_other(run, sample_db, now):
    with PostgresStore(sample_db, now=now).sweeping(RunRequest(sweep="reassignment")):
        code, out, err = run("--db", databases.url(sample_db), "sweep", "all", *OPTIONS)
    assert (code, "another run of sweep reassignment" in err) == (75, True)
    assert "offer_created" in out
    with sample_db.connect() as connection:
        done = connection.exec_driver_sql(
            "SELECT sweep FROM dk.sweep_runs WHERE status = 'OK' AND applied > 0 ORDER BY 1"
        )
        assert done.scalars().all() == ["escalation", "offers", "routes"]


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ({"availability": BadData("a row too many")}, 65),
        ({"availability": BadData("a row too many"), "offers": ZeroDivisionError("geheim42")}, 1),
        ({"availability": IllegalTransition("no such step"), "offers": TryLater("too busy")}, 75),
        ({"availability": IllegalTransition("no such step")}, 3),
        (
            {
                "availability": OSError(28, "No space left on device"),
                "routes": TryLater("too busy"),
            },
            74,
        ),
    ],
    ids=lambda given: " and ".join(given) if isinstance(given, dict) else None,
)
def test_failed_sweep_does_not_stop_others(run, sample_db, monkeypatch, faults, code):
    for name, fault in faults.items():
        fail(monkeypatch, name, fault)
    found, out, err = run("--db", databases.url(sample_db), "--json", "sweep", "all", *OPTIONS)
    assert found == code, err
    others = [name for name in catalog.SWEEPS if name not in faults]
    assert [result["sweep"] for result in json.loads(out)] == others
    assert runs(sample_db) == dict.fromkeys(others, "OK") | dict.fromkeys(faults, "FAILED")
    assert all(f"sweep {name}: " in err for name in faults), "each is named"
    assert SECRET not in out + err, "what a bug says may hold anything"
    one_line(err)


def test_traceback_of_one_sweep_shown_on_request(run, sample_db, monkeypatch):
    fail(monkeypatch, "offers", ZeroDivisionError())
    code, _, err = run("--db", databases.url(sample_db), "--debug", "sweep", "all", *OPTIONS)
    assert (code, "in decide" in err, "ZeroDivisionError" in err) == (1, True, True)


def test_lost_database_ends_cycle_and_reports_finished_sweeps(run, sample_db, monkeypatch):
    fail(monkeypatch, "reassignment", DatabaseUnavailable("gone"))
    code, out, _ = run("--db", databases.url(sample_db), "--json", "sweep", "all", *OPTIONS)
    assert (code, [result["sweep"] for result in json.loads(out)]) == (69, ["availability"])
    assert runs(sample_db) == {"availability": "OK", "reassignment": "FAILED"}


def test_sweep_is_silent_only_with_work_due(run, sample_db, now):
    def checked(minutes: int) -> tuple[int, str]:
        later = rfc3339(now + timedelta(minutes=minutes))
        code, _, err = run("--db", databases.url(sample_db), "db", "check", "--now", later)
        return code, err

    code, err = checked(20)
    assert (code, "sweep offers fell silent" in err) == (3, True)
    run(
        "--db",
        databases.url(sample_db),
        "sweep",
        "all",
        "--now",
        rfc3339(now + timedelta(minutes=19)),
    )
    assert checked(20)[0] == 0


def test_listing_that_is_cut_says_so(run, sample_db):
    with sample_db.connect() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM dk.drivers").scalar_one()
    database = ("--db", databases.url(sample_db))
    code, out, err = run("show", "drivers", *database, "--json", "--limit", count - 1, *OPTIONS)
    assert (code, len(json.loads(out))) == (0, count - 1)
    assert f"the first {count - 1} rows; there are more" in err
    code, out, err = run("show", "drivers", *database, "--json", "--limit", count, *OPTIONS)
    assert (code, len(json.loads(out)), err) == (0, count, "")

"""A driver's evening by the real command line: every duty, its history, and where the phone is."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from dispatchkit.kernel.clock import rfc3339
from tests import databases

MISSING = 999_999_999


def when(minute: float = 0) -> tuple[str, str]:
    return "--now", rfc3339(databases.NOW + timedelta(minutes=minute))


def said(ran) -> tuple[int, str]:
    """Return a command's exit and the code in its document."""
    assert ran.stdout, ran.stderr
    return ran.exit, json.loads(ran.stdout)["code"]


def ask(made, query: str, *args: object):
    with made.connect() as on:
        return [tuple(row) for row in on.exec_driver_sql(query, args)]


def history(made, driver: int, since: datetime = databases.NOW):
    """Return the duties that began at or after an instant, and whether each meets the one before."""
    rows = ask(
        made,
        "SELECT duty, since, lag(until) OVER (ORDER BY since) = since FROM dk.driver_availability_history "
        "WHERE driver_id = %s ORDER BY since",
        driver,
    )
    return [
        (duty, (at - databases.NOW).total_seconds() / 60, meets)
        for duty, at, meets in rows
        if at >= since
    ]


@pytest.fixture
def idle(sample_db) -> int:
    """Return a driver on duty with empty hands whom nobody asks."""
    ((driver,),) = ask(
        sample_db,
        "SELECT min(id) FROM dk.drivers r WHERE duty = 'ON_DUTY' AND NOT EXISTS (SELECT FROM dk.deliveries d WHERE "
        "d.driver_id = r.id AND d.active) AND NOT EXISTS (SELECT FROM dk.driver_offers o WHERE o.driver_id = r.id AND "
        "o.state = 'PENDING')",
    )
    return int(driver)


def test_a_break_runs_out_is_said_and_ends_the_shift_of_who_sleeps(cli, sample_db, idle):
    asked = cli("--json", "act", "driver", "break", idle, "--minutes", 20, *when(), db=sample_db)
    assert said(asked) == (0, "OK")
    sweeps = [
        cli("-q", "--json", "sweep", "availability", *when(m), db=sample_db)
        for m in (19, 21, 22, 26)
    ]
    events = [[c["event"] for c in json.loads(ran.stdout)["changes"] if c["entity"] == "duty" or c["id"] == str(idle)]
              for ran in sweeps]  # fmt: skip
    assert [sum(event == "break_expired" for event in made) for made in events] == [0, 1, 0, 0]
    assert history(sample_db, idle) == [("ON_BREAK", 0, True), ("OFF_DUTY", 25, True)]
    told = ask(sample_db, "SELECT payload->>'from', payload->>'to', payload->>'reason' FROM dk.outbox "
                     "WHERE event = 'availability_changed' AND root_id = %s ORDER BY id", idle)  # fmt: skip
    assert told == [
        ("ON_DUTY", "ON_BREAK", "BREAK_ASKED"),
        ("ON_BREAK", "OFF_DUTY", "BREAK_EXPIRED"),
    ]


def test_a_dry_run_says_what_an_act_would_do_and_leaves_no_trace(cli, sample_db, idle):
    dry = cli("--json", "act", "driver", "end-shift", idle, "--dry-run", *when(), db=sample_db)
    assert (said(dry), history(sample_db, idle)) == ((0, "OK"), [])
    done = cli("--json", "act", "driver", "end-shift", idle, *when(), db=sample_db)
    assert json.loads(done.stdout)["changes"] == json.loads(dry.stdout)["changes"]
    again = cli("--json", "act", "driver", "end-shift", idle, *when(1), db=sample_db)
    assert said(again) == (0, "OK_REPLAY")


def test_a_busy_driver_waits_for_the_last_delivery_and_sleeps_through_no_rule(cli, sample_db):
    ((driver,),) = ask(sample_db, "SELECT min(driver_id) FROM dk.deliveries d JOIN dk.drivers r ON r.id = d.driver_id "
                             "WHERE d.active AND r.duty = 'ON_DUTY'")  # fmt: skip
    assert said(cli("--json", "act", "driver", "break", driver, *when(), db=sample_db)) == (
        0,
        "OK_PENDING",
    )
    assert said(cli("--json", "act", "driver", "end-shift", driver, *when(1), db=sample_db)) == (
        0,
        "OK_PENDING",
    )
    assert said(cli("--json", "act", "driver", "start-shift", driver, *when(2), db=sample_db)) == (
        0,
        "OK",
    )
    assert [duty for duty, _, _ in history(sample_db, driver)] == [
        "BREAK_PENDING",
        "ENDING_SHIFT",
        "ON_DUTY",
    ]
    ran = cli(
        "act", "driver", "suspend", driver, "--reason", "DOCUMENTS_MISSING", *when(3), db=sample_db
    )
    assert (ran.exit, ran.stdout.splitlines()[0]) == (0, "OK")
    refused = cli(
        "--json", "act", "driver", "reinstate", driver, "--reason", "SEEN", *when(4), db=sample_db
    )
    assert said(refused) == (3, "ILLEGAL_TRANSITION")
    assert ask(sample_db, "SELECT event, root, root_id, code, was FROM dk.refusals") == [
        ("reinstate", "driver", driver, "ILLEGAL_TRANSITION", "SUSPENDED")
    ]
    assert ask(
        sample_db,
        "SELECT DISTINCT reason FROM dk_aud.delivery_audit_logs "
        "WHERE tbl = 'drivers' AND row_id = %s AND reason = 'DOCUMENTS_MISSING'",
        driver,
    )


def test_after_twelve_hours_the_answer_names_when_the_driver_may_come_back(cli, sample_db, idle):
    cli("act", "driver", "end-shift", idle, *when(), db=sample_db)
    assert cli("act", "driver", "start-shift", idle, *when(400), db=sample_db).exit == 0, (
        "rested six hours"
    )
    cli("-q", "sweep", "availability", *when(400 + 721), db=sample_db)
    ran = cli("--json", "act", "driver", "start-shift", idle, *when(400 + 722), db=sample_db)
    assert said(ran) == (3, "HOURS_CAP")
    back = databases.NOW + timedelta(minutes=400 + 720 + 360)
    assert json.loads(ran.stdout)["details"] == {"rested_at": rfc3339(back)}
    assert history(sample_db, idle)[-1] == ("FORCED_OFF", 400 + 720, True)


def test_a_ping_is_kept_once_an_instant_and_never_in_the_trail(cli, sample_db, idle):
    before = ask(sample_db, "SELECT count(*) FROM dk_aud.delivery_audit_logs")
    here = ("--lat", 52.5, "--lon", 13.4)
    outcomes = [
        said(cli("--json", "act", "ping", idle, *here, *place, *when(), db=sample_db))
        for place in (
            (),
            (),
            ("--at", rfc3339(databases.NOW + timedelta(minutes=2))),
            ("--at", "2026-03-06T19:32:01Z"),
        )
    ]
    assert outcomes == [(0, "OK"), (0, "OK_REPLAY"), (0, "OK"), (3, "CLOCK_SKEW")]
    assert said(cli("--json", "act", "ping", MISSING, *here, *when(), db=sample_db)) == (
        3,
        "NOT_FOUND",
    )
    kept = ask(
        sample_db,
        "SELECT at FROM dk.driver_locations WHERE driver_id = %s AND at >= %s",
        idle,
        databases.NOW,
    )
    assert len(kept) == 2
    assert ask(sample_db, "SELECT count(*) FROM dk_aud.delivery_audit_logs") == before
    shown = cli("--json", "show", "drivers", "--limit", 1000, *when(3), db=sample_db)
    (row,) = [row for row in json.loads(shown.stdout) if row["id"] == str(idle)]
    assert (row["same_place"], row["freshness"], row["availability"], row["unreachable"]) == (
        True,
        "FRESH",
        "AVAILABLE",
        False,
    )
    assert "52.5" not in shown.stdout


@pytest.mark.parametrize(
    "place", [("--lat", "nan", "--lon", 1), ("--lat", 91, "--lon", 1), ("--lat", 0, "--lon", 0)]
)
def test_what_is_no_place_on_earth_is_a_usage_error(cli, sample_db, idle, place):
    assert cli("act", "ping", idle, *place, *when(), db=sample_db).exit == 2


def test_drivers_that_no_sweep_looked_after_are_found_by_db_check(cli, sample_db):
    ran = cli("-q", "db", "check", *when(60), db=sample_db)
    assert ran.exit == 3
    assert "sweep availability fell silent" in ran.stdout + ran.stderr

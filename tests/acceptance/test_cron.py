"""Sweeps as cron runs them: cut short and taken up again, stopped in the middle, beside a migration."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psycopg
import pytest

from dispatchkit.kernel.clock import rfc3339
from dispatchkit.store import migrate
from tests import databases
from tests.crash.recovery import (
    broken_invariants,
    differences,
    table_contents,
    wait_for_disconnects,
)
from tests.databases import ROOT

OPTIONS = ("--now", rfc3339(databases.NOW))


def ledger(made) -> list[tuple[object, ...]]:
    """Return the runs as (status, applied, busy), oldest first."""
    with made.connect() as on:
        found = on.exec_driver_sql(
            "SELECT status, applied, busy FROM dk.sweep_runs ORDER BY started_at"
        )
        return [tuple(row) for row in found]


def test_a_run_cut_at_max_rows_says_so_and_the_next_runs_end_where_one_run_would(cli, sample_db):
    words = ("--json", "sweep", "routes", *OPTIONS)
    with databases.fresh("sample") as whole:
        planned = json.loads(cli(*words, db=whole).stdout)
        wanted = table_contents(whole)
    limit = len(planned["changes"]) // 2 + 1
    first, second = (cli(*words, "--max-rows", limit, db=sample_db) for _ in range(2))
    assert (first.exit, second.exit) == (75, 0), first.stderr + second.stderr
    assert "beyond --max-rows" in first.stderr
    done = [json.loads(ran.stdout) for ran in (first, second)]
    assert 0 < done[0]["applied"] <= limit
    assert done[0]["deferred"] == len(planned["changes"]) - done[0]["applied"] == done[1]["applied"]
    assert [line[0] for line in ledger(sample_db)] == ["PARTIAL", "OK"]
    assert differences(table_contents(sample_db), wanted) == {}


def test_a_dry_run_tells_how_many_orders_drivers_promises_and_cents_it_would_touch(cli, sample_db):
    ran = cli("--json", "sweep", "offers", *OPTIONS, "--dry-run", db=sample_db)
    told = json.loads(ran.stdout)
    offers = [c for c in told["changes"] if c["entity"] == "offer" and c["version"] == 0]
    assert told["impact"]["offers"] >= len(offers) > 0
    assert told["impact"]["offered_cents"] == sum(c["after"]["pay_cents"] for c in offers)
    said = cli("sweep", "offers", *OPTIONS, "--dry-run", db=sample_db).stderr
    assert (
        f"would change deliveries {told['impact']['deliveries']}, drivers {told['impact']['drivers']}"
        in said
    )


def test_an_act_that_would_change_more_than_allowed_is_refused_and_changes_nothing(cli, sample_db):
    with sample_db.connect() as on:
        held = (
            on.exec_driver_sql("SELECT id FROM dk.deliveries WHERE state = 'ASSIGNED' ORDER BY id")
            .scalars()
            .first()
        )
    words = ("act", "delivery", "reassign", held, "--reason", "FLAT_TYRE", *OPTIONS)
    before = table_contents(sample_db)
    refused = cli(*words, "--max-changes", 1, db=sample_db)
    assert (refused.exit, differences(table_contents(sample_db), before)) == (3, {})
    assert "limit 1; nothing done" in refused.stderr
    assert cli(*words, "--max-changes", 20, db=sample_db).exit == 0
    assert differences(table_contents(sample_db), before) != {}


def test_a_sweep_and_a_migration_keep_each_other_out(cli, sample_db):
    with psycopg.connect(databases.url(sample_db), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(1684733952)")  # as a migration holds it
        swept = cli("sweep", "offers", *OPTIONS, db=sample_db)
        other.execute("SELECT pg_advisory_unlock_all()")
        other.execute("SELECT pg_advisory_lock_shared(1684733952)")  # as a sweep holds it
        migrated = cli("db", "down", "base", db=sample_db)
    assert (swept.exit, migrated.exit) == (75, 75), swept.stderr + migrated.stderr
    assert "the database is being migrated" in swept.stderr
    assert "a sweep is at work" in migrated.stderr
    assert migrate.status(sample_db).current
    assert ledger(sample_db) == []


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_sweep_stopped_in_the_middle_of_a_batch_leaves_nothing_of_it(sample_db, stop, code):
    words = ("sweep", "offers", *OPTIONS, "--batch", "20")
    with psycopg.connect(databases.url(sample_db)) as other:
        other.execute(
            "SELECT FROM dk_aud.head FOR UPDATE"
        )  # so that the first batch waits for its trail
        process = subprocess.Popen(
            [sys.executable, "-m", "dispatchkit", "--db", databases.url(sample_db), *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(600):
            waits = (
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            with sample_db.connect() as on:
                if on.exec_driver_sql(waits).scalar_one():
                    break
            time.sleep(0.05)
        process.send_signal(stop)
        _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    wait_for_disconnects(sample_db)
    assert broken_invariants(sample_db) == []
    assert [line[:2] for line in ledger(sample_db)] == [("FAILED", 0)]


def test_show_runs_tells_what_a_run_was_decided_with_and_how_long_it_took(cli, sample_db):
    assert cli("sweep", "offers", *OPTIONS, "--seed", 7, db=sample_db).exit == 0
    (run,) = json.loads(cli("--json", "show", "runs", db=sample_db).stdout)
    assert (run["sweep"], run["state"], run["seed"], run["now_given"]) == ("offers", "OK", 7, True)
    assert (len(run["inputs_sha256"]), len(run["config_sha256"])) == (12, 12)
    assert 0 < run["took_s"] < 60
    assert run["params"]["params"]["max_attempts"] > 0

"""Events go out by the real command line, and `why` answers there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.databases import ROOT
from tests.unit.senders.gateway import gateway

AT = ("--now", rfc3339(databases.NOW))
PUSH = """[outbox]
patience = "0s"
give_up = "1h"
[senders.push]
kind = "webhook"
secret_env = "PUSH_SECRET"
url = "{url}"
"""
SECRET = {"PUSH_SECRET": "geheim42"}


@pytest.fixture
def filled(sample_db):
    sweep(PostgresStore(sample_db, now=databases.NOW), catalog.settings(), "offers", Options())
    return sample_db


def config(tmp_path, text: str) -> tuple[str, str]:
    (tmp_path / "senders.toml").write_text(text)
    return ("--config", "senders.toml")


def test_events_leave_signed_once_and_the_listing_tells_it(cli, filled, tmp_path):
    with gateway() as there:
        given = config(tmp_path, PUSH.format(url=there.url))
        dry = cli("--json", *given, "sweep", "outbox", "--dry-run", *AT, db=filled, env=SECRET)
        real = cli("--json", *given, "sweep", "outbox", *AT, db=filled, env=SECRET)
        again = cli("--json", *given, "sweep", "outbox", *AT, db=filled, env=SECRET)
    assert (dry.exit, real.exit, again.exit) == (0, 0, 0), real.stderr
    counts = [json.loads(ran.stdout)["job_counts"] for ran in (dry, real, again)]
    number = counts[0]["push due"]
    assert counts[1:] == [{"push delivered": number, "closed": number}, {"closed": 0}]
    assert number == len(there.posts) > 20
    assert all(post["signature"] for post in there.posts)
    assert "geheim42" not in "".join(ran.stdout + ran.stderr for ran in (dry, real, again))
    listed = cli("--json", "show", "outbox", "--state", "DELIVERED", "--limit", 3, db=filled)
    assert [row["sender"] for row in json.loads(listed.stdout)] == ["push"] * 3


def test_what_was_given_up_on_is_named_by_the_check_and_goes_out_after_a_retry(
    cli, filled, tmp_path
):
    late = ("--now", rfc3339(databases.NOW + timedelta(hours=2)))
    with gateway(always=500) as there:
        given = config(tmp_path, PUSH.format(url=there.url))
        cli(*given, "sweep", "outbox", *AT, db=filled, env=SECRET)
        there.always = None
        there.answers = [500]
        cli(*given, "sweep", "outbox", *late, db=filled, env=SECRET)
        checked = cli("db", "check", *late, db=filled)
        assert (checked.exit, "sender push: 1 events were given up on" in checked.stderr) == (
            3,
            True,
        )
        words = ("--json", *given, "outbox", "retry", "push", *late)
        assert json.loads(cli(*words, "--dry-run", db=filled).stdout)["due"] == 1
        assert cli(*words, "--max-changes", 0, db=filled).exit == 3
        assert json.loads(cli(*words, "--max-changes", 1, db=filled).stdout)["due"] == 1
        cli(*given, "sweep", "outbox", *late, db=filled, env=SECRET)
    checked = cli("db", "check", *late, db=filled)
    assert "sender push" not in checked.stderr


def test_a_terminated_run_marks_what_has_left_and_begins_nothing_more(cli, filled, tmp_path):
    with gateway(always="slow") as there:
        given = config(tmp_path, PUSH.format(url=there.url))
        words = [
            sys.executable,
            "-m",
            "dispatchkit",
            "--db",
            databases.url(filled),
            *given,
            "sweep",
            "outbox",
            *AT,
        ]
        running = subprocess.Popen(
            words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), **SECRET}
        )
        while len(there.posts) < 3:
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 143
        left = len(there.posts)
        assert left < 10
        there.always = None
        done = json.loads(
            cli("--json", *given, "sweep", "outbox", *AT, db=filled, env=SECRET).stdout
        )["job_counts"]
    assert done["push delivered"] == done["closed"] - left
    assert len(there.keys) == len(set(there.keys))


def test_a_run_whose_time_is_up_says_what_it_leaves_and_tries_later(cli, filled, tmp_path):
    with gateway(always="slow") as there:
        given = config(tmp_path, PUSH.format(url=there.url))
        ran = cli("--json", *given, "sweep", "outbox", "--deadline", 1, *AT, db=filled, env=SECRET)
    told = json.loads(ran.stdout)
    assert ran.exit == 75, ran.stderr
    assert f"time was up (outbox: {told['job_counts']['deferred']})" in ran.stderr
    assert told["busy"] == told["job_counts"]["deferred"] > 0
    assert told["job_counts"]["push delivered"] == len(there.posts) > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[senders.push]\nkind = "webhook"\n', "senders.push.url"),
        ('[senders.push]\nkind = "log"\ncolour = "red"\n', "colour"),
        ('[outbox]\nfirst_wait = "1h"\n', "outbox.first_wait"),
        (PUSH.format(url="https://push.example/"), "PUSH_SECRET"),
    ],
)
def test_a_sender_that_cannot_be_is_a_bad_configuration(cli, sample_db, tmp_path, text, said):
    ran = cli(*config(tmp_path, text), "sweep", "outbox", *AT, db=sample_db)
    assert ran.exit == 78
    assert said in ran.stderr


def test_an_unknown_sender_has_nothing_to_retry(cli, sample_db):
    ran = cli("outbox", "retry", "pigeon", db=sample_db)
    assert (ran.exit, "senders.pigeon" in ran.stderr) == (2, True)


def test_why_answers_in_sentences_first_and_in_full_as_json(cli, filled):
    with filled.connect() as on:
        query = "SELECT delivery_id, driver_id FROM dk.driver_offers WHERE state = 'PENDING' ORDER BY id LIMIT 1"
        delivery, driver = on.exec_driver_sql(query).one()
    told = cli("why", delivery, *AT, db=filled)
    assert told.stdout.startswith(f"Delivery {delivery} is OFFERING: "), told.stderr
    assert told.exit == 0
    assert f"\nDriver {driver} has an offer until " in told.stdout
    assert "(ROUND_UNDER_WAY)" in told.stdout
    one = cli("--json", "why", delivery, "--driver", driver, *AT, db=filled)
    other = cli("--json", "why-not", delivery, driver, *AT, db=filled)
    assert json.loads(one.stdout)["why_not"] == json.loads(other.stdout)
    assert cli("--json", "why", delivery, "--driver", driver, *AT, db=filled).stdout == one.stdout
    missing = cli("why", 999_999_999, db=filled)
    assert (missing.exit, "there is no delivery 999999999" in missing.stderr) == (3, True)

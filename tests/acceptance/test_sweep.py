"""Sweeps by the real command line, on a filled city."""

from __future__ import annotations

import json

import pytest

from dispatchkit.domain.tables import ENTITIES, TABLES
from dispatchkit.kernel.clock import rfc3339
from tests import databases

OPTIONS = ("--now", rfc3339(databases.NOW))
SWEEPS = ("reassignment", "offers", "escalation", "routes")


def versions(made) -> dict[str, tuple[int, int | None]]:
    """Return each table's number of rows and highest version; of the ledger, the rows of runs that did something."""
    versioned = set(ENTITIES.values())
    wanted = {
        t: f"SELECT count(*), {'max(version)' if t in versioned else 'NULL'} FROM dk.{t}"
        for t in TABLES
    }
    wanted |= {
        t: f"SELECT count(*), NULL FROM {t}" for t in ("dk.decisions", "dk.outbox", "dk.refusals")
    }
    wanted["audit"] = "SELECT count(*), NULL FROM dk_aud.delivery_audit_logs"
    wanted["runs"] = "SELECT count(*), NULL FROM dk.sweep_runs WHERE applied > 0"
    with made.connect() as on:
        return {name: tuple(on.exec_driver_sql(query).one()) for name, query in wanted.items()}


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_dry_run_prints_what_the_real_run_then_does_and_a_second_run_does_nothing(
    cli, sample_db, sweep
):
    words = ("--json", "sweep", sweep, *OPTIONS)
    before = versions(sample_db)
    dry = cli(*words, "--dry-run", db=sample_db)
    assert versions(sample_db) == before
    real = cli(*words, db=sample_db)
    assert (dry.exit, real.exit) == (0, 0), dry.stderr + real.stderr
    planned, done = json.loads(dry.stdout), json.loads(real.stdout)
    assert planned["changes"], "the city must give this sweep something to do"
    assert section(dry.stdout) == section(real.stdout)
    assert (done["applied"], done["stale"], done["poison"]) == (len(planned["changes"]), [], [])
    after = versions(sample_db)
    assert after != before
    again = cli(*words, db=sample_db)
    assert (again.exit, json.loads(again.stdout)["changes"]) == (0, [])
    assert versions(sample_db) == after


def section(document: str) -> str:
    """Return the bytes of `changes` in a printed document."""
    return document[document.index('"changes"') : document.index('"decided"')]


def test_the_text_of_a_dry_run_is_that_of_the_real_run_byte_for_byte(cli, sample_db):
    dry, real = (
        cli("sweep", "offers", *OPTIONS, *more, db=sample_db) for more in (("--dry-run",), ())
    )
    assert dry.stdout == real.stdout != ""
    assert ("dry run, nothing written" in dry.stderr, "applied" in real.stderr) == (True, True)


@pytest.mark.parametrize(
    "asked", [SWEEPS, ("offers", "reassignment", "--explain")], ids=["sweeps", "explained"]
)
def test_the_same_input_gives_the_same_bytes_in_any_process(cli, sample_db, asked):
    words = ("--json", "sweep", *asked, *OPTIONS, "--seed", "7", "--dry-run")
    one, other = (cli(*words, db=sample_db, env={"PYTHONHASHSEED": seed}) for seed in ("1", "4242"))
    assert (one.exit, other.exit) == (0, 0), one.stderr
    assert one.stdout == other.stdout
    assert all(document["changes"] for document in json.loads(one.stdout))


def test_a_sweep_that_would_change_too_much_is_refused_and_changes_nothing(cli, sample_db):
    before = versions(sample_db)
    ran = cli("--json", "sweep", "offers", *OPTIONS, "--max-changes", 1, db=sample_db)
    assert (ran.exit, ran.stdout) == (3, "")
    assert "limit 1; nothing done" in ran.stderr
    assert versions(sample_db) == before


def test_a_slot_is_swept_once(cli, sample_db):
    words = ("--json", "sweep", "offers", *OPTIONS, "--slot", rfc3339(databases.NOW))
    first, second = cli(*words, db=sample_db), cli(*words, db=sample_db)
    assert (first.exit, second.exit) == (0, 0), second.stderr
    assert [json.loads(ran.stdout)["slot_done"] for ran in (first, second)] == [False, True]


def test_after_a_whole_cycle_the_check_finds_nothing(cli, sample_db):
    swept = cli("sweep", "all", *OPTIONS, db=sample_db)
    checked = cli("--json", "db", "check", *OPTIONS, db=sample_db)
    assert (swept.exit, checked.exit) == (0, 0), swept.stderr + checked.stderr
    assert json.loads(checked.stdout)["findings"] == []

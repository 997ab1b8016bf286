"""Commands on the trail: show, seal, prune, export, and replay of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event
from time import sleep

import polars as pl
import pytest

from dispatchkit.config import Settings
from dispatchkit.flows.live import bundle, catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.flows.trail import audit, retention
from dispatchkit.flows.trail import seal_file as anchor
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import BadData, NotPermitted, Refused, TryLater
from dispatchkit.store import check
from dispatchkit.store.audit import Trail
from dispatchkit.store.check import offenders
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.random_travel import RandomTravel

SOON = datetime(2100, 1, 1, tzinfo=UTC) - timedelta(days=1)  # later than any event of a test
ALL = Settings({})


def swept(engine, name: str = "offers", **options):
    return sweep(
        PostgresStore(engine, now=databases.NOW), catalog.settings(), name, Options(**options)
    )


def one(engine, sql: str, *args):
    with engine.connect() as connection:
        return connection.exec_driver_sql(sql, args).scalar_one()


def a_changed_delivery(engine) -> int:
    """Return a delivery that the sweep changed."""
    return int(
        one(
            engine,
            "SELECT min(chain) FROM dk_aud.delivery_audit_logs WHERE run_id IS NOT NULL "
            "AND tbl = 'deliveries'",
        )
    )


def test_delivery_trail_shows_run_decision_and_inputs(cli_in_process, sample_db):
    done = swept(sample_db)
    delivery = a_changed_delivery(sample_db)
    ran = cli_in_process("--json", "audit", "show", delivery, db=sample_db)
    assert ran.exit == 0, ran.stderr
    told = json.loads(ran.stdout)
    decided = {c.decision_id("offers").hex() for c in done.changes}
    of_run = [step for step in told["steps"] if step["run_id"]]
    assert {step["decision_id"] for step in of_run} <= decided
    assert of_run
    assert [run["run_id"] for run in told["runs"]] == [done.run_id]
    assert len(told["runs"][0]["inputs_sha256"]) == 64
    assert told["runs"][0]["params"]["params"]
    assert told["faults"] == []
    changed = next(step for step in of_run if step["table"] == "deliveries")["changed"]["state"]
    assert changed["before"] != changed["after"]
    text = cli_in_process("audit", "show", delivery, db=sample_db).stdout
    assert f"state {changed['before']} -> {changed['after']}" in text


def test_driver_has_own_chain_and_readings_are_recorded(cli_in_process, sample_db):
    ran = cli_in_process("--json", "audit", "show", "--driver", 1, db=sample_db)
    assert ran.exit == 0, ran.stderr
    assert {step["table"] for step in json.loads(ran.stdout)["steps"]} >= {
        "drivers",
        "driver_availability_history",
    }
    assert (
        one(
            sample_db,
            "SELECT count(*) FROM dk_aud.readings WHERE what = 'show' AND chain = -1 "
            "AND login <> ''",
        )
        == 1
    )
    assert cli_in_process("audit", "show", 987654321, db=sample_db).exit == 3
    assert cli_in_process("audit", "show", db=sample_db).exit == 2


def test_state_at_instant_matches_tables_then(sample_db):
    delivery = one(sample_db, "SELECT min(id) FROM dk.deliveries WHERE state = 'OFFERING'")
    with sample_db.connect() as connection:
        then, before = connection.exec_driver_sql(
            "SELECT clock_timestamp(), row_to_json(d) FROM dk.deliveries d WHERE id = %s",
            (delivery,),
        ).one()
    swept(sample_db)
    shown = audit.show(PostgresStore(sample_db), ALL, delivery, then)
    assert shown.state is not None
    assert shown.state["deliveries"] == [before]
    now = audit.show(PostgresStore(sample_db), ALL, delivery, SOON).state
    assert now is not None
    assert now["deliveries"][0]["version"] == one(
        sample_db, "SELECT version FROM dk.deliveries WHERE id = %s", delivery
    )
    assert (
        audit.show(PostgresStore(sample_db), ALL, delivery, then - timedelta(days=400)).state == {}
    )


def test_delivery_before_trail_shows_start_of_trail(cli_in_process, sample_db):
    delivery = one(sample_db, "SELECT min(id) FROM dk.deliveries")
    begins = rfc3339(
        one(sample_db, "SELECT min(at) FROM dk_aud.delivery_audit_logs WHERE chain = %s", delivery)
    )
    ran = cli_in_process("audit", "show", delivery, "--at", "2020-01-01T00:00:00Z", db=sample_db)
    assert (ran.exit, ran.stdout) == (0, "")
    assert ran.stderr == f"nothing before; the trail of delivery {delivery} begins {begins}\n"


def test_prune_creates_folder_and_errors_name_path(cli_in_process, sample_db, tmp_path):
    assert (
        cli_in_process("audit", "prune", "--to", tmp_path / "new", "--dry-run", db=sample_db).exit
        == 0
    )
    assert not (tmp_path / "new").exists()
    assert cli_in_process("audit", "prune", "--to", tmp_path / "new", db=sample_db).exit == 0
    assert (tmp_path / "new").is_dir()
    missing = tmp_path / "no" / "such"
    ran = cli_in_process("audit", "prune", "--to", missing, db=sample_db)
    assert (ran.exit, f"{missing.parent}: no such directory" in ran.stderr) == (73, True), (
        ran.stderr
    )
    ran = cli_in_process("audit", "verify", "--seals", missing, db=sample_db)
    assert (ran.exit, f"{missing}: no such file" in ran.stderr) == (66, True), ran.stderr


def test_disabled_flag_hides_trail_but_records_it(cli_in_process, sample_db, tmp_path):
    (tmp_path / "off.toml").write_text("[flags.audit]\nenabled = false\n")
    for words in (("audit", "show", 1), ("audit", "export", "--to", "x.csv")):
        ran = cli_in_process("--config", "off.toml", *words, db=sample_db)
        assert (ran.exit, "the trail itself goes on" in ran.stderr) == (77, True), ran.stderr
    before = one(sample_db, "SELECT count(*) FROM dk_aud.delivery_audit_logs")
    assert (
        swept(sample_db).outcome.applied
        == one(sample_db, "SELECT count(*) FROM dk_aud.delivery_audit_logs") - before
    )
    assert cli_in_process("--config", "off.toml", "audit", "verify", db=sample_db).exit == 0
    with pytest.raises(NotPermitted):
        audit.show(PostgresStore(sample_db), Settings({"flags": {"audit": {"percent": 0.0}}}), 1)


def test_every_seal_is_in_outside_file_once(cli_in_process, sample_db, tmp_path):
    file = tmp_path / "seals.txt"
    dry = ("audit", "seal", "--to", file, "--dry-run")
    assert cli_in_process(*dry, db=sample_db).exit == 0
    assert not file.exists()
    assert one(sample_db, "SELECT count(*) FROM dk_aud.seal") == 0
    assert cli_in_process("audit", "seal", "--to", file, db=sample_db).exit == 0
    changes = swept(sample_db).outcome.applied
    assert (
        f"and {changes} events that no seal covers yet" in cli_in_process(*dry, db=sample_db).stderr
    )
    Trail(sample_db).seal()  # made by the job: the file gets it with the next
    swept(sample_db, "reassignment")
    for _ in range(2):
        assert cli_in_process("audit", "seal", "--to", file, db=sample_db).exit == 0
    assert file.read_text().splitlines() == Trail(sample_db).seal_lines()
    assert len(Trail(sample_db).seal_lines()) == 3
    assert file.stat().st_mode & 0o777 == 0o600
    ran = cli_in_process("audit", "verify", "--seals", file, db=sample_db)
    assert (ran.exit, "seal_file_lines\t3" in ran.stdout) == (0, True), ran.stderr


def test_incomplete_seal_line_is_completed(sample_db, tmp_path):
    file = tmp_path / "seals.txt"
    line = audit.seal(PostgresStore(sample_db), file)[0]
    for length in (0, 1, len(line) - 1, len(line)):
        file.write_text(line[:length])
        assert audit.seal(PostgresStore(sample_db), file) == [line]
        assert file.read_text() == f"{line}\n"


@pytest.mark.parametrize("text", ["1 1 5 " + "0" * 64 + "\n", "1 7 5 " + "0" * 64, "hello\n"])
def test_contradicting_seal_file_is_refused(cli_in_process, sample_db, tmp_path, text):
    file = tmp_path / "seals.txt"
    file.write_text(text)
    for more in ((), ("--dry-run",)):
        ran = cli_in_process("audit", "seal", "--to", file, *more, db=sample_db)
        assert ran.exit == (0 if more and not text.endswith("\n") else 65), ran.stderr
    assert file.read_text() == text
    assert one(sample_db, "SELECT count(*) FROM dk_aud.seal") == 0


def test_seal_file_has_one_writer_at_time(sample_db, tmp_path):
    with anchor.appending(tmp_path / "seals.txt"), pytest.raises(TryLater):
        audit.seal(PostgresStore(sample_db), tmp_path / "seals.txt")


def test_audit_sweep_seals_when_last_seal_is_old(cli_in_process, sample_db):
    store, settings = PostgresStore(sample_db), catalog.settings()
    first = sweep(store, settings, "audit", Options())
    assert first.job_counts["sealed"] == one(
        sample_db, "SELECT count(*) FROM dk_aud.delivery_audit_logs"
    )
    swept(sample_db)
    waiting = sweep(store, settings, "audit", Options()).job_counts
    assert waiting["sealed"] == 0
    assert waiting["unsealed"] > 0
    later = PostgresStore(sample_db, now=datetime.now(UTC) + timedelta(minutes=2))
    assert (
        sweep(later, settings, "audit", Options(dry_run=True)).job_counts["sealed"]
        == waiting["unsealed"]
    )
    assert sweep(later, settings, "audit", Options()).job_counts == {
        "sealed": waiting["unsealed"],
        "unsealed": 0,
    }
    assert sweep(later, settings, "audit", Options()).job_counts == {"sealed": 0, "unsealed": 0}


def counts(engine) -> tuple[int, int]:
    return tuple(
        one(engine, f"SELECT count(*) FROM dk_aud.{t}") for t in ("delivery_audit_logs", "retired")
    )


def worked(engine) -> None:
    for name in catalog.FEATURES:
        swept(engine, name)
    Trail(engine).seal()


def test_pruned_bodies_are_in_archives_and_verify(cli_in_process, sample_db, tmp_path):
    worked(sample_db)
    logs, _ = counts(sample_db)
    rows = one(sample_db, "SELECT count(DISTINCT (tbl, row_id)) FROM dk_aud.delivery_audit_logs")
    words = ("audit", "prune", "--before", rfc3339(SOON), "--to", tmp_path)
    dry = cli_in_process("--json", *words, "--dry-run", db=sample_db)
    assert json.loads(dry.stdout)["events"] == logs - rows > 0
    assert list(tmp_path.glob("*.parquet")) == []
    assert cli_in_process(*words, "--max-changes", 1, db=sample_db).exit == 3
    done = cli_in_process("--json", *words, db=sample_db)
    assert done.exit == 0, done.stderr
    assert counts(sample_db) == (rows, logs - rows)
    files = json.loads(done.stdout)["files"]
    assert [path.name for path in tmp_path.glob("*.parquet")] == files
    ran = cli_in_process("--json", "audit", "verify", "--archive", tmp_path, db=sample_db)
    assert ran.exit == 0, ran.stderr
    assert json.loads(ran.stdout)["events"] == logs
    assert [(f.name, n) for f, n in offenders(sample_db) if n] == []
    assert json.loads(cli_in_process("--json", *words, db=sample_db).stdout)["events"] == 0


def test_what_was_pruned_is_shown_from_its_archive(sample_db, tmp_path):
    worked(sample_db)
    delivery = a_changed_delivery(sample_db)
    then = one(sample_db, "SELECT max(at) FROM dk_aud.delivery_audit_logs WHERE run_id IS NULL")
    before = audit.show(PostgresStore(sample_db), ALL, delivery, then)
    retention.prune(PostgresStore(sample_db), SOON, tmp_path)
    without = audit.show(PostgresStore(sample_db), ALL, delivery, then)
    assert any(step.event.archived for step in without.steps)
    again = audit.show(PostgresStore(sample_db), ALL, delivery, then, [tmp_path])
    assert (again.steps, again.state) == (before.steps, before.state)


def test_unsealed_events_and_young_ones_stay(sample_db, tmp_path):
    swept(sample_db)
    assert retention.prune(PostgresStore(sample_db), SOON, tmp_path).events == 0, (
        "nothing is sealed yet"
    )
    Trail(sample_db).seal()
    assert (
        retention.prune(
            PostgresStore(sample_db), datetime.now(UTC) - timedelta(days=90), tmp_path
        ).events
        == 0
    )
    assert retention.prune(PostgresStore(sample_db), SOON, tmp_path).events > 0


def test_altered_or_swapped_archive_is_found(cli_in_process, sample_db, tmp_path):
    worked(sample_db)
    name = retention.prune(PostgresStore(sample_db), SOON, tmp_path).files[0]
    frame = pl.read_parquet(tmp_path / name)
    frame.with_columns(image=pl.lit("{}")).write_parquet(tmp_path / name)
    ran = cli_in_process("audit", "verify", "--archive", tmp_path / name, db=sample_db)
    assert (ran.exit, f"{name}: not the file that was archived" in ran.stderr) == (65, True), (
        ran.stderr
    )
    frame.head(1).write_parquet(tmp_path / "audit-other.parquet")
    assert (
        "of no archive of this database"
        in cli_in_process(
            "audit", "verify", "--archive", tmp_path / "audit-other.parquet", db=sample_db
        ).stderr
    )


def test_body_that_contradicts_its_link_is_named(sample_db, tmp_path):
    """The database believes the file's checksum; the bodies in it are recomputed all the same."""
    worked(sample_db)
    name = retention.prune(PostgresStore(sample_db), SOON, tmp_path).files[0]
    frame = pl.read_parquet(tmp_path / name)
    first = frame.row(0, named=True)
    frame.with_columns(image=pl.lit("{}")).write_parquet(tmp_path / name)
    with sample_db.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE dk_aud.archive DISABLE TRIGGER USER")
        connection.exec_driver_sql(
            "UPDATE dk_aud.archive SET sha256 = %s",
            (sha256((tmp_path / name).read_bytes()).hexdigest(),),
        )
        connection.exec_driver_sql(
            "ALTER TABLE dk_aud.archive ENABLE ALWAYS TRIGGER ro, ENABLE ALWAYS TRIGGER ro_t"
        )
    wrong = audit.verify(PostgresStore(sample_db), files=[tmp_path]).findings
    assert len(wrong) == 1
    assert f"{name}: {json.loads(first['head'])[2]}" in wrong[0]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "json"])
def test_audit_export_contains_no_personal_text(cli_in_process, sample_db, tmp_path, suffix):
    swept(sample_db)
    with sample_db.begin() as connection:
        connection.exec_driver_sql(
            "SELECT set_config('dk.actor', 'ops:canary', true), set_config('dk.reason', 'canary', "
            "true)"
        )
        connection.exec_driver_sql("UPDATE dk.drivers SET timeouts = 1 WHERE id = 1")
    file = tmp_path / f"trail.{suffix}"
    ran = cli_in_process("--json", "audit", "export", "--to", file, db=sample_db)
    assert (ran.exit, json.loads(ran.stdout)["events"]) == (0, counts(sample_db)[0]), ran.stderr
    read: dict[str, Callable[[Path], pl.DataFrame]] = {
        "parquet": pl.read_parquet,
        "csv": pl.read_csv,
        "json": lambda f: pl.DataFrame(json.loads(f.read_text()), infer_schema_length=None),
    }
    frame = read[suffix](file)
    assert frame.height == counts(sample_db)[0]
    assert {"offers", "ops"} <= set(frame["by"])
    assert "canary" not in frame.write_csv()
    assert cli_in_process("audit", "export", "--to", file, db=sample_db).exit == 73
    assert (
        cli_in_process("audit", "export", "--to", tmp_path / "trail.xlsx", db=sample_db).exit == 2
    )
    assert one(sample_db, "SELECT count(*) FROM dk_aud.readings WHERE what = 'export'") == 1


def test_export_keeps_to_its_period(sample_db, tmp_path):
    then = one(sample_db, "SELECT clock_timestamp()")
    changes = swept(sample_db).outcome.applied
    assert (
        audit.export(PostgresStore(sample_db), ALL, tmp_path / "new.csv", since=then, until=None)
        == changes
    )
    assert (
        audit.export(PostgresStore(sample_db), ALL, tmp_path / "old.csv", since=None, until=then)
        == counts(sample_db)[0] - changes
    )


@pytest.mark.parametrize("name", catalog.FEATURES)
def test_replayed_run_decides_same_bytes(sample_db, tmp_path, name):
    done = swept(sample_db, name, keep=tmp_path)
    told = bundle.replay(tmp_path / f"{name}-{done.run_id}")
    assert (told["decisions"], told["same"]) == (len(done.changes), True)
    assert told["inputs_sha256"] == one(
        sample_db, "SELECT inputs_sha256 FROM dk.sweep_runs WHERE run_id = %s", done.run_id
    )
    kept = (tmp_path / f"{name}-{done.run_id}/changes.jsonl").read_text().splitlines()
    ids = {json.loads(line)["decision_id"] for line in kept}
    with sample_db.connect() as connection:
        applied = connection.exec_driver_sql(
            "SELECT encode(decision_id, 'hex') FROM dk.decisions WHERE run_id = %s", (done.run_id,)
        )
        assert set(applied.scalars()) == ids


@pytest.mark.parametrize("name", ["routes", "offers"])
def test_replay_needs_no_travel_provider(sample_db, tmp_path, monkeypatch, name):
    """The replay uses recorded travel times: the provider of this run never answers the same twice."""
    travel = RandomTravel()
    monkeypatch.setattr(catalog, "travel", lambda settings: travel)
    done = swept(sample_db, name, keep=tmp_path)
    assert done.changes
    travel.closed = True
    assert bundle.replay(tmp_path / f"{name}-{done.run_id}")["decisions"] == len(done.changes)


def test_altered_bundle_is_detected(cli_in_process, sample_db, tmp_path):
    done = swept(sample_db, keep=tmp_path)
    folder = tmp_path / f"offers-{done.run_id}"
    assert cli_in_process("audit", "replay", folder).exit == 0
    lines = (folder / "changes.jsonl").read_text().splitlines()
    changed = json.loads(lines[0]) | {"reason": "BECAUSE"}
    (folder / "changes.jsonl").write_text("\n".join([json.dumps(changed), *lines[1:]]) + "\n")
    ran = cli_in_process("audit", "replay", folder)
    assert (ran.exit, "reason was 'BECAUSE'" in ran.stderr) == (65, True), ran.stderr
    told = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(told | {"inputs_sha256": "0" * 64}))
    assert "not those that the run decided on" in cli_in_process("audit", "replay", folder).stderr
    assert cli_in_process("audit", "replay", tmp_path / "nothing").exit == 66


def test_dry_run_keeps_no_bundle(cli_in_process, sample_db, tmp_path):
    assert (
        cli_in_process("sweep", "offers", "--dry-run", "--keep", tmp_path, db=sample_db).exit == 2
    )
    assert list(Path(tmp_path).iterdir()) == []


def test_trail_of_unknown_subject_is_refused(sample_db):
    with pytest.raises(Refused, match="no delivery 99999999"):
        audit.show(PostgresStore(sample_db), ALL, 99999999)


def test_two_runs_do_not_prune_at_once(sample_db, tmp_path):
    with Trail(sample_db).pruning(), pytest.raises(TryLater):
        retention.prune(PostgresStore(sample_db), SOON, tmp_path)
    retention.prune(PostgresStore(sample_db), SOON, tmp_path)


def test_missing_seal_file_is_reported(cli_in_process, sample_db, tmp_path):
    assert (
        cli_in_process("audit", "verify", "--seals", tmp_path / "none.txt", db=sample_db).exit == 66
    )
    with pytest.raises(BadData):
        (tmp_path / "seals.txt").write_text("no seal\n")
        audit.verify(PostgresStore(sample_db), tmp_path / "seals.txt")


def test_what_was_refused_is_shown_beside_what_happened(cli_in_process, sample_db):
    with sample_db.connect() as connection:
        offer, delivery = connection.exec_driver_sql(
            "SELECT id, delivery_id FROM dk.driver_offers WHERE state = 'PENDING' "
            "ORDER BY id LIMIT 1"
        ).one()
    assert (
        cli_in_process("act", "offer", "accept", offer, "--driver", 987654, db=sample_db).exit == 3
    )
    told = json.loads(cli_in_process("--json", "audit", "show", delivery, db=sample_db).stdout)
    assert [(refusal["event"], refusal["code"]) for refusal in told["refusals"]] == [
        ("accept", "NOT_FOUND")
    ]
    assert "NOT_FOUND" in cli_in_process("audit", "show", delivery, db=sample_db).stdout


def test_plain_login_needs_documented_audit_roles(cli_in_process, sample_db, tmp_path):
    with sample_db.begin() as connection:
        for login, roles in (
            ("dk_test_keeper", "dk_verify, dk_privacy"),
            ("dk_test_clerk", "dk_app"),
        ):
            connection.exec_driver_sql(
                f"DO $$ BEGIN CREATE ROLE {login} LOGIN; EXCEPTION WHEN duplicate_object THEN END "
                "$$;"
                f"GRANT {roles} TO {login}"
            )
    keeper, clerk = (
        databases.url(sample_db).replace("//postgres@", f"//{login}@")
        for login in ("dk_test_keeper", "dk_test_clerk")
    )
    if keeper == databases.url(sample_db):
        pytest.skip("the given server's login is not `postgres`")
    commands = [
        ("audit", "seal", "--to", tmp_path / "seals.txt"),
        ("audit", "verify", "--seals", tmp_path / "seals.txt"),
        ("audit", "show", "--driver", 1),
        ("audit", "prune", "--to", tmp_path),
        ("data", "purge"),
    ]
    for words in commands:
        ran = cli_in_process(*words, db=keeper)
        assert ran.exit == 0, (words, ran.stderr)
        ran = cli_in_process(*words, db=clerk)
        assert (ran.exit, "may not become dk_" in ran.stderr) == (77, True), (words, ran.stderr)


def test_unsealed_trail_is_finding(sample_db):
    """The job is part of `sweep all`; without it, `db check` tells since when events wait for a
    seal.
    """
    later = datetime.now(UTC) + timedelta(hours=1)
    waiting = {
        silence.sweep: silence.oldest_due
        for silence in check.silences(sample_db, ["audit"], later)[1]
    }
    assert waiting["audit"] == one(sample_db, "SELECT min(at) FROM dk_aud.delivery_audit_logs")
    Trail(sample_db).seal()
    assert check.silences(sample_db, ["audit"], later)[1][0].oldest_due is None


def test_verification_is_clean_under_concurrent_writes(sample_db, tmp_path):
    """Events, seals and archives are read from one snapshot, so verification never fails beside
    writers.
    """
    store, file, stop = PostgresStore(sample_db), tmp_path / "seals.txt", Event()
    swept(sample_db)

    def write(
        half: int,
    ) -> None:  # each its own half: two that wrote all rows in any order would deadlock
        while not stop.is_set():
            with sample_db.begin() as connection:
                connection.exec_driver_sql(
                    "UPDATE dk.drivers SET timeouts = timeouts + 1 WHERE id %% 2 = %s", (half,)
                )

    def keep_house() -> None:
        while not stop.is_set():
            audit.seal(store, file)
            retention.prune(store, SOON, tmp_path)

    with ThreadPoolExecutor(3) as pool:
        at_work = [pool.submit(write, 0), pool.submit(write, 1), pool.submit(keep_house)]
        try:
            while not file.exists():
                sleep(0.01)
            found = [
                audit.verify(store, file, sorted(tmp_path.glob("*.parquet"))).findings
                for _ in range(6)
            ]
        finally:
            stop.set()
        for work in at_work:
            work.result()
    assert found == [[]] * 6
    assert audit.verify(store, file, [tmp_path]).findings == []
    assert counts(sample_db)[1] > 0

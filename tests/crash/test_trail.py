"""Sealing, archiving, erasing and keeping a bundle, killed at any failpoint: the same command
finishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.flows.trail import audit
from dispatchkit.store.audit import Trail
from dispatchkit.store.postgres import PostgresStore
from tests import counts, databases
from tests.crash.recovery import broken_invariants, wait_for_disconnects

LATE = "2099-01-01T00:00:00Z"
RETIRED = "SELECT count(*) FROM dk_aud.retired"


@pytest.fixture
def worked() -> Iterator[Engine]:
    """Yield a city on which sweeps ran and whose trail is sealed."""
    with databases.fresh("sample") as engine:
        for name in ("reassignment", "offers"):
            sweep(PostgresStore(engine, now=databases.NOW), catalog.settings(), name, Options())
        Trail(engine).seal()
        yield engine


def one(engine: Engine, sql: str) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(sql).scalar_one())


def verified(engine: Engine, *archives: Path) -> list[str]:
    return audit.verify(PostgresStore(engine), files=archives).findings


def killed(fork_server, engine: Engine, words: tuple[object, ...], end_at: int) -> str:
    """Run a command killed at its n-th failpoint; return the name of the point, "" if there is
    none.
    """
    result = fork_server.run(engine, *words, end_at=end_at)
    wait_for_disconnects(engine)
    if result.exit != -9:
        assert result.exit == 0, result.stderr
        return ""
    counts.add("crash points of the trail")
    return str(result.points[-1])


def test_killed_prune_loses_no_body(fork_server, worked, tmp_path):
    events = one(worked, "SELECT count(*) FROM dk_aud.trail")
    words = ("audit", "prune", "--before", LATE, "--to", tmp_path)
    passed: list[str] = []
    while point := killed(
        fork_server, worked, words, 0 if not passed else 1 if "events retired" not in passed else 2
    ):
        passed.append(point)
        whole = sorted(tmp_path.glob("audit-*.parquet"))
        assert one(worked, "SELECT count(*) FROM dk_aud.trail") == events
        assert (one(worked, RETIRED) > 0) == ("events retired" in passed)
        assert broken_invariants(worked) == [], point
        if one(worked, RETIRED):
            assert verified(worked, *whole) == []
    assert passed == ["archive written", "events retired"]
    assert one(worked, RETIRED) > 0
    assert len(list(tmp_path.glob("*"))) == 1, (
        "the file that was there before the kill is the file that counts"
    )
    assert verified(worked, tmp_path) == []


def test_killed_seal_is_in_file_once(fork_server, worked, tmp_path):
    file = tmp_path / "seals.txt"
    words = ("audit", "seal", "--to", file)
    assert fork_server.run(worked, *words).exit == 0
    for end_at, wanted in enumerate(["seal made", "anchor written", "anchor synced"]):
        with worked.begin() as connection:
            connection.exec_driver_sql("UPDATE dk.drivers SET timeouts = timeouts + 1 WHERE id = 1")
        assert killed(fork_server, worked, words, end_at) == wanted
        assert broken_invariants(worked) == []
        assert set(file.read_text().splitlines()) <= set(Trail(worked).seal_lines())
        assert fork_server.run(worked, *words).exit == 0
        assert file.read_text().splitlines() == Trail(worked).seal_lines(), wanted
    assert len(Trail(worked).seal_lines()) == 4
    assert audit.verify(PostgresStore(worked), file).findings == []


def test_killed_erasure_is_complete_or_absent(fork_server, worked, tmp_path):
    driver = one(worked, "SELECT min(id) FROM dk.drivers WHERE duty = 'OFF_DUTY'")
    with worked.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO dk_pii.subject (kind, id, name) VALUES ('driver', %s, 'x')", (driver,)
        )
        connection.exec_driver_sql(
            "INSERT INTO dk.driver_locations SELECT max(id) + 1, %s, now(), 1, 1 "
            "FROM dk.driver_locations",
            (driver,),
        )
    there = (
        f"SELECT (SELECT count(*) FROM dk.driver_locations WHERE driver_id = {driver}) "
        "+ (SELECT count(*) FROM dk_pii.subject)"
    )
    before = one(worked, there)
    file = tmp_path / "erased.txt"
    words = ("data", "erase", f"driver:{driver}", "--journal", file)
    clean = [
        "erasure committed",
        "journal written",
        "journal synced",
        "subject erased",
        "pings erased",
    ]
    for n, wanted in enumerate([*clean, "erasure committed"]):
        noted = n > clean.index("journal written")
        assert killed(fork_server, worked, words, n - noted) == wanted, (
            "who stands there already is not written again"
        )
        done = n == len(clean)
        assert one(worked, there) == (0 if done else before), wanted
        assert one(worked, "SELECT count(*) FROM dk_aud.erasures") == int(done), wanted
        assert not n or file.read_text() == f"driver:{driver}\n", wanted
    assert verified(worked) == []


def test_killed_purge_is_finished_by_next_run(fork_server, worked):
    words = ("data", "purge", "--now", LATE)
    assert killed(fork_server, worked, words, 0) == "pings purged"
    assert broken_invariants(worked) == []
    assert killed(fork_server, worked, words, 1) == "payloads purged"
    assert fork_server.run(worked, *words).exit == 0
    assert one(worked, "SELECT count(*) FROM dk.driver_locations") == 0


def test_killed_run_leaves_no_partial_bundle(fork_server, worked, tmp_path):
    words = ("sweep", "routes", "--now", "2026-03-06T20:00:00Z", "--keep", tmp_path)
    with databases.fresh("sample") as engine:
        clean = fork_server.run(engine, *words).points
    at = clean.index("bundle written")
    for path in tmp_path.iterdir():
        path.rename(tmp_path.with_name(f"kept-{path.name}"))
    assert killed(fork_server, worked, words, at) == "bundle written"
    assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"], (
        "only a folder that says it is not finished"
    )
    assert broken_invariants(worked) == []
    assert fork_server.run(worked, *words).exit == 0
    whole = [path for path in tmp_path.iterdir() if path.suffix != ".tmp"]
    assert len(whole) == 1
    assert fork_server.run(worked, "audit", "replay", whole[0]).exit == 0

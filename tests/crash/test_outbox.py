"""The outbox is killed at any failpoint; one more run sends the rest, each key once to a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.crash.recovery import broken_invariants, wait_for_disconnects
from tests.unit.senders.gateway import gateway

OWN = {"outbox read", "outbox sent", "outbox marked", "outbox closed"}


@pytest.fixture
def filled(sample_db):
    """Return a city whose outbox holds the events of a sweep."""
    sweep(PostgresStore(sample_db, now=databases.NOW), catalog.settings(), "offers", Options())
    return sample_db


def words(tmp_path: Path, sender: str) -> tuple[str, ...]:
    """Return the command line; batches are small, so that a kill also falls between two of them."""
    config = tmp_path / "senders.toml"
    config.write_text(f'[outbox]\nbatch = 12\npatience = "0s"\n[senders.out]\n{sender}\n')
    return ("--config", str(config), "sweep", "outbox", "--now", rfc3339(databases.NOW))


def reset(engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE dk.sendings; UPDATE dk.outbox SET sent_at = NULL")


def unsent(engine) -> int:
    with engine.connect() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT count(*) FROM dk.outbox WHERE sent_at IS NULL"
            ).scalar_one()
        )


def test_killed_file_sender_writes_each_key_once(fork_server, filled, tmp_path):
    path = tmp_path / "events.jsonl"
    command = words(tmp_path, f'kind = "file"\npath = "{path}"')
    result = fork_server.run(filled, *command)
    assert result.exit == 0, result.stderr
    assert set(result.points) >= OWN
    assert result.points.count("outbox sent") >= 2
    wanted = path.read_text()
    keys = [json.loads(line)["key"] for line in wanted.splitlines()]
    assert len(keys) == len(set(keys)) > 20
    for end_at, point in enumerate(result.points):
        reset(filled)
        path.unlink(missing_ok=True)
        assert fork_server.run(filled, *command, end_at=end_at).exit == -9
        wait_for_disconnects(filled)
        assert broken_invariants(filled) == [], point
        again = fork_server.run(filled, *command)
        assert again.exit == 0, again.stderr
        assert path.read_text() == wanted, f"killed at {end_at}, {point!r}"
        assert unsent(filled) == 0


def test_killed_webhook_sender_repeats_only_key_in_flight(fork_server, filled, tmp_path):
    """A POST whose answer was lost in the crash must be sent again; the receiver needs the same
    key.
    """
    with gateway() as there:
        command = words(tmp_path, f'kind = "webhook"\nurl = "{there.url}"\nevents = ["offer_*"]')
        points = fork_server.run(filled, *command).points
        wanted = sorted(there.keys)
        assert len(wanted) == len(set(wanted)) >= 5
        for point in sorted(OWN):
            end_at = points.index(point)
            reset(filled)
            there.posts.clear()
            assert fork_server.run(filled, *command, end_at=end_at).exit == -9
            wait_for_disconnects(filled)
            assert fork_server.run(filled, *command).exit == 0
            twice = {key for key in there.keys if there.keys.count(key) > 1}
            assert sorted(set(there.keys)) == wanted, f"killed at {end_at}, {point!r}"
            assert len(twice) <= (point == "outbox sent"), f"killed at {end_at}, {point!r}"
            assert len({(post["key"], post["body"]) for post in there.posts}) == len(wanted)

"""Imports and migrations killed at any failpoint are complete or absent; the same command finishes
them.
"""

from __future__ import annotations

import pytest

from dispatchkit.flows.data.sample import write_sample
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.store import migrate
from tests import databases
from tests.crash.recovery import (
    broken_invariants,
    differences,
    drawn_by_day,
    table_contents,
    wait_for_disconnects,
)

SHARES = 2  # of the points


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """Return the folder of the sample city as an export."""
    folder = tmp_path_factory.mktemp("export") / "city"
    write_sample(databases.PLAN, folder)
    return folder


@pytest.mark.parametrize("share", drawn_by_day(SHARES))
def test_killed_import_is_complete_or_absent(fork_server, export, share):
    words = ("data", "import", export, "--now", rfc3339(databases.NOW))
    with databases.fresh("empty") as engine:
        result = fork_server.run(engine, *words)
        assert result.exit == 0, result.stderr
        wanted = table_contents(engine)
    assert len(result.points) >= 16
    with databases.fresh("empty") as engine:
        empty = table_contents(engine)
        for end_at, point in list(enumerate(result.points))[share::SHARES]:
            assert fork_server.run(engine, *words, end_at=end_at).exit == -9
            wait_for_disconnects(engine)
            there = differences(
                table_contents(engine), wanted if point == "import committed" else empty
            )
            assert (there, broken_invariants(engine)) == ({}, []), point
        again = fork_server.run(engine, *words)
        assert (again.exit, differences(table_contents(engine), wanted)) == (0, {}), again.stderr


@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_migration_resumes_from_last_complete_step(fork_server, direction):
    """Each run is killed inside its second step: one step is complete, half of the next must be
    rolled back.
    """
    steps = ["base", *(step for step, _ in migrate.history())]
    words = ("db", "up") if direction == "up" else ("db", "down", "base")
    with databases.fresh("sample") as engine:
        wanted = table_contents(engine)
        if direction == "up":
            migrate.down(engine, "base")
        for standing in (steps if direction == "up" else steps[::-1])[1:-1]:
            result = fork_server.run(engine, *words, end_at=1)
            assert (result.exit, result.points) == (-9, [f"migration {direction}"] * 2)
            wait_for_disconnects(engine)
            assert (migrate.status(engine).revision or "base") == standing
        assert fork_server.run(engine, *words).exit == 0
        migrate.up(engine)
        assert not migrate.status(engine).drifted
        assert differences(table_contents(engine), wanted) == {}

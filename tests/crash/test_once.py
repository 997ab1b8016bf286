"""Imports and migrations killed at any point: all or nothing, and the same command again finishes the work."""

from __future__ import annotations

import pytest

from dispatchkit.flows.data.sample import write_sample
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.store import migrate
from tests import databases
from tests.crash.wreck import broken, contents, different, settle


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """Return the folder of the made-up city as an export."""
    folder = tmp_path_factory.mktemp("export") / "city"
    write_sample(databases.PLAN, folder)
    return folder


def test_an_import_killed_at_any_point_is_whole_or_absent_and_done_by_one_more_run(forge, export):
    words = ("data", "import", export, "--now", rfc3339(databases.NOW))
    with databases.fresh("empty") as made:
        ended = forge.run(made, *words)
        assert ended.exit == 0, ended.stderr
        wanted = contents(made)
    assert len(ended.points) >= 16
    with databases.fresh("empty") as made:
        empty = contents(made)
        for end_at, point in enumerate(ended.points):
            assert forge.run(made, *words, end_at=end_at).exit == -9
            settle(made)
            there = different(contents(made), wanted if point == "import committed" else empty)
            assert (there, broken(made)) == ({}, []), point
        again = forge.run(made, *words)
        assert (again.exit, different(contents(made), wanted)) == (0, {}), again.stderr


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_migration_killed_in_every_step_goes_on_from_the_step_before(forge, direction):
    """Each run is killed inside its second step: so it has finished one, and half of the next must vanish."""
    steps = ["base", *(step for step, _ in migrate.history())]
    words = ("db", "up") if direction == "up" else ("db", "down", "base")
    with databases.fresh("sample") as made:
        wanted = contents(made)
        if direction == "up":
            migrate.down(made, "base")
        for standing in (steps if direction == "up" else steps[::-1])[1:-1]:
            ended = forge.run(made, *words, end_at=1)
            assert (ended.exit, ended.points) == (-9, [f"migration {direction}"] * 2)
            settle(made)
            assert (migrate.status(made).revision or "base") == standing
        assert forge.run(made, *words).exit == 0
        migrate.up(made)
        assert not migrate.status(made).drifted
        assert different(contents(made), wanted) == {}

"""A run with several connections, killed at any failpoint: one more run finishes its work."""

from __future__ import annotations

import pytest

from tests import counts, databases
from tests.crash.recovery import (
    SEED,
    broken_invariants,
    differences,
    drawn_by_day,
    seed,
    sweep_command,
    table_contents,
    wait_for_disconnects,
)

WORDS = (*sweep_command("offers"), "--workers", "3")
SHARES = 4


@pytest.fixture(scope="module")
def undisturbed(fork_server):
    """Return the points of a whole run, and what the database then holds."""
    with databases.fresh("sample") as engine:
        result = fork_server.run(engine, *WORDS)
        assert result.exit == 0, result.stderr
        return tuple(result.points), table_contents(engine)


def test_three_workers_write_what_one_writes(fork_server, undisturbed):
    with databases.fresh("sample") as engine:
        assert fork_server.run(engine, *sweep_command("offers")).exit == 0
        assert differences(table_contents(engine), undisturbed[1]) == {}


@pytest.mark.parametrize("share", drawn_by_day(SHARES))
def test_killed_run_of_three_workers_recovers(fork_server, undisturbed, share):
    """One worker leaves the last deliveries undone, so a re-run ends as if nothing had been; three
    leave gaps.

    A pull request takes the share that is drawn: one worker is killed at every point each time.
    """
    points, _ = undisturbed
    counts.note(
        "points of three workers drawn with", f"{SEED}={seed()}: every {SHARES}th from {share}"
    )
    for end_at in range(len(points))[share::SHARES]:
        with databases.fresh("sample") as engine:
            result = fork_server.run(engine, *WORDS, end_at=end_at)
            assert result.exit in (-9, 0), (
                f"{end_at}: {result}"
            )  # 0: two workers passed the last points at once
            wait_for_disconnects(engine)
            assert broken_invariants(engine) == [], end_at
            again = fork_server.run(engine, *WORDS)
            assert again.exit == 0, again.stderr
            finished = table_contents(engine)
            assert fork_server.run(engine, *WORDS).exit == 0
            assert differences(table_contents(engine), finished) == {}, end_at

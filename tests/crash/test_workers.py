"""A run that several connections write, killed at any point: nothing half-written, and one more run finishes it."""

from __future__ import annotations

import pytest

from tests import databases, tally
from tests.crash.wreck import SEED, broken, contents, different, seed, settle, sweeping

WORDS = (*sweeping("offers"), "--workers", "3")
SHARES = 4


@pytest.fixture(scope="module")
def undisturbed(forge):
    """Return the points of a whole run, and what the database then holds."""
    with databases.fresh("sample") as made:
        ended = forge.run(made, *WORDS)
        assert ended.exit == 0, ended.stderr
        return tuple(ended.points), contents(made)


def test_what_three_workers_write_is_what_one_writes(forge, undisturbed):
    with databases.fresh("sample") as made:
        assert forge.run(made, *sweeping("offers")).exit == 0
        assert different(contents(made), undisturbed[1]) == {}


@pytest.mark.parametrize(
    "share",
    [
        pytest.param(n, marks=[] if n == seed() % SHARES else pytest.mark.nightly)
        for n in range(SHARES)
    ],
)
def test_a_run_of_three_workers_killed_at_any_point_is_finished_by_one_more_run(
    forge, undisturbed, share
):
    """One worker leaves the last deliveries undone, so a re-run ends as if nothing had been; three leave gaps.

    A pull request takes the share that is drawn: one worker is killed at every point each time.
    """
    points, _ = undisturbed
    tally.note(
        "points of three workers drawn with", f"{SEED}={seed()}: every {SHARES}th from {share}"
    )
    for end_at in range(len(points))[share::SHARES]:
        with databases.fresh("sample") as made:
            ended = forge.run(made, *WORDS, end_at=end_at)
            assert ended.exit in (-9, 0), (
                f"{end_at}: {ended}"
            )  # 0: two workers passed the last points at once
            settle(made)
            assert broken(made) == [], end_at
            again = forge.run(made, *WORDS)
            assert again.exit == 0, again.stderr
            finished = contents(made)
            assert forge.run(made, *WORDS).exit == 0
            assert different(contents(made), finished) == {}, end_at

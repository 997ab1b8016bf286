"""A sweep killed at any point leaves nothing half-written, and one more run ends where an undisturbed run ends."""

from __future__ import annotations

from functools import cache

import pytest

from tests import databases
from tests.crash.wreck import broken, contents, different, settle, sweeping

SWEEPS = {"reassignment": 12, "offers": 24, "routes": 20}  # at least so many points: hooks may not vanish
SHARES = 4


@pytest.fixture(scope="module")
def undisturbed(forge):
    return clean_runs(forge)


def clean_runs(forge):
    """Return a function that runs a sweep to its end, once: the points it passed and what the database then held."""

    @cache
    def run(sweep: str) -> tuple[tuple[str, ...], dict[str, list[str]]]:
        with databases.fresh("city") as made:
            ended = forge.run(made, *sweeping(sweep))
            assert ended.exit == 0, ended.stderr
            return tuple(ended.points), contents(made)

    return run


def recovered(forge, undisturbed, sweep, end_at, how="kill", again=None):
    """Assert that a sweep ended at one point (and its re-run at point `again`) is finished by one more run."""
    points, wanted = undisturbed(sweep)
    where = f"{how} at point {end_at}, {points[end_at]!r}"
    with databases.fresh("city") as made:
        ended = forge.run(made, *sweeping(sweep), end_at=end_at, how=how)
        if how == "kill":
            assert ended.exit == -9, f"{where}: {ended}"
        else:
            assert ended.exit in (0, 69), f"{where}: {ended}"
        settle(made)
        assert broken(made) == [], where
        if again is not None:
            forge.run(made, *sweeping(sweep), end_at=again)
            settle(made)
            assert broken(made) == [], f"{where}, then at {again}"
        ended = forge.run(made, *sweeping(sweep))
        assert ended.exit == 0, f"{where}: {ended}"
        assert different(contents(made), wanted) == {}, where


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_passes_its_points(undisturbed, sweep):
    points, _ = undisturbed(sweep)
    assert len(points) >= SWEEPS[sweep], points
    assert points[:5] == ("lock held", "reaped", "ledger open", "read", "decided")
    assert points[-2:] == ("batch committed", "ledger closed")


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_killed_at_any_point_is_finished_by_one_more_run(forge, undisturbed, sweep, share):
    for end_at in range(len(undisturbed(sweep)[0]))[share::SHARES]:
        recovered(forge, undisturbed, sweep, end_at)


@pytest.mark.nightly
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_cut_off_at_any_point_is_finished_by_one_more_run(forge, undisturbed, sweep, share):
    for end_at in range(len(undisturbed(sweep)[0]))[share::SHARES]:
        recovered(forge, undisturbed, sweep, end_at, how="cut")


@pytest.mark.nightly
@pytest.mark.parametrize("share", range(2 * SHARES))
@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_killed_twice_is_finished_by_one_more_run(forge, undisturbed, sweep, share):
    for end_at in range(len(undisturbed(sweep)[0]))[share :: 2 * SHARES]:
        for again in range(0, 12, 3):
            recovered(forge, undisturbed, sweep, end_at, again=again)

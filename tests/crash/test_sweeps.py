"""A sweep killed at any point leaves nothing half-written, and one more run ends where an undisturbed run ends."""

from __future__ import annotations

from functools import cache

import pytest

from dispatchkit.flows.live import catalog
from tests import databases, tally
from tests.crash import test_outbox, test_trail
from tests.crash.wreck import broken, contents, different, settle, sweeping

SWEEPS = {  # at least so many points: hooks may not vanish
    "availability": 20,
    "reassignment": 20,
    "offers": 24,
    "escalation": 20,
    "routes": 20,
}
JOBS = {"audit": test_trail, "outbox": test_outbox}  # where else their points are
SHARES = 2


@pytest.fixture(scope="module")
def undisturbed(forge):
    return clean_runs(forge)


def clean_runs(forge):
    """Return a function that runs a sweep to its end, once: the points it passed and what the database then held."""

    @cache
    def run(sweep: str) -> tuple[tuple[str, ...], dict[str, list[str]]]:
        with databases.fresh("sample") as made:
            ended = forge.run(made, *sweeping(sweep))
            assert ended.exit == 0, ended.stderr
            return tuple(ended.points), contents(made)

    return run


def recovered(forge, undisturbed, sweep, ends, how="kill", again=None):
    """Assert for each point that a sweep ended there (and its re-run at point `again`) is finished by one more run.

    One that left every table as it was leaves the database to the next: a fresh copy would be the same.
    """
    points, wanted = undisturbed(sweep)
    left = list(ends)[::-1]
    while left:
        with databases.fresh("sample") as made:
            before = contents(made)
            while left:
                where = f"{how} at point {left[-1]}, {points[left[-1]]!r}"
                _ended(forge, made, sweep, left.pop(), how, where)
                if again is not None:
                    forge.run(made, *sweeping(sweep), end_at=again)
                    settle(made)
                    assert broken(made) == [], f"{where}, then at {again}"
                if different(contents(made), before):
                    break
            ended = forge.run(made, *sweeping(sweep))
            assert ended.exit == 0, f"{where}: {ended}"
            assert different(contents(made), wanted) == {}, where


def _ended(forge, made, sweep, end_at, how, where):
    ended = forge.run(made, *sweeping(sweep), end_at=end_at, how=how)
    assert ended.exit in ((-9,) if how == "kill" else (0, 69)), f"{where}: {ended}"
    settle(made)
    assert broken(made) == [], where
    tally.count({"kill": "crash points", "cut": "points at which the connections were cut"}[how])


def test_no_sweep_is_left_out():
    assert {*SWEEPS, *JOBS} == set(catalog.SWEEPS)


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_passes_its_points(undisturbed, sweep):
    points, _ = undisturbed(sweep)
    assert len(points) >= SWEEPS[sweep], points
    assert points[:5] == ("lock held", "reaped", "ledger open", "read", "decided")
    assert points[-2:] == ("batch committed", "ledger closed")


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_killed_at_any_point_is_finished_by_one_more_run(forge, undisturbed, sweep, share):
    recovered(forge, undisturbed, sweep, range(len(undisturbed(sweep)[0]))[share::SHARES])


@pytest.mark.nightly
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_cut_off_at_any_point_is_finished_by_one_more_run(forge, undisturbed, sweep, share):
    recovered(
        forge, undisturbed, sweep, range(len(undisturbed(sweep)[0]))[share::SHARES], how="cut"
    )


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("again", range(0, 12, 3))
@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_killed_twice_is_finished_by_one_more_run(forge, undisturbed, sweep, again):
    recovered(forge, undisturbed, sweep, range(len(undisturbed(sweep)[0])), again=again)

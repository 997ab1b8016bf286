"""A sweep killed at any failpoint leaves nothing half-written; one more run finishes its work."""

from __future__ import annotations

from functools import cache

import pytest

from dispatchkit.flows.live import catalog
from tests import counts, databases
from tests.crash import test_outbox, test_trail
from tests.crash.recovery import (
    broken_invariants,
    differences,
    sweep_command,
    table_contents,
    wait_for_disconnects,
)

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
def undisturbed(fork_server):
    return clean_runs(fork_server)


def clean_runs(fork_server):
    """Return a function that runs a sweep once and returns its failpoints and the contents
    afterwards.
    """

    @cache
    def run(sweep: str) -> tuple[tuple[str, ...], dict[str, list[str]]]:
        with databases.fresh("sample") as engine:
            result = fork_server.run(engine, *sweep_command(sweep))
            assert result.exit == 0, result.stderr
            return tuple(result.points), table_contents(engine)

    return run


def recovered(fork_server, undisturbed, sweep, ends, how="kill", again=None):
    """Assert for each point that a sweep ended there (and its re-run at point `again`) is finished
    by one more run.

    One that left every table as it was leaves the database to the next: a fresh copy would be the
    same.
    """
    points, wanted = undisturbed(sweep)
    left = list(ends)[::-1]
    while left:
        with databases.fresh("sample") as engine:
            before = table_contents(engine)
            while left:
                where = f"{how} at point {left[-1]}, {points[left[-1]]!r}"
                _ended(fork_server, engine, sweep, left.pop(), how, where)
                if again is not None:
                    fork_server.run(engine, *sweep_command(sweep), end_at=again)
                    wait_for_disconnects(engine)
                    assert broken_invariants(engine) == [], f"{where}, then at {again}"
                if differences(table_contents(engine), before):
                    break
            result = fork_server.run(engine, *sweep_command(sweep))
            assert result.exit == 0, f"{where}: {result}"
            assert differences(table_contents(engine), wanted) == {}, where


def _ended(fork_server, engine, sweep, end_at, how, where):
    result = fork_server.run(engine, *sweep_command(sweep), end_at=end_at, how=how)
    assert result.exit in ((-9,) if how == "kill" else (0, 69)), f"{where}: {result}"
    wait_for_disconnects(engine)
    assert broken_invariants(engine) == [], where
    counts.add({"kill": "crash points", "cut": "points at which the connections were cut"}[how])


def test_every_sweep_is_crash_tested():
    assert {*SWEEPS, *JOBS} == set(catalog.SWEEPS)


@pytest.mark.parametrize("sweep", SWEEPS)
def test_sweep_passes_its_failpoints(undisturbed, sweep):
    points, _ = undisturbed(sweep)
    assert len(points) >= SWEEPS[sweep], points
    assert points[:5] == ("lock held", "reaped", "ledger open", "read", "decided")
    assert points[-2:] == ("batch committed", "ledger closed")


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("sweep", SWEEPS)
def test_killed_sweep_recovers_at_every_point(fork_server, undisturbed, sweep, share):
    recovered(fork_server, undisturbed, sweep, range(len(undisturbed(sweep)[0]))[share::SHARES])


@pytest.mark.nightly
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("sweep", SWEEPS)
def test_disconnected_sweep_recovers_at_every_point(fork_server, undisturbed, sweep, share):
    recovered(
        fork_server, undisturbed, sweep, range(len(undisturbed(sweep)[0]))[share::SHARES], how="cut"
    )


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("again", range(0, 12, 3))
@pytest.mark.parametrize("sweep", SWEEPS)
def test_sweep_killed_twice_recovers(fork_server, undisturbed, sweep, again):
    recovered(fork_server, undisturbed, sweep, range(len(undisturbed(sweep)[0])), again=again)

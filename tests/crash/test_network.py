"""The network fails at any message: the sweep exits 69 or 75, and one more run finishes the work."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from time import monotonic

import pytest

from dispatchkit.flows.live import catalog
from tests import counts, databases
from tests.crash.proxy import Cut, Message, batches, between
from tests.crash.recovery import (
    SEED,
    broken_invariants,
    differences,
    seed,
    sweep_command,
    table_contents,
    wait_for_disconnects,
)

ROTATION = "DISPATCHKIT_TEST_ROTATION"  # one cut in so many a night; 1: all of them
ENDS_A_ROUND_TRIP = "QS"
PULL_REQUEST, SILENT = 40, 1  # cuts over all sweeps, and how many of a sweep's are black holes
SWEEPS = tuple(catalog.FEATURES)
SLOW = 2  # sweeps that a pull request runs through a slow network: it is the same road for all
SHARES = 4


@dataclass(frozen=True)
class Clean:
    """An undisturbed run: the messages it passed and what the database then held."""

    passed: tuple[Message, ...]
    held: dict[str, list[str]]

    def cuts(self) -> list[Cut]:
        """Return every cut: before each message, and after and beyond those that end a round trip.

        Of the messages of one answer only the first and the last: between them nothing happens at
        either end.
        """
        found = []
        for m in _outer(self.passed):
            found.append(Cut(m.connection, m.side, m.n))
            if m.side == "client" and m.kind in ENDS_A_ROUND_TRIP:
                found += [Cut(m.connection, m.side, m.n, when) for when in ("after", "done")]
        return found

    def lost_answers(self) -> list[Cut]:
        """Return for each batch the cut that falls after COMMIT arrived and before its answer."""
        return [Cut(m.connection, m.side, m.n, "done") for m in batches(list(self.passed))]


def _outer(passed: Iterable[Message]) -> Iterator[Message]:
    for (_, side), run in groupby(passed, lambda m: (m.connection, m.side)):
        messages = list(run)
        yield from (messages if side == "client" else messages[:1] + messages[1:][-1:])


@pytest.fixture(scope="module")
def undisturbed(fork_server):
    return clean_runs(fork_server)


def clean_runs(fork_server):
    """Return a function that runs a sweep through a sound network, once."""

    @cache
    def run(sweep: str) -> Clean:
        with databases.fresh("sample") as engine, between(databases.url(engine)) as proxy:
            result = fork_server.run(engine, *sweep_command(sweep), through=proxy.url)
            assert result.exit == 0, result.stderr
            return Clean(tuple(proxy.passed), table_contents(engine))

    return run


def endure(fork_server, sweep: str, clean: Clean, cuts: Iterable[Cut]) -> None:
    """Assert for each cut that the run says so, that nothing is half-written, and that one more run
    finishes the work.

    A cut that left every table as it was leaves the database to the next one: a fresh copy would be
    the same.
    """
    left = list(cuts)
    while left:
        with databases.fresh("sample") as engine:
            before = table_contents(engine)
            while left:
                cut = left.pop()
                _cut(fork_server, engine, sweep, cut)
                if differences(table_contents(engine), before):
                    break
            result = fork_server.run(engine, *sweep_command(sweep))
            assert result.exit == 0, f"after {cut}: {result}"
            assert differences(table_contents(engine), clean.held) == {}, cut


def _cut(fork_server, engine, sweep: str, cut: Cut) -> None:
    with between(databases.url(engine), cut) as proxy:
        result = fork_server.run(
            engine, *sweep_command(sweep), through=proxy.url, patience=1 if cut.silent else None
        )
    wait_for_disconnects(engine)
    where = f"{sweep}: {cut} at {proxy.struck}"
    assert proxy.struck, f"{where}: the run never came so far"
    assert result.exit in (0, 69, 75), f"{where}: {result}"
    assert broken_invariants(engine) == [], where
    if result.exit == 0:
        left = fork_server.run(engine, "--json", *sweep_command(sweep), "--dry-run")
        assert json.loads(left.stdout)["decided"] == 0, f"{where}: 0 says that the work is done"
    if cut.when == "done" and cut in _lost(proxy.passed):
        assert result.exit == 69 and _applied(engine), (
            f"{where}: the answer to COMMIT was to be lost, not COMMIT: {result}"
        )
        counts.add("cuts between COMMIT and its answer")
    counts.add("black holes" if cut.silent else "network cuts")


def _lost(passed: list[Message]) -> list[Cut]:
    return [Cut(m.connection, m.side, m.n, "done") for m in batches(passed)]


def _applied(engine) -> int:
    with engine.connect() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT count(*) FROM dk.decisions WHERE outcome = 'APPLIED'"
            ).scalar_one()
        )


@pytest.mark.parametrize("sweep", SWEEPS)
def test_sweep_recovers_from_sampled_network_cuts(fork_server, undisturbed, sweep):
    """A sample by a seed, and always the cuts between COMMIT and its answer."""
    clean = undisturbed(sweep)
    counts.note("network cuts drawn with", f"{SEED}={seed()} from {len(clean.cuts())} of {sweep}")
    assert clean.lost_answers(), "no COMMIT of a batch was seen: the run would prove nothing"
    draw = random.Random(f"{sweep} {seed()}")
    drawn = draw.sample(clean.cuts(), PULL_REQUEST // len(SWEEPS) - len(clean.lost_answers()))
    silent = [replace(cut, silent=True) for cut in drawn[:SILENT]]
    endure(fork_server, sweep, clean, [*clean.lost_answers(), *silent, *drawn[SILENT:]])


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("sweep", SWEEPS)
def test_sweep_recovers_from_every_network_cut(fork_server, undisturbed, sweep, share):
    clean, one_in = undisturbed(sweep), int(os.environ.get(ROTATION) or 2)
    tonight = clean.cuts()[seed() % one_in :: one_in]
    endure(fork_server, sweep, clean, tonight[share::SHARES])


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("sweep", SWEEPS)
def test_sweep_gives_up_silent_network_and_recovers(fork_server, undisturbed, sweep):
    clean = undisturbed(sweep)
    endure(
        fork_server,
        sweep,
        clean,
        [replace(cut, silent=True) for cut in clean.cuts()[:: len(clean.cuts()) // 40]],
    )


@pytest.mark.parametrize(
    "latency",
    [pytest.param(0.01, id="10 ms"), pytest.param(0.2, id="200 ms", marks=pytest.mark.nightly)],
)
@pytest.mark.parametrize(
    "sweep",
    [*SWEEPS[:SLOW], *(pytest.param(sweep, marks=pytest.mark.nightly) for sweep in SWEEPS[SLOW:])],
)
def test_slow_or_fragmented_network_changes_nothing(fork_server, undisturbed, sweep, latency):
    for poor in ({"latency": latency}, {"slices": 1}):
        with databases.fresh("sample") as engine, between(databases.url(engine), **poor) as proxy:
            result = fork_server.run(engine, *sweep_command(sweep), through=proxy.url)
            assert result.exit == 0, result
            assert differences(table_contents(engine), undisturbed(sweep).held) == {}, poor


@pytest.mark.nightly
def test_silent_network_ends_run_and_frees_lock(fork_server, undisturbed):
    """With the waits that are shipped: nothing acknowledged for ten seconds ends the run."""
    clean = undisturbed("offers")
    cut = replace(clean.lost_answers()[0], when="before", silent=True)
    with databases.fresh("sample") as engine:
        with between(databases.url(engine), cut) as proxy:
            began = monotonic()
            assert fork_server.run(engine, *sweep_command("offers"), through=proxy.url).exit == 69
            assert monotonic() - began < 25
            assert (
                fork_server.run(engine, *sweep_command("offers")).exit == 75
            )  # the server still believes in its client
        wait_for_disconnects(engine)
        assert fork_server.run(engine, *sweep_command("offers")).exit == 0
        assert differences(table_contents(engine), clean.held) == {}

"""A network that fails at any message: the sweep says 69 or 75, and one more run ends where an undisturbed run ends."""

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
from tests import databases, tally
from tests.crash.proxy import Cut, Message, batches, between
from tests.crash.wreck import SEED, broken, contents, different, seed, settle, sweeping

ROTATION = "DISPATCHKIT_TEST_ROTATION"  # one cut in so many a night; 1: all of them
ENDS_A_ROUND_TRIP = "QS"
PULL_REQUEST, SILENT = 60, 1  # cuts over all sweeps, and how many of a sweep's are black holes
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

        Of the messages of one answer only the first and the last: between them nothing happens at either end.
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
def undisturbed(forge):
    return clean_runs(forge)


def clean_runs(forge):
    """Return a function that runs a sweep through a sound network, once."""

    @cache
    def run(sweep: str) -> Clean:
        with databases.fresh("sample") as made, between(databases.url(made)) as proxy:
            ended = forge.run(made, *sweeping(sweep), through=proxy.url)
            assert ended.exit == 0, ended.stderr
            return Clean(tuple(proxy.passed), contents(made))

    return run


def endure(forge, sweep: str, clean: Clean, cuts: Iterable[Cut]) -> None:
    """Assert for each cut that the run says so, that nothing is half-written, and that one more run finishes the work.

    A cut that left every table as it was leaves the database to the next one: a fresh copy would be the same.
    """
    left = list(cuts)
    while left:
        with databases.fresh("sample") as made:
            before = contents(made)
            while left:
                cut = left.pop()
                _cut(forge, made, sweep, cut)
                if different(contents(made), before):
                    break
            ended = forge.run(made, *sweeping(sweep))
            assert ended.exit == 0, f"after {cut}: {ended}"
            assert different(contents(made), clean.held) == {}, cut


def _cut(forge, made, sweep: str, cut: Cut) -> None:
    with between(databases.url(made), cut) as proxy:
        ended = forge.run(
            made, *sweeping(sweep), through=proxy.url, patience=1 if cut.silent else None
        )
    settle(made)
    where = f"{sweep}: {cut} at {proxy.struck}"
    assert proxy.struck, f"{where}: the run never came so far"
    assert ended.exit in (0, 69, 75), f"{where}: {ended}"
    assert broken(made) == [], where
    if ended.exit == 0:
        left = forge.run(made, "--json", *sweeping(sweep), "--dry-run")
        assert json.loads(left.stdout)["decided"] == 0, f"{where}: 0 says that the work is done"
    if cut.when == "done" and cut in _lost(proxy.passed):
        assert ended.exit == 69 and _applied(made), (
            f"{where}: the answer to COMMIT was to be lost, not COMMIT: {ended}"
        )
        tally.count("cuts between COMMIT and its answer")
    tally.count("black holes" if cut.silent else "network cuts")


def _lost(passed: list[Message]) -> list[Cut]:
    return [Cut(m.connection, m.side, m.n, "done") for m in batches(passed)]


def _applied(made) -> int:
    with made.connect() as on:
        return int(
            on.exec_driver_sql(
                "SELECT count(*) FROM dk.decisions WHERE outcome = 'APPLIED'"
            ).scalar_one()
        )


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_whose_network_fails_anywhere_is_finished_by_one_more_run(
    forge, undisturbed, sweep
):
    """A sample by a seed, and always the cuts between COMMIT and its answer."""
    clean = undisturbed(sweep)
    tally.note("network cuts drawn with", f"{SEED}={seed()} from {len(clean.cuts())} of {sweep}")
    assert clean.lost_answers(), "no COMMIT of a batch was seen: the run would prove nothing"
    draw = random.Random(f"{sweep} {seed()}")
    drawn = draw.sample(clean.cuts(), PULL_REQUEST // len(SWEEPS) - len(clean.lost_answers()))
    silent = [replace(cut, silent=True) for cut in drawn[:SILENT]]
    endure(forge, sweep, clean, [*clean.lost_answers(), *silent, *drawn[SILENT:]])


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_cut_at_every_message_is_finished_by_one_more_run(forge, undisturbed, sweep, share):
    clean, one_in = undisturbed(sweep), int(os.environ.get(ROTATION) or 2)
    tonight = clean.cuts()[seed() % one_in :: one_in]
    endure(forge, sweep, clean, tonight[share::SHARES])


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_in_a_black_hole_gives_up_and_is_finished_by_one_more_run(
    forge, undisturbed, sweep
):
    clean = undisturbed(sweep)
    endure(
        forge,
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
def test_a_slow_network_and_one_that_cuts_everything_to_bytes_change_nothing(
    forge, undisturbed, sweep, latency
):
    for poor in ({"latency": latency}, {"slices": 1}):
        with databases.fresh("sample") as made, between(databases.url(made), **poor) as proxy:
            ended = forge.run(made, *sweeping(sweep), through=proxy.url)
            assert ended.exit == 0, ended
            assert different(contents(made), undisturbed(sweep).held) == {}, poor


@pytest.mark.nightly
def test_a_silent_network_is_given_up_in_seconds_and_the_lock_is_free_once_the_server_knows(
    forge, undisturbed
):
    """With the waits that are shipped: nothing acknowledged for ten seconds ends the run."""
    clean = undisturbed("offers")
    cut = replace(clean.lost_answers()[0], when="before", silent=True)
    with databases.fresh("sample") as made:
        with between(databases.url(made), cut) as proxy:
            began = monotonic()
            assert forge.run(made, *sweeping("offers"), through=proxy.url).exit == 69
            assert monotonic() - began < 25
            assert (
                forge.run(made, *sweeping("offers")).exit == 75
            )  # the server still believes in its client
        settle(made)
        assert forge.run(made, *sweeping("offers")).exit == 0
        assert different(contents(made), clean.held) == {}

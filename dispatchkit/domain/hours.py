"""Hours worked since the last long rest: what a cap on driving hours is held against.

A stretch is half-open `(since, until)`. A rest is time between stretches; shorter ones do not end a run of work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

Stretch = tuple[datetime, datetime]
MOST, REST = timedelta(hours=12), timedelta(hours=6)  # unless [availability] says otherwise
LOOK_BACK = timedelta(hours=48)  # how far back reads and acts see a driver's duties


def runs(stretches: Iterable[Stretch], rest: timedelta) -> list[list[Stretch]]:
    """Return stretches of work in order of time, parted wherever a rest was at least `rest` long."""
    found: list[list[Stretch]] = []
    for since, until in sorted(stretches):
        if not found or since - found[-1][-1][1] >= rest:
            found.append([])
        found[-1].append((since, until))
    return found


def current(stretches: Iterable[Stretch], rest: timedelta, now: datetime) -> list[Stretch]:
    """Return the run of work that no long rest has ended by `now`; empty for who is rested."""
    found = runs(stretches, rest)
    return found[-1] if found and now - found[-1][-1][1] < rest else []


def worked(run: Sequence[Stretch]) -> timedelta:
    """Return the length of a run, its short rests left out."""
    return sum((until - since for since, until in run), timedelta())


def reached(run: Sequence[Stretch], most: timedelta) -> datetime | None:
    """Return the instant at which a run had lasted `most`, None if it is shorter."""
    before = timedelta()
    for since, until in run:
        if before + (until - since) >= most:
            return since + (most - before)
        before += until - since
    return None

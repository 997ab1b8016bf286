"""Hours worked since the last long rest, for the cap on working hours.

A stretch of work is half-open `(since, until)`. Time between stretches is rest; a rest shorter than
the required one does not begin the hours anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

Stretch = tuple[datetime, datetime]
MAX_HOURS, MIN_REST = timedelta(hours=12), timedelta(hours=6)  # unless [availability] differs
LOOK_BACK = timedelta(hours=48)  # how far back reads and acts see a driver's duties


def runs_of_work(stretches: Iterable[Stretch], rest: timedelta) -> list[list[Stretch]]:
    """Return the stretches in order of time, split wherever a rest was at least `rest` long."""
    runs: list[list[Stretch]] = []
    for since, until in sorted(stretches):
        if not runs or since - runs[-1][-1][1] >= rest:
            runs.append([])
        runs[-1].append((since, until))
    return runs


def current_run(stretches: Iterable[Stretch], rest: timedelta, now: datetime) -> list[Stretch]:
    """Return the run of work that no long rest has ended by `now`; empty for a rested driver."""
    runs = runs_of_work(stretches, rest)
    return runs[-1] if runs and now - runs[-1][-1][1] < rest else []


def hours_worked(run: Sequence[Stretch]) -> timedelta:
    """Return the working time of a run, without the short rests."""
    return sum((until - since for since, until in run), timedelta())


def cap_reached_at(run: Sequence[Stretch], cap: timedelta) -> datetime | None:
    """Return the instant at which a run had reached `cap` of work, None if it has not."""
    before = timedelta()
    for since, until in run:
        if before + (until - since) >= cap:
            return since + (cap - before)
        before += until - since
    return None

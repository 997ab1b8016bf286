"""What drivers' days were: duty intervals, and the drivers table as it stands at the live instant."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from dispatchkit.simulation.book import Day
from dispatchkit.simulation.deliveries import ids, instants
from dispatchkit.simulation.ground import FLEET, Ground
from dispatchkit.simulation.plan import NEVER, Ints

OFF, ON, ASKED, BREAK, ENDING, FORCED = (
    "OFF_DUTY",
    "ON_DUTY",
    "BREAK_PENDING",
    "ON_BREAK",
    "ENDING_SHIFT",
    "FORCED_OFF",
)


class Duty(NamedTuple):
    """One half-open duty interval of a driver; `until` is NEVER while it lasts."""

    driver: int
    duty: str
    since: int
    until: int
    reason: str


def duties(day: Day, ground: Ground, length: int) -> list[Duty]:
    """Return the intervals of all drivers up to the day's instant, by driver and time; each day starts afresh at 04:00.

    length: milliseconds of the service day, at which an OFF_DUTY night ends.
    """
    breaks = _breaks(day)
    seats = {int(driver): seat for seat, driver in enumerate(day.crew.driver)}
    found: list[Duty] = []
    for driver in range(ground.drivers):
        marks = [(0, OFF, "NEW_DAY")]
        if driver in seats:
            marks += _marks(day, seats[driver], breaks.get(seats[driver]))
        marks = [mark for mark in marks if mark[0] <= day.now]
        ends = [at for at, _, _ in marks[1:]] + [length if length <= day.now else NEVER]
        found += [
            Duty(driver, d, at, end, why)
            for (at, d, why), end in zip(marks, ends, strict=True)
            if at < end
        ]
    return found


def _breaks(day: Day) -> dict[int, tuple[int, int, int]]:
    """Return seat -> (asked, from, until) of the breaks taken, also of those that the desk had no cause to notice."""
    crew, book = day.crew, day.book
    taken = {seat: (asked, since, until) for seat, asked, since, until in book.breaks}
    for seat in np.flatnonzero(crew.break_at < np.minimum(crew.end, day.now)).tolist():
        if seat not in taken and book.forced_off[seat] == NEVER:
            due = int(crew.break_at[seat])
            since = max(due, book.free_at[seat], book.ready_at[seat])
            length = int(crew.break_for[seat] + crew.overstay[seat])
            asked = due if book.free_at[seat] > due else since
            taken[seat] = (asked, since, min(NEVER, since + length))
    return taken


def _marks(day: Day, seat: int, rest: tuple[int, int, int] | None) -> list[tuple[int, str, str]]:
    """Return (since, duty, reason) of one driver's working day, in order; intervals of no length fall out later."""
    crew, book = day.crew, day.book
    start, planned = int(crew.start[seat]), int(crew.end[seat])
    marks = [(start, ON, "SHIFT_STARTED")]
    if rest:
        marks += [
            (rest[0], ASKED, "BREAK_ASKED"),
            (rest[1], BREAK, "WORK_DONE"),
            (rest[2], ON, "DRIVER_RESUMED"),
        ]
    if book.forced_off[seat] < NEVER:
        marks.append((book.forced_off[seat], FORCED, "TIMEOUTS"))
    marks = [mark for mark in marks if mark[0] < planned]
    end = max(planned, book.free_at[seat])
    return [*marks, (planned, ENDING, "SHIFT_OVER"), (end, OFF, "WORK_DONE")]


def duties_frame(rows: list[Duty], day: Day, since_us: int, first_id: int) -> pl.DataFrame:
    """Return the driver_availability_history table of one day."""
    driver, duty, since, until, reason = zip(*rows, strict=True)
    planned = {int(driver): int(day.crew.end[seat]) for seat, driver in enumerate(day.crew.driver)}
    shift_end = [NEVER if row.duty == OFF else planned[row.driver] for row in rows]
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(rows)), offset=first_id),
            "driver_id": ids(np.array(driver)),
            "duty": pl.Series(duty, dtype=pl.String),
            "since": instants(since_us, np.array(since, dtype=np.int64)),
            "until": instants(since_us, np.array(until, dtype=np.int64)),
            "reason": pl.Series(reason, dtype=pl.String),
            "shift_end": instants(since_us, np.array(shift_end, dtype=np.int64)),
            "version": np.ones(len(rows), dtype=np.int64),
        }
    )


def drivers_frame(day: Day, ground: Ground, rows: list[Duty], since_us: int) -> pl.DataFrame:
    """Return the drivers table at the live instant: the duty of each is its open interval."""
    current = {row.driver: row for row in rows if row.until == NEVER}
    duty = [current[driver] for driver in range(ground.drivers)]
    seat = np.full(ground.drivers, -1)
    seat[day.crew.driver] = np.arange(len(day.crew))
    at_work = np.array([row.duty != OFF for row in duty]) & (seat >= 0)
    on_break = np.array([row.duty == BREAK for row in duty])

    def of_seat(values: Ints, where: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Ints:
        return np.where(where, np.asarray(values)[np.maximum(seat, 0)], NEVER)

    since = np.array([row.since for row in duty], dtype=np.int64)
    pause = of_seat(day.crew.break_for, on_break)
    cooled = of_seat(day.book.times("cooled"), at_work)
    return pl.DataFrame(
        {
            "id": ids(np.arange(ground.drivers)),
            "vehicle": [FLEET[vehicle][0] for vehicle in ground.vehicle],
            "duty": [row.duty for row in duty],
            "duty_since": instants(since_us, since),
            "break_until": instants(
                since_us, np.where(on_break, since + np.where(on_break, pause, 0), NEVER)
            ),
            "shift_end": instants(since_us, of_seat(day.crew.end, at_work)),
            "max_stack": np.array([stack for _, _, _, stack, _ in FLEET])[ground.vehicle],
            "zone_id": ids(ground.base),
            "timeouts": np.where(
                at_work, np.asarray(day.book.times("timeouts"))[np.maximum(seat, 0)], 0
            ),
            "cooldown_until": instants(since_us, np.where(cooled > day.now, cooled, NEVER)),
            "version": np.ones(ground.drivers, dtype=np.int64),
        }
    )

"""Duty intervals of drivers, and the drivers table at the live instant."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from dispatchkit.simulation.day_log import Day
from dispatchkit.simulation.exporters.columns import Mask, ids, instants
from dispatchkit.simulation.geography import FLEET, Geography
from dispatchkit.simulation.scenario import NEVER, Ints


class DutySpan(NamedTuple):
    """One half-open interval [since, until) of a driver's duty; ms of the day."""

    driver: int  # number in the whole city
    duty: str
    since: int
    until: int  # NEVER while it lasts
    reason: str


def duties(day: Day, geography: Geography, length_ms: int) -> list[DutySpan]:
    """Return the intervals of all drivers up to the day's instant, by driver and time.

    Each day begins OFF_DUTY at 04:00 and ends after `length_ms`.
    """
    breaks, index_of = _breaks(day), day.roster.index_of()
    intervals: list[DutySpan] = []
    for driver in range(geography.drivers):
        changes = [(0, "OFF_DUTY", "NEW_DAY")]
        if driver in index_of:
            changes += _changes(day, index_of[driver], breaks.get(index_of[driver]))
        changes = [change for change in changes if change[0] <= day.now]
        ends = [at for at, _, _ in changes[1:]]
        ends.append(length_ms if length_ms <= day.now else NEVER)
        for (since, duty, reason), until in zip(changes, ends, strict=True):
            if since < until:
                intervals.append(DutySpan(driver, duty, since, until, reason))
    return intervals


def _breaks(day: Day) -> dict[int, tuple[int, int, int]]:
    """Return driver_index -> (asked, from, until) of the breaks taken.

    The dispatcher logs a break only when it meets the driver; the other breaks are added here.
    """
    roster, log = day.roster, day.log
    taken = {index: (asked, since, until) for index, asked, since, until in log.breaks}
    for index in np.flatnonzero(roster.break_at < np.minimum(roster.end, day.now)).tolist():
        if index not in taken and log.forced_off[index] == NEVER:
            due = int(roster.break_at[index])
            since = max(due, log.busy_until[index], log.available_at[index])
            length = int(roster.break_for[index] + roster.overstay[index])
            asked = due if log.busy_until[index] > due else since
            taken[index] = (asked, since, min(NEVER, since + length))
    return taken


def _changes(
    day: Day, driver_index: int, taken_break: tuple[int, int, int] | None
) -> list[tuple[int, str, str]]:
    """Return (since, duty, reason) of one driver's shift, in order; some intervals are empty."""
    roster, log = day.roster, day.log
    planned_end = int(roster.end[driver_index])
    changes = [(int(roster.start[driver_index]), "ON_DUTY", "SHIFT_STARTED")]
    if taken_break:
        asked, since, until = taken_break
        changes += [
            (asked, "BREAK_PENDING", "BREAK_ASKED"),
            (since, "ON_BREAK", "WORK_DONE"),
            (until, "ON_DUTY", "DRIVER_RESUMED"),
        ]
    if log.forced_off[driver_index] < NEVER:
        changes.append((log.forced_off[driver_index], "FORCED_OFF", "TIMEOUTS"))
    changes = [change for change in changes if change[0] < planned_end]
    end = max(planned_end, log.busy_until[driver_index])
    return [
        *changes,
        (planned_end, "ENDING_SHIFT", "SHIFT_OVER"),
        (end, "OFF_DUTY", "WORK_DONE"),
    ]


def availability_frame(
    intervals: list[DutySpan], day: Day, since_us: int, first_id: int
) -> pl.DataFrame:
    """Return the driver_availability_history table of one day."""
    driver, duty, since, until, reason = zip(*intervals, strict=True)
    planned = dict(zip(day.roster.driver.tolist(), day.roster.end.tolist(), strict=True))
    shift_end = [NEVER if row.duty == "OFF_DUTY" else planned[row.driver] for row in intervals]
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(intervals)), offset=first_id),
            "driver_id": ids(np.array(driver)),
            "duty": pl.Series(duty, dtype=pl.String),
            "since": instants(since_us, np.array(since, dtype=np.int64)),
            "until": instants(since_us, np.array(until, dtype=np.int64)),
            "reason": pl.Series(reason, dtype=pl.String),
            "shift_end": instants(since_us, np.array(shift_end, dtype=np.int64)),
            "version": np.ones(len(intervals), dtype=np.int64),
        }
    )


def drivers_frame(
    day: Day, geography: Geography, intervals: list[DutySpan], since_us: int
) -> pl.DataFrame:
    """Return the drivers table at the live instant; a driver's duty is the open interval's."""
    count, log = geography.drivers, day.log
    current = {row.driver: row for row in intervals if row.until == NEVER}
    duty = [current[driver].duty for driver in range(count)]
    since = np.array([current[driver].since for driver in range(count)], dtype=np.int64)
    index = np.full(count, -1)  # driver -> driver_index, -1 off the roster
    index[day.roster.driver] = np.arange(len(day.roster))
    at_work = (np.array(duty) != "OFF_DUTY") & (index >= 0)
    on_break = np.array(duty) == "ON_BREAK"

    def by_driver(values: Ints, where: Mask, otherwise: int = NEVER) -> Ints:
        return np.where(where, np.asarray(values)[np.maximum(index, 0)], otherwise)

    break_until = since + by_driver(day.roster.break_for, on_break, 0)
    cooldown = by_driver(log.times("blocked_until"), at_work)
    return pl.DataFrame(
        {
            "id": ids(np.arange(count)),
            "vehicle": [FLEET[vehicle][0] for vehicle in geography.vehicle],
            "duty": duty,
            "duty_since": instants(since_us, since),
            "break_until": instants(since_us, np.where(on_break, break_until, NEVER)),
            "shift_end": instants(since_us, by_driver(day.roster.end, at_work)),
            "max_stack": np.array([stack for _, _, _, stack, _ in FLEET])[geography.vehicle],
            "zone_id": ids(geography.base),
            "timeouts": by_driver(log.times("timeouts"), at_work, 0),
            "cooldown_until": instants(since_us, np.where(cooldown > day.now, cooldown, NEVER)),
            "version": np.ones(count, dtype=np.int64),
        }
    )

"""The driver_locations table: positions at each stage, and the last minutes before the live instant."""

from __future__ import annotations

import numpy as np
import polars as pl

from dispatchkit.domain.states import CaseTrigger
from dispatchkit.simulation.exporters.columns import ids, instants
from dispatchkit.simulation.exporters.duties import DutySpan
from dispatchkit.simulation.exporters.orders import Snapshot
from dispatchkit.simulation.geography import Geography, degrees
from dispatchkit.simulation.outcomes import STALLS, Outcomes
from dispatchkit.simulation.scenario import MINUTE, NEVER, SECOND, Floats, Ints, random_stream

SILENT_SHARE = 0.03  # of the drivers at work have lost their connection
SILENT_FOR = 14 * MINUTE
NOISE_M = 4  # standard deviation of a receiver
Track = tuple[Ints, Ints, Floats, Floats]  # driver_index, ms, x, y
Point = tuple[float, float]  # x, y in metres


def pings_frame(
    snapshot: Snapshot,
    geography: Geography,
    outcomes: Outcomes,
    intervals: list[DutySpan],
    seed: int,
    since_us: int,
    first_id: int,
) -> pl.DataFrame:
    """Return the pings of a day by time and driver."""
    day, rng = snapshot.day, random_stream(seed, snapshot.day.index + 1, "pings")
    tracks = [_stage_changes(snapshot, geography)]
    if day.now < NEVER - 1:
        tracks += _last_minutes(snapshot, geography, outcomes, intervals, rng)
    driver_index, at, x, y = (np.concatenate(column) for column in zip(*tracks, strict=True))
    by_time = np.lexsort((driver_index, at))
    noise = rng.normal(0, NOISE_M, (2, len(by_time)))
    lat, lon = degrees(x[by_time] + noise[0], y[by_time] + noise[1])
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(by_time)), offset=first_id),
            "driver_id": ids(day.roster.driver[driver_index[by_time]]),
            "at": instants(since_us, at[by_time]),
            "lat": lat,
            "lon": lon,
        }
    )


def _stage_changes(snapshot: Snapshot, geography: Geography) -> Track:
    """Return a ping at each acceptance (unless busy), arrival, pickup and door."""
    demand, log, times = snapshot.day.demand, snapshot.day.log, snapshot.times
    merchant_x = geography.merchants.x[demand.merchant]
    merchant_y = geography.merchants.y[demand.merchant]
    accepted_idle = np.where(log.times("stacked") == 1, NEVER, times["assigned"])
    at = np.concatenate([accepted_idle, times["arrived"], times["picked_up"], times["at_door"]])
    x = np.concatenate([np.array(log.from_x), merchant_x, merchant_x, demand.x])
    y = np.concatenate([np.array(log.from_y), merchant_y, merchant_y, demand.y])
    happened = at < NEVER
    driver_index = np.tile(log.times("driver_index"), 4)
    return driver_index[happened], at[happened], x[happened], y[happened]


def _last_minutes(
    snapshot: Snapshot,
    geography: Geography,
    outcomes: Outcomes,
    intervals: list[DutySpan],
    rng: np.random.Generator,
) -> list[Track]:
    """Return the tracks of drivers at work: moving, silent, or standing still after an acceptance."""
    now, index_of = snapshot.day.now, snapshot.day.roster.index_of()
    at_work = [
        index_of[row.driver]
        for row in intervals
        if row.until == NEVER
        and row.duty not in ("OFF_DUTY", "FORCED_OFF")
        and row.driver in index_of
    ]
    positions = _Positions(snapshot, geography)
    tracks = []
    for driver_index in sorted(at_work):
        stalled_order = positions.stalled.get(driver_index)
        age = int(rng.integers(3 * SECOND, 50 * SECOND))
        lost = rng.random() < SILENT_SHARE
        if stalled_order is not None:
            if STALLS[outcomes.stall_kind[stalled_order]] == CaseTrigger.LOST_PING:
                continue  # the ping at the acceptance was the last
            count, gap = 14, MINUTE
        else:
            count, gap = 3, 40 * SECOND
        silent = SILENT_FOR if lost and driver_index not in positions.order else 0
        last = now - silent - age
        at = np.maximum(last - gap * np.arange(count)[::-1], positions.since(driver_index))
        at = np.unique(np.minimum(at, now - SECOND))
        x, y = zip(*[positions.at(driver_index, int(moment)) for moment in at], strict=True)
        tracks.append((np.full(len(at), driver_index), at, np.array(x), np.array(y)))
    return tracks


class _Positions:
    """Where each driver is in the minutes before the live instant.

    order: driver_index -> the order on the way (of two, the one picked up first).
    stalled: driver_index -> the order that the driver accepted and did not start.
    """

    def __init__(self, snapshot: Snapshot, geography: Geography) -> None:
        self.now, self.log = snapshot.day.now, snapshot.day.log
        self.demand = demand = snapshot.day.demand
        self.merchant_x = geography.merchants.x[demand.merchant]
        self.merchant_y = geography.merchants.y[demand.merchant]
        log, times = self.log, snapshot.times

        active = np.flatnonzero((times["assigned"] < NEVER) & (snapshot.ended == NEVER))
        latest_first = np.argsort(-log.times("picked_up")[active], kind="stable")
        self.order: dict[int, int] = {
            log.driver_index[order]: order for order in active[latest_first].tolist()
        }
        self.stalled = {
            index: order
            for index, order in self.order.items()
            if log.stalled_driver[order] == index and log.started[order] > self.now
        }

        # Drivers without an order wait at their last door, or where the shift began.
        self.idle_x, self.idle_y = snapshot.day.roster.x.copy(), snapshot.day.roster.y.copy()
        self.idle_since = [0] * len(snapshot.day.roster)
        done = np.flatnonzero(times["at_door"] < NEVER)
        for order in done[np.argsort(times["at_door"][done], kind="stable")].tolist():
            index = log.driver_index[order]
            self.idle_x[index], self.idle_y[index] = demand.x[order], demand.y[order]
            self.idle_since[index] = log.at_door[order]

    def since(self, driver_index: int) -> int:
        """Return when the present leg or wait began; before it the driver was elsewhere."""
        order, log = self.order.get(driver_index), self.log
        if order is None:
            return self.idle_since[driver_index]
        if log.picked_up[order] <= self.now:
            return min(log.leg_start[order], self.now)
        return log.started[order] if log.stacked[order] else log.assigned[order]

    def at(self, driver_index: int, moment: int) -> Point:
        """Return the position at a moment: on the straight line of the present leg."""
        order, log = self.order.get(driver_index), self.log
        if order is None:
            return float(self.idle_x[driver_index]), float(self.idle_y[driver_index])
        if moment >= log.picked_up[order]:
            start = (log.leg_x[order], log.leg_y[order])
            door = (float(self.demand.x[order]), float(self.demand.y[order]))
            return _between(start, door, moment, log.leg_start[order], log.at_door[order])
        start = (log.from_x[order], log.from_y[order])
        merchant = (float(self.merchant_x[order]), float(self.merchant_y[order]))
        return _between(start, merchant, moment, log.started[order], log.arrived[order])


def _between(a: Point, b: Point, at: int, leaves: int, arrives: int) -> Point:
    part = min(max((at - leaves) / max(arrives - leaves, 1), 0.0), 1.0)
    return a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])

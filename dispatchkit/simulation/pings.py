"""Pings: a driver's position at every stage change, and of those at work the last minutes before the live instant."""

from __future__ import annotations

import numpy as np
import polars as pl

from dispatchkit.simulation.deliveries import Stages, ids, instants
from dispatchkit.simulation.duties import FORCED, OFF, Duty
from dispatchkit.simulation.ground import Ground, degrees
from dispatchkit.simulation.luck import STALLS, Luck
from dispatchkit.simulation.plan import MINUTE, NEVER, SECOND, Floats, Ints, draws

SILENT_SHARE, SILENT_FOR = 0.03, 14 * MINUTE  # of those at work some have lost their connection
Track = tuple[Ints, Ints, Floats, Floats]  # seat, ms, x, y


def pings_frame(
    st: Stages,
    ground: Ground,
    luck: Luck,
    duty: list[Duty],
    seed: int,
    since_us: int,
    first_id: int,
) -> pl.DataFrame:
    """Return the day's pings by time and driver."""
    day, noise = st.day, draws(seed, st.day.index + 1, "pings")
    tracks = [_stage_changes(st, ground)]
    if day.now < NEVER - 1:
        tracks += _last_minutes(st, ground, luck, duty, noise)
    seat, at, x, y = (np.concatenate(column) for column in zip(*tracks, strict=True))
    rank = np.lexsort((seat, at))
    shake = noise.normal(0, 4, (2, len(rank)))  # a receiver is good to a few metres
    lat, lon = degrees(x[rank] + shake[0], y[rank] + shake[1])
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(rank)), offset=first_id),
            "driver_id": ids(day.crew.driver[seat[rank]]),
            "at": instants(since_us, at[rank]),
            "lat": lat,
            "lon": lon,
        }
    )


def _stage_changes(st: Stages, ground: Ground) -> Track:
    d, book = st.day.demand, st.day.book
    mx, my = ground.merchants.x[d.merchant], ground.merchants.y[d.merchant]
    where = {
        "assigned": (np.array(book.from_x), np.array(book.from_y)),
        "arrived": (mx, my),
        "picked": (mx, my),
        "door": (d.x, d.y),
    }
    times = st.times | {
        "assigned": np.where(book.times("stacked") == 1, NEVER, st.times["assigned"])
    }
    at = np.concatenate([times[name] for name in where])
    x, y = (
        np.concatenate([xy[0] for xy in where.values()]),
        np.concatenate([xy[1] for xy in where.values()]),
    )
    here = at < NEVER
    return np.tile(book.times("seat"), len(where))[here], at[here], x[here], y[here]


def _last_minutes(
    st: Stages, ground: Ground, luck: Luck, duty: list[Duty], noise: np.random.Generator
) -> list[Track]:
    """Return the tracks of drivers at work: fresh near the action, silent, or moving nowhere though they accepted."""
    day = st.day
    seat_of = {int(driver): seat for seat, driver in enumerate(day.crew.driver)}
    at_work = [
        seat_of[r.driver]
        for r in duty
        if r.until == NEVER and r.duty not in (OFF, FORCED) and r.driver in seat_of
    ]
    now = _Now(st, ground)
    tracks = []
    for seat in sorted(at_work):
        stalled = now.stalled.get(seat)
        back = int(noise.integers(3 * SECOND, 50 * SECOND))
        lost = noise.random() < SILENT_SHARE
        if stalled is not None and STALLS[luck.stall_kind[stalled]] == "LOST_PING":
            continue  # the ping at acceptance was the last
        steps, gap = (14, MINUTE) if stalled is not None else (3, 40 * SECOND)
        last = day.now - (SILENT_FOR if lost and seat not in now.job else 0) - back
        at = np.maximum(last - gap * np.arange(steps)[::-1], now.since(seat))
        at = np.unique(np.minimum(at, day.now - SECOND))
        x, y = zip(*[now.where(seat, int(t)) for t in at], strict=True)
        tracks.append((np.full(len(at), seat), at, np.array(x), np.array(y)))
    return tracks


class _Now:
    """Where each driver is around the live instant."""

    def __init__(self, st: Stages, ground: Ground) -> None:
        self.st, self.demand = st, st.day.demand
        self.mx, self.my = (
            ground.merchants.x[self.demand.merchant],
            ground.merchants.y[self.demand.merchant],
        )
        book, now = st.day.book, st.day.now
        active = np.flatnonzero((st.times["assigned"] < NEVER) & (st.ended == NEVER))
        self.job: dict[int, int] = {}
        for order in active[np.argsort(-book.times("picked")[active], kind="stable")].tolist():
            self.job[book.seat[order]] = order  # the one picked up first is written last
        self.stalled = {
            s: o for s, o in self.job.items() if book.stalled_seat[o] == s and book.started[o] > now
        }
        self.rest_x, self.rest_y = st.day.crew.x.copy(), st.day.crew.y.copy()
        self.rested = [0] * len(st.day.crew)
        done = np.flatnonzero(st.times["door"] < NEVER)
        for order in done[np.argsort(st.times["door"][done], kind="stable")].tolist():
            seat = book.seat[order]
            self.rest_x[seat], self.rest_y[seat] = self.demand.x[order], self.demand.y[order]
            self.rested[seat] = book.door[order]

    def since(self, seat: int) -> int:
        """Return when the present leg, or the present rest, began: before it the driver was elsewhere."""
        order, book = self.job.get(seat), self.st.day.book
        if order is None:
            return self.rested[seat]
        if book.picked[order] <= self.st.day.now:
            return min(book.leaves[order], self.st.day.now)
        return book.started[order] if book.stacked[order] else book.assigned[order]

    def where(self, seat: int, at: int) -> tuple[float, float]:
        """Return the place of a driver at a moment of the last minutes: on the straight line of the current leg."""
        order, book = self.job.get(seat), self.st.day.book
        if order is None:
            return float(self.rest_x[seat]), float(self.rest_y[seat])
        shop = (float(self.mx[order]), float(self.my[order]))
        if at >= book.picked[order]:
            leg, door = (
                (book.leg_x[order], book.leg_y[order]),
                (self.demand.x[order], self.demand.y[order]),
            )
            return _between(
                leg, (float(door[0]), float(door[1])), at, book.leaves[order], book.door[order]
            )
        origin = (book.from_x[order], book.from_y[order])
        return _between(origin, shop, at, book.started[order], book.arrived[order])


def _between(
    a: tuple[float, float], b: tuple[float, float], at: int, leaves: int, arrives: int
) -> tuple[float, float]:
    part = min(max((at - leaves) / max(arrives - leaves, 1), 0.0), 1.0)
    return a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])

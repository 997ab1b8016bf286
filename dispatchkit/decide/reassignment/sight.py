"""What is seen of each assignment: the driver, his trail, his way to the pickup, and what he agreed to."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from dispatchkit.decide.reassignment.model import Assigned, Sight
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Driver, Ping, legs
from dispatchkit.domain.feature import Frames
from dispatchkit.domain.states import CASE_SUSPECT
from dispatchkit.kernel.clock import parse_instant
from dispatchkit.kernel.errors import Usage
from dispatchkit.travel.interface import Travel


def sights(frames: Frames, assigned: Sequence[Assigned], travel: Travel) -> list[Sight]:
    """Return one Sight for each assignment, in the order given; travel is asked for all of them at once."""
    carriers = {driver.id: driver for driver in rows(frames["carriers"], Driver)}
    trails: dict[int, list[Ping]] = defaultdict(list)
    for ping in sorted(rows(frames["trail"], Ping), key=lambda p: (p.driver_id, p.at)):
        trails[ping.driver_id].append(ping)
    held = Counter(frames["held"]["driver_id"])
    planned, busy_until = _planned(frames), _busy_until(frames)
    pairs = [
        (delivery, carriers[driver])
        for delivery in assigned
        if (driver := delivery.driver_id) in carriers
    ]
    asked = {
        delivery.id: (
            (trails[driver.id][-1].lat, trails[driver.id][-1].lon),
            pickup,
            driver.vehicle,
        )
        for delivery, driver in pairs
        if trails[driver.id] and (pickup := delivery.pickup)
    }
    ways = legs(asked, travel)
    to_door = {
        delivery.id: (pickup, door, driver.vehicle)
        for delivery, driver in pairs
        if driver.shift_end is not None
        and (pickup := delivery.pickup)
        and (door := delivery.dropoff)
    }
    doors, broken = legs(to_door, travel), _broken_since(frames)
    return [
        Sight(
            delivery=delivery,
            driver=driver,
            trail=tuple(trails[driver.id]),
            alone_since=_latest(delivery.assigned_at, busy_until.get(driver.id))
            if held[driver.id] == 1
            else None,
            way_s=_seconds(ways, delivery.id),
            leg_s=_seconds(doors, delivery.id),
            planned=planned.get((delivery.id, delivery.episode, driver.id)),
            broken_since=broken.get((delivery.id, delivery.episode, driver.id)),
        )
        for delivery, driver in pairs
    ]


def _planned(frames: Frames) -> dict[tuple[int, int, int], datetime]:
    """Return the pickup each accepted offer named; one from elsewhere may name none, and then nothing is late."""
    found = {}
    for row in frames["agreed"].iter_rows(named=True):
        try:
            told = json.loads(row["payload"])
            found[row["delivery_id"], row["episode"], row["driver_id"]] = parse_instant(
                told["pickup_eta"]
            )
        except (ValueError, KeyError, TypeError, Usage):
            continue
    return found


def _broken_since(frames: Frames) -> dict[tuple[int, int, int], datetime]:
    """Return since when the vehicle behind each assignment is said to be broken."""
    told = frames["cases"].filter(
        (pl.col("trigger") == "VEHICLE") & pl.col("state").is_in(CASE_SUSPECT)
    )
    found = told.select("delivery_id", "episode", "driver_id", "suspected_at").iter_rows()
    return {(delivery, episode, driver): at for delivery, episode, driver, at in found}


def _seconds(ways: Mapping[int, tuple[int, int]], delivery_id: int) -> int | None:
    """Return how long a way takes; None if nobody asked for it or there is none."""
    seconds, _ = ways.get(delivery_id, (-1, -1))
    return seconds if seconds >= 0 else None


def _busy_until(frames: Frames) -> dict[int, datetime]:
    """Return when each driver last ended another delivery, or had one taken away."""
    taken = (
        frames["cases"]
        .filter(pl.col("released_at").is_not_null())
        .select("driver_id", at="released_at")
    )
    ended = pl.concat([frames["finished"].select("driver_id", at="ended_at"), taken])
    return dict(ended.group_by("driver_id").agg(pl.col("at").max()).iter_rows())


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(filter(None, (one, other)), default=None)

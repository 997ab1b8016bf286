"""What is known of each assignment: the driver, their trail, the trip to the pickup, the agreed time."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from dispatchkit.decide.reassignment.model import AssignedDelivery, AssignmentView
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import legs
from dispatchkit.domain.feature import Frames
from dispatchkit.domain.rows import Driver, Ping
from dispatchkit.domain.states import CASE_SUSPECT, CaseTrigger
from dispatchkit.kernel.clock import parse_instant
from dispatchkit.kernel.errors import Usage
from dispatchkit.kernel.geo import Point
from dispatchkit.travel.interface import Travel


def observe(
    frames: Frames, assigned: Sequence[AssignedDelivery], travel: Travel
) -> list[AssignmentView]:
    """Return one view of each assignment, in the order given; travel is asked for all at once."""
    carriers = {driver.id: driver for driver in rows(frames["carriers"], Driver)}
    pairs = [(d, carriers[d.driver_id]) for d in assigned if d.driver_id in carriers]
    trails: dict[int, list[Ping]] = defaultdict(list)
    for ping in sorted(rows(frames["trail"], Ping), key=lambda p: (p.driver_id, p.at)):
        trails[ping.driver_id].append(ping)

    to_pickup: dict[int, tuple[Point, Point, str]] = {}
    to_door: dict[int, tuple[Point, Point, str]] = {}
    for delivery, driver in pairs:
        pickup, door, trail = delivery.pickup, delivery.dropoff, trails[driver.id]
        if pickup and trail:
            to_pickup[delivery.id] = (trail[-1].lat, trail[-1].lon), pickup, driver.vehicle
        if pickup and door and driver.shift_end is not None:
            to_door[delivery.id] = pickup, door, driver.vehicle
    pickup_legs, door_legs = legs(to_pickup, travel), legs(to_door, travel)

    held = Counter(frames["held"]["driver_id"])
    agreed, busy_until, broken = _agreed_pickups(frames), _busy_until(frames), _broken_since(frames)
    views = []
    for delivery, driver in pairs:
        only_delivery_since = None
        if held[driver.id] == 1:
            since = (delivery.assigned_at, busy_until.get(driver.id))
            only_delivery_since = max((at for at in since if at is not None), default=None)
        key = delivery.id, delivery.episode, driver.id
        view = AssignmentView(
            delivery=delivery,
            driver=driver,
            trail=tuple(trails[driver.id]),
            only_delivery_since=only_delivery_since,
            travel_s=_seconds(pickup_legs, delivery.id),
            dropoff_s=_seconds(door_legs, delivery.id),
            agreed_pickup_at=agreed.get(key),
            broken_since=broken.get(key),
        )
        views.append(view)
    return views


def _agreed_pickups(frames: Frames) -> dict[tuple[int, int, int], datetime]:
    """Return (delivery, episode, driver) -> the pickup time in the accepted offer.

    An imported offer may name none; then nothing is late.
    """
    agreed = {}
    for offer in frames["agreed"].iter_rows(named=True):
        key = offer["delivery_id"], offer["episode"], offer["driver_id"]
        try:
            agreed[key] = parse_instant(json.loads(offer["payload"])["pickup_eta"])
        except (ValueError, KeyError, TypeError, Usage):
            continue
    return agreed


def _broken_since(frames: Frames) -> dict[tuple[int, int, int], datetime]:
    """Return (delivery, episode, driver) -> when the vehicle was reported broken."""
    reports = frames["cases"].filter(
        (pl.col("trigger") == CaseTrigger.VEHICLE.value) & pl.col("state").is_in(CASE_SUSPECT)
    )
    columns = reports.select("delivery_id", "episode", "driver_id", "suspected_at").iter_rows()
    return {(delivery, episode, driver): at for delivery, episode, driver, at in columns}


def _seconds(trips: Mapping[int, tuple[int, int]], delivery_id: int) -> int | None:
    """Return the travel time of a trip; None if it was not asked for or there is no path."""
    seconds, _ = trips.get(delivery_id, (-1, -1))
    return seconds if seconds >= 0 else None


def _busy_until(frames: Frames) -> dict[int, datetime]:
    """Return when each driver last finished another delivery or had one released."""
    released = (
        frames["cases"]
        .filter(pl.col("released_at").is_not_null())
        .select("driver_id", at="released_at")
    )
    ended = pl.concat([frames["finished"].select("driver_id", at="ended_at"), released])
    return dict(ended.group_by("driver_id").agg(pl.col("at").max()).iter_rows())

"""What a person's reassignment would lead to: who carries the delivery now and then, and how late that makes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dispatchkit.decide.reassignment.model import Params
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Driver, Ping, approaches, free_drivers, legs
from dispatchkit.domain.feature import Event, Frames
from dispatchkit.kernel.geo import Point, point
from dispatchkit.travel.interface import Travel


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A delivery before pickup: where it goes, by when."""

    id: int
    state: str
    driver_id: int | None
    ready_at: datetime | None
    promised_at: datetime | None
    pickup_lat: float
    pickup_lon: float
    dropoff_lat: float | None
    dropoff_lon: float | None

    @property
    def pickup(self) -> Point:
        return self.pickup_lat, self.pickup_lon

    @property
    def dropoff(self) -> Point | None:
        return point(self.dropoff_lat, self.dropoff_lon)


def foresee(
    frames: Frames, event: Event, params: Params, now: datetime, travel: Travel
) -> Mapping[str, Any]:
    """Return `current` and `proposed`: driver, pickup, dropoff, slack to the promise (s), other deliveries.

    `proposed` is the driver named, or the soonest who could be asked (`predicted`). None where no
    driver has it or none is available. Both are computed alike: travel from the last ping, a detour
    for each other delivery held, the goods ready, the leg to the dropoff; no time at either stop.
    `pickup_earlier_s`: by how much the pickup would be earlier.
    """
    places = [*rows(frames["assigned"], Place), *rows(frames["sought"], Place)]
    place = next((p for p in places if p.id == event.delivery_id), None)
    if place is None:
        return {}
    named = event.args.get("to")
    then = named or _likely(frames, place, params, now, travel)
    before = _carried(frames, place, place.driver_id, params, now, travel)
    after = _carried(frames, place, then, params, now, travel)
    sooner = None
    if before and after and before["pickup_at"] and after["pickup_at"]:
        sooner = round((before["pickup_at"] - after["pickup_at"]).total_seconds())
    return {
        "current": before,
        "proposed": after and {**after, "predicted": not named},
        "pickup_earlier_s": sooner,
    }


def _likely(
    frames: Frames, place: Place, params: Params, now: datetime, travel: Travel
) -> int | None:
    """Return the soonest driver who may be asked and has not lost this delivery before."""
    lost = {
        r["driver_id"]
        for r in frames["history"].iter_rows(named=True)
        if r["delivery_id"] == place.id
    }
    drivers = [d for d in rows(frames["drivers"], Driver) if d.id not in lost | {place.driver_id}]
    held, pending = Counter(frames["held"]["driver_id"]), frozenset(frames["pending"]["driver_id"])
    free, _ = free_drivers(drivers, _pings(frames), held, pending, params, now)
    ways = approaches(free, {place.id: place.pickup}, params.reach_m, params, travel)[place.id]
    return next((way.driver.id for way in ways if way.in_shift(place.ready_at, now)), None)


def _carried(
    frames: Frames,
    place: Place,
    driver_id: int | None,
    params: Params,
    now: datetime,
    travel: Travel,
) -> dict[str, Any] | None:
    """Return how the delivery would go with one driver; times are None where he is not seen or there is no way."""
    known = {d.id: d for name in ("carriers", "drivers") for d in rows(frames[name], Driver)}
    driver, ping = known.get(driver_id or 0), _pings(frames).get(driver_id or 0)
    if driver_id is None or driver is None:
        return None
    others = frames["held"].filter(driver_id=driver.id)["id"]
    holds = sorted(int(id) for id in others if id != place.id)
    pickup_at = door_at = slack_s = None
    asked = {1: (place.pickup, place.dropoff, driver.vehicle)} if place.dropoff else {}
    if ping is not None:
        asked[0] = ((ping.lat, ping.lon), place.pickup, driver.vehicle)
    ways = {key: seconds for key, (seconds, _) in legs(asked, travel).items() if seconds >= 0}
    if place.driver_id == driver.id and place.state == "ARRIVED_PICKUP":
        ways[0] = 0
    if 0 in ways:
        there = now + timedelta(seconds=ways[0]) + len(holds) * params.stack_detour
        pickup_at = max(there, place.ready_at or there)
    if pickup_at is not None and 1 in ways:
        door_at = pickup_at + timedelta(seconds=ways[1])
        slack_s = (
            round((place.promised_at - door_at).total_seconds()) if place.promised_at else None
        )
    return {
        "driver_id": driver.id,
        "pickup_at": pickup_at,
        "dropoff_at": door_at,
        "slack_s": slack_s,
        "held_delivery_ids": holds,
    }


def _pings(frames: Frames) -> dict[int, Ping]:
    return {ping.driver_id: ping for ping in rows(frames["pings"], Ping)}

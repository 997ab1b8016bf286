"""What a person's reassignment would lead to: who carries the delivery now and then, and how late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from dispatchkit.decide.reassignment.model import Params, PickupDelivery
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import approaches, free_drivers, legs
from dispatchkit.domain.feature import Event, Frames
from dispatchkit.domain.rows import Driver, Ping
from dispatchkit.domain.states import DeliveryState
from dispatchkit.kernel.geo import Point
from dispatchkit.travel.interface import Travel


def preview(
    frames: Frames, event: Event, params: Params, now: datetime, travel: Travel
) -> Mapping[str, Any]:
    """Return `current` and `proposed`: driver, pickup, dropoff, slack to the promise (s), other deliveries.

    `proposed` is the driver named, or the soonest who could be asked (`predicted`). None where no
    driver has it or none is available. Both are computed alike: travel from the last ping, a detour
    for each other delivery in hand, the goods ready, the leg to the dropoff; no time at either stop.
    `pickup_earlier_s`: by how much the pickup would be earlier. Empty for other deliveries than
    those before pickup whose pickup is known.
    """
    deliveries = [
        *rows(frames["assigned"], PickupDelivery),
        *rows(frames["sought"], PickupDelivery),
    ]
    delivery = next((d for d in deliveries if d.id == event.delivery_id), None)
    if delivery is None or delivery.pickup is None:
        return {}
    named = event.args.get("to")
    proposed_id = named or _likely_driver(frames, delivery, delivery.pickup, params, now, travel)
    plan = frames, delivery, delivery.pickup
    current = _outcome(*plan, delivery.driver_id, params, now, travel)
    proposed = _outcome(*plan, proposed_id, params, now, travel)
    earlier_s = None
    if current and proposed and current["pickup_at"] and proposed["pickup_at"]:
        earlier_s = round((current["pickup_at"] - proposed["pickup_at"]).total_seconds())
    return {
        "current": current,
        "proposed": proposed and {**proposed, "predicted": not named},
        "pickup_earlier_s": earlier_s,
    }


def _likely_driver(
    frames: Frames,
    delivery: PickupDelivery,
    pickup: Point,
    params: Params,
    now: datetime,
    travel: Travel,
) -> int | None:
    """Return the soonest driver who may be asked and has not lost this delivery before."""
    excluded = {delivery.driver_id, *frames["history"].filter(delivery_id=delivery.id)["driver_id"]}
    drivers = [d for d in rows(frames["drivers"], Driver) if d.id not in excluded]
    held, pending = Counter(frames["held"]["driver_id"]), frozenset(frames["pending"]["driver_id"])
    free, _ = free_drivers(drivers, _pings(frames), held, pending, params, now)
    candidates = approaches(free, {delivery.id: pickup}, params.reach_m, params, travel)
    for approach in candidates[delivery.id]:
        if approach.fits_shift(delivery.ready_at, now):
            return approach.driver.id
    return None


def _outcome(
    frames: Frames,
    delivery: PickupDelivery,
    pickup: Point,
    driver_id: int | None,
    params: Params,
    now: datetime,
    travel: Travel,
) -> dict[str, Any] | None:
    """Return how the delivery would go with one driver; times are None without a ping or a path."""
    known = {d.id: d for name in ("carriers", "drivers") for d in rows(frames[name], Driver)}
    driver, ping = known.get(driver_id or 0), _pings(frames).get(driver_id or 0)
    if driver is None:
        return None
    in_hand = frames["held"].filter(driver_id=driver.id)["id"]
    others = sorted(int(id) for id in in_hand if id != delivery.id)

    trips: dict[int, tuple[Point, Point, str]] = {}  # 0: to the pickup, 1: to the door
    if ping is not None:
        trips[0] = (ping.lat, ping.lon), pickup, driver.vehicle
    if delivery.dropoff:
        trips[1] = pickup, delivery.dropoff, driver.vehicle
    travel_s = {key: seconds for key, (seconds, _) in legs(trips, travel).items() if seconds >= 0}
    if delivery.driver_id == driver.id and delivery.state == DeliveryState.ARRIVED_PICKUP:
        travel_s[0] = 0

    pickup_at = dropoff_at = slack_s = None
    if 0 in travel_s:
        arrival = now + timedelta(seconds=travel_s[0]) + len(others) * params.stack_detour
        pickup_at = max(arrival, delivery.ready_at or arrival)
    if pickup_at is not None and 1 in travel_s:
        dropoff_at = pickup_at + timedelta(seconds=travel_s[1])
        if delivery.promised_at:
            slack_s = round((delivery.promised_at - dropoff_at).total_seconds())
    return {
        "driver_id": driver.id,
        "pickup_at": pickup_at,
        "dropoff_at": dropoff_at,
        "slack_s": slack_s,
        "held_delivery_ids": others,
    }


def _pings(frames: Frames) -> dict[int, Ping]:
    return {ping.driver_id: ping for ping in rows(frames["pings"], Ping)}

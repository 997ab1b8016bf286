"""Why an assignment looks stalled: one function a trigger, the first that holds names the suspicion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from dispatchkit.decide.reassignment.model import Params, Sight
from dispatchkit.domain.dispatching import Ping
from dispatchkit.domain.duty import OFFLINE
from dispatchkit.kernel.geo import haversine_m


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A trigger with what was seen.

    coming_in: when the driver would be at the pickup, None if he is not expected there at all (silent, off duty, or
    the shift is over). One who stands still is expected to stand as long again.
    """

    trigger: str
    coming_in: timedelta | None
    seen: dict[str, Any] = field(default_factory=dict)


def suspicion(sight: Sight, params: Params, now: datetime) -> Suspicion | None:
    """Return the first suspicion that holds, or None (thresholds: semantics, section 4).

    Where nobody knows the place of the pickup, of those alone that need none.
    """
    for trigger in TRIGGERS if sight.delivery.pickup else PLACELESS:
        if found := trigger(sight, params, now):
            return found
    return None


def driver_offduty(sight: Sight, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the driver has left."""
    duty = sight.driver.duty
    return Suspicion("DRIVER_OFFDUTY", None, {"duty": duty}) if duty in OFFLINE else None


def lost_ping(sight: Sight, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the driver has been silent; at the merchant's counter a phone may be."""
    if sight.delivery.state == "ARRIVED_PICKUP":
        return None
    heard = [sight.trail[-1].at] if sight.trail else []
    known = [*heard, *([sight.delivery.assigned_at] if sight.delivery.assigned_at else [])]
    silent = now - max(known) if known else None
    if silent is not None and silent < params.lost_ping:
        return None
    return Suspicion("LOST_PING", None, {"silent_s": _s(silent) if silent is not None else None})


def vehicle(sight: Sight, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the driver's vehicle is said to be broken and he has come no nearer since."""
    since = sight.broken_since
    arrived = sight.delivery.arrived_pickup_at
    if since is None or (arrived is not None and arrived > since):
        return None
    after = [ping for ping in sight.trail if ping.at >= since and sight.delivery.pickup]
    closer = _to_pickup_m(sight, after[0]) - _to_pickup_m(sight, after[-1]) if after else 0.0
    return (
        Suspicion("VEHICLE", None, {"broken_s": _s(now - since)})
        if closer < params.moved_m
        else None
    )


def shift_end(sight: Sight, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the delivery would be finished too far past the end of the driver's shift."""
    ends = sight.driver.shift_end
    if ends is None:
        return None
    finish = max(now + _way(sight), sight.delivery.ready_at or now) + timedelta(
        seconds=sight.leg_s or 0
    )
    overrun = finish - ends
    return (
        Suspicion("SHIFT_END", None, {"overrun_s": _s(overrun)})
        if overrun > params.max_overrun
        else None
    )


def merchant_wait(sight: Sight, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the driver waits at the counter for goods that should long be ready.

    Nobody else would have them sooner, so it comes to a release only where the driver himself leaves.
    """
    delivery = sight.delivery
    if delivery.state != "ARRIVED_PICKUP" or delivery.arrived_pickup_at is None:
        return None
    waited = now - max(delivery.arrived_pickup_at, delivery.ready_at or delivery.arrived_pickup_at)
    late = waited >= params.merchant_wait
    return Suspicion("MERCHANT_WAIT", timedelta(), {"waited_s": _s(waited)}) if late else None


def no_start(sight: Sight, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if a driver with nothing else to do has not set out for the pickup."""
    delivery = sight.delivery
    if delivery.state != "ASSIGNED" or sight.alone_since is None or not sight.trail:
        return None
    stalled = now - sight.alone_since
    left = _to_pickup_m(sight, sight.trail[-1])
    if stalled < params.no_start or left <= params.moved_m:
        return None
    earlier = [ping for ping in sight.trail if ping.at <= now - params.no_start] or [sight.trail[0]]
    closer = _to_pickup_m(sight, earlier[-1]) - left
    if closer >= params.moved_m:
        return None
    return Suspicion(
        "NO_START", _coming(sight, stalled), {"stalled_s": _s(stalled), "closer_m": round(closer)}
    )


def not_moving(sight: Sight, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if a driver under way has stayed within `moved_m` of one spot that is not the pickup."""
    if sight.delivery.state != "EN_ROUTE_PICKUP" or sight.alone_since is None or not sight.trail:
        return None
    last = sight.trail[-1]
    since = last.at
    for ping in reversed(sight.trail):
        if haversine_m(ping.lat, ping.lon, last.lat, last.lon) > params.moved_m:
            break
        since = ping.at
    stalled = now - max(since, sight.alone_since, sight.delivery.started_at or since)
    if stalled < params.not_moving or _to_pickup_m(sight, last) <= params.moved_m:
        return None
    return Suspicion("NOT_MOVING", _coming(sight, stalled), {"stalled_s": _s(stalled)})


def wrong_way(sight: Sight, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the driver is far off, or goes away from the pickup ping after ping.

    Far off: `wrong_way_m` farther than he had come already. Over `wrong_way_pings` pings more than standing still.
    """
    if sight.delivery.state == "ARRIVED_PICKUP" or sight.alone_since is None:
        return None
    left = [_to_pickup_m(sight, ping) for ping in sight.trail if ping.at >= sight.alone_since]
    if not left:
        return None
    lately = left[-params.wrong_way_pings - 1 :]
    rising = len(lately) > params.wrong_way_pings and all(a < b for a, b in pairwise(lately))
    farther, drift = left[-1] - min(left), lately[-1] - lately[0]
    if farther < params.wrong_way_m and not (rising and drift > params.moved_m):
        return None
    return Suspicion("WRONG_WAY", _coming(sight), {"farther_m": round(farther)})


def eta_breach(sight: Sight, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the pickup is expected much later than agreed."""
    if sight.delivery.state == "ARRIVED_PICKUP" or sight.way_s is None or sight.planned is None:
        return None
    late = now + _way(sight) - sight.planned
    return (
        Suspicion("ETA_BREACH", _coming(sight), {"late_s": _s(late)})
        if late > params.eta_breach
        else None
    )


def distance_m(sight: Sight) -> int | None:
    """Return how far by air the driver was from the pickup when last seen, in metres."""
    return (
        round(_to_pickup_m(sight, sight.trail[-1]))
        if sight.trail and sight.delivery.pickup
        else None
    )


def _to_pickup_m(sight: Sight, ping: Ping) -> float:
    assert sight.delivery.pickup is not None
    return haversine_m(ping.lat, ping.lon, *sight.delivery.pickup)


def _way(sight: Sight) -> timedelta:
    return timedelta(seconds=sight.way_s or 0)


def _coming(sight: Sight, stalled: timedelta = timedelta()) -> timedelta | None:
    return None if sight.way_s is None else _way(sight) + stalled


def _s(span: timedelta) -> int:
    return int(span.total_seconds())


TRIGGERS: tuple[Callable[[Sight, Params, datetime], Suspicion | None], ...] = (
    driver_offduty,
    vehicle,
    lost_ping,
    shift_end,
    no_start,
    not_moving,
    wrong_way,
    eta_breach,
    merchant_wait,
)
PLACELESS = (driver_offduty, vehicle, lost_ping)

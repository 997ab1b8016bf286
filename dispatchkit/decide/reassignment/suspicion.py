"""Why an assignment is under suspicion: one function a trigger, the first that holds counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from dispatchkit.decide.reassignment.model import AssignmentView, Params
from dispatchkit.domain.duty import OFFLINE
from dispatchkit.domain.rows import Ping
from dispatchkit.domain.states import CaseTrigger, DeliveryState
from dispatchkit.kernel.geo import haversine_m


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A trigger with its evidence.

    arrives_in: how long until the driver would be at the pickup, None if they are not expected at
    all (silent, off duty, or the shift is over). A driver who stands still is expected to stand
    as long again.
    """

    trigger: CaseTrigger
    arrives_in: timedelta | None
    evidence: dict[str, Any] = field(default_factory=dict)


def find_suspicion(view: AssignmentView, params: Params, now: datetime) -> Suspicion | None:
    """Return the first suspicion that holds, or None.

    Without a known pickup only the triggers that do not need one are tried.
    """
    for trigger in TRIGGERS if view.delivery.pickup else WITHOUT_PICKUP:
        if suspicion := trigger(view, params, now):
            return suspicion
    return None


def driver_offduty(view: AssignmentView, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the driver has left."""
    duty = view.driver.duty
    return Suspicion(CaseTrigger.DRIVER_OFFDUTY, None, {"duty": duty}) if duty in OFFLINE else None


def lost_ping(view: AssignmentView, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the driver's phone is silent; at the merchant it may be."""
    if view.delivery.state == DeliveryState.ARRIVED_PICKUP:
        return None
    heard = [view.trail[-1].at] if view.trail else []
    known = [*heard, *([view.delivery.assigned_at] if view.delivery.assigned_at else [])]
    silent = now - max(known) if known else None
    if silent is not None and silent < params.lost_ping:
        return None
    return Suspicion(
        CaseTrigger.LOST_PING, None, {"silent_s": _s(silent) if silent is not None else None}
    )


def vehicle(view: AssignmentView, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the vehicle is reported broken and the driver has come no nearer since."""
    since = view.broken_since
    arrived = view.delivery.arrived_pickup_at
    if since is None or (arrived is not None and arrived > since):
        return None
    after = [ping for ping in view.trail if ping.at >= since and view.delivery.pickup]
    closer = _to_pickup_m(view, after[0]) - _to_pickup_m(view, after[-1]) if after else 0.0
    return (
        Suspicion(CaseTrigger.VEHICLE, None, {"broken_s": _s(now - since)})
        if closer < params.moved_m
        else None
    )


def shift_end(view: AssignmentView, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the delivery would be finished too far past the end of the driver's shift."""
    ends = view.driver.shift_end
    if ends is None:
        return None
    finish = max(now + _travel(view), view.delivery.ready_at or now) + timedelta(
        seconds=view.dropoff_s or 0
    )
    overrun = finish - ends
    return (
        Suspicion(CaseTrigger.SHIFT_END, None, {"overrun_s": _s(overrun)})
        if overrun > params.max_overrun
        else None
    )


def merchant_wait(view: AssignmentView, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the driver waits at the merchant for goods that should long be ready.

    Nobody else would get them sooner, so only the driver's own leaving leads to a release.
    """
    delivery = view.delivery
    if delivery.state != DeliveryState.ARRIVED_PICKUP or delivery.arrived_pickup_at is None:
        return None
    waited = now - max(delivery.arrived_pickup_at, delivery.ready_at or delivery.arrived_pickup_at)
    late = waited >= params.merchant_wait
    return (
        Suspicion(CaseTrigger.MERCHANT_WAIT, timedelta(), {"waited_s": _s(waited)})
        if late
        else None
    )


def no_start(view: AssignmentView, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if a driver with nothing else to do has not set out for the pickup."""
    delivery = view.delivery
    if (
        delivery.state != DeliveryState.ASSIGNED
        or view.only_delivery_since is None
        or not view.trail
    ):
        return None
    stalled = now - view.only_delivery_since
    left = _to_pickup_m(view, view.trail[-1])
    if stalled < params.no_start or left <= params.moved_m:
        return None
    earlier = [ping for ping in view.trail if ping.at <= now - params.no_start] or [view.trail[0]]
    closer = _to_pickup_m(view, earlier[-1]) - left
    if closer >= params.moved_m:
        return None
    return Suspicion(
        CaseTrigger.NO_START,
        _arrives_in(view, stalled),
        {"stalled_s": _s(stalled), "closer_m": round(closer)},
    )


def not_moving(view: AssignmentView, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if a driver on the way stays within `moved_m` of one spot that is not the pickup."""
    if (
        view.delivery.state != DeliveryState.EN_ROUTE_PICKUP
        or view.only_delivery_since is None
        or not view.trail
    ):
        return None
    last = view.trail[-1]
    since = last.at
    for ping in reversed(view.trail):
        if haversine_m(ping.lat, ping.lon, last.lat, last.lon) > params.moved_m:
            break
        since = ping.at
    stalled = now - max(since, view.only_delivery_since, view.delivery.started_at or since)
    if stalled < params.not_moving or _to_pickup_m(view, last) <= params.moved_m:
        return None
    return Suspicion(CaseTrigger.NOT_MOVING, _arrives_in(view, stalled), {"stalled_s": _s(stalled)})


def wrong_way(view: AssignmentView, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the driver moves away from the pickup.

    Either `wrong_way_m` farther than the nearest point so far, or farther with each of the last
    `wrong_way_pings` pings, by `moved_m` in all.
    """
    if view.delivery.state == DeliveryState.ARRIVED_PICKUP or view.only_delivery_since is None:
        return None
    left = [_to_pickup_m(view, ping) for ping in view.trail if ping.at >= view.only_delivery_since]
    if not left:
        return None
    lately = left[-params.wrong_way_pings - 1 :]
    rising = len(lately) > params.wrong_way_pings and all(a < b for a, b in pairwise(lately))
    farther, drift = left[-1] - min(left), lately[-1] - lately[0]
    if farther < params.wrong_way_m and not (rising and drift > params.moved_m):
        return None
    return Suspicion(CaseTrigger.WRONG_WAY, _arrives_in(view), {"farther_m": round(farther)})


def eta_breach(view: AssignmentView, params: Params, now: datetime) -> Suspicion | None:
    """Return a suspicion if the pickup is expected much later than agreed."""
    if (
        view.delivery.state == DeliveryState.ARRIVED_PICKUP
        or view.travel_s is None
        or view.agreed_pickup_at is None
    ):
        return None
    late = now + _travel(view) - view.agreed_pickup_at
    return (
        Suspicion(CaseTrigger.ETA_BREACH, _arrives_in(view), {"late_s": _s(late)})
        if late > params.eta_breach
        else None
    )


def distance_m(view: AssignmentView) -> int | None:
    """Return the straight-line metres from the last ping to the pickup, None if unknown."""
    return (
        round(_to_pickup_m(view, view.trail[-1])) if view.trail and view.delivery.pickup else None
    )


def _to_pickup_m(view: AssignmentView, ping: Ping) -> float:
    assert view.delivery.pickup is not None
    return haversine_m(ping.lat, ping.lon, *view.delivery.pickup)


def _travel(view: AssignmentView) -> timedelta:
    return timedelta(seconds=view.travel_s or 0)


def _arrives_in(view: AssignmentView, stalled: timedelta = timedelta()) -> timedelta | None:
    return None if view.travel_s is None else _travel(view) + stalled


def _s(span: timedelta) -> int:
    return int(span.total_seconds())


TRIGGERS: tuple[Callable[[AssignmentView, Params, datetime], Suspicion | None], ...] = (
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
WITHOUT_PICKUP = (driver_offduty, vehicle, lost_ping)

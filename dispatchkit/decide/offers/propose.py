"""Who is asked next: one driver for each delivery that seeks one, the soonest at the pickup first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from dispatchkit.decide.offers.model import Params, Sought
from dispatchkit.kernel.chance import key
from dispatchkit.kernel.change import canonical
from dispatchkit.kernel.dispatch import SHIFT_ENDS, Approach, Free, approaches, legs
from dispatchkit.kernel.feature import Travel
from dispatchkit.kernel.group import Group, Values

Explanation = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeker:
    """A delivery without a driver and without a pending offer. `asked` counts, by driver, the offers so far."""

    delivery: Sought
    group: Group
    attempts: int
    waited: timedelta
    asked: Mapping[int, int]
    excluded: frozenset[int]


def propose(
    seekers: Sequence[Seeker],
    free: Sequence[Free],
    kept_out: Mapping[str, int],
    params: Params,
    now: datetime,
    travel: Travel,
) -> list[Explanation]:
    """Add one offer to the group of each seeker that finds a driver; return why the others found none.

    Greedy: the highest priority chooses first, then the longest due, then the lowest id. A driver is asked once a run.
    """
    searching = [s for s in seekers if s.attempts < params.max_attempts]
    pickups = {s.delivery.id: pickup for s in searching if (pickup := s.delivery.pickup)}
    ways = approaches(free, pickups, params.radius_max_m, params, travel)
    taken: set[int] = set()
    chosen: list[tuple[Seeker, list[Approach]]] = []
    unserved: list[Explanation] = []
    for seeker in sorted(seekers, key=lambda s: (-s.delivery.priority, s.delivery.dispatch_at, s.delivery.id)):
        found = ways.get(seeker.delivery.id, [])
        judged = [(way, _hindrance(seeker, way, taken, params, now)) for way in found]
        possible = [way for way, rule in judged if rule is None]
        if possible:
            chosen.append((seeker, possible))
            taken.add(possible[0].driver.id)
        else:
            unserved.append(_unserved(seeker, judged, kept_out, params))
    lengths = _lengths_m(chosen, travel)
    for seeker, possible in chosen:
        _offer(seeker, possible, lengths.get(seeker.delivery.id, 0), params, now)
    return sorted(unserved, key=lambda e: int(e["delivery_id"]))


def pickup_at(delivery: Sought, way: Approach, now: datetime) -> datetime:
    """Return when the goods could be picked up: the driver there, the goods ready."""
    there = now + timedelta(seconds=way.cost_s)
    return max(there, delivery.ready_at) if delivery.ready_at else there


def _hindrance(seeker: Seeker, way: Approach, taken: set[int], params: Params, now: datetime) -> str | None:
    """Return the rule that keeps this driver from this delivery, or None."""
    driver = way.driver
    if driver.id in seeker.excluded:
        return "ASKED_BEFORE"
    if way.air_m > params.radius_m(seeker.attempts, seeker.waited):
        return "OUTSIDE_RADIUS"
    if driver.shift_end is not None and driver.shift_end < pickup_at(seeker.delivery, way, now):
        return SHIFT_ENDS
    return "TAKEN_THIS_RUN" if driver.id in taken else None


def _offer(seeker: Seeker, possible: Sequence[Approach], distance_m: int, params: Params, now: datetime) -> None:
    """Add to the seeker's group that the delivery is offered, and the offer to the soonest driver."""
    delivery, group, best = seeker.delivery, seeker.group, possible[0]
    driver, attempt = best.driver, seeker.attempts + 1
    told: Values = {  # frozen: what the driver agrees to. No place or person: the offer is audited for years
        "delivery_id": delivery.id,
        "merchant_id": delivery.merchant_id,
        "distance_m": distance_m,
        "pay_cents": params.pay_cents(distance_m),
        "pickup_eta": pickup_at(delivery, best, now),
    }
    asked: Values = {
        "delivery_id": delivery.id,
        "driver_id": driver.id,
        "episode": delivery.episode,
        "attempt": attempt,
        "ask": seeker.asked.get(driver.id, 0) + 1,
    }
    offer_id = key("offer", delivery.id, delivery.episode, attempt, driver.id)
    group.change("delivery", delivery, "delivery_offering", "DRIVER_FOUND", {"state": "OFFERING"})
    group.born(
        "offer",
        offer_id,
        "offer_created",
        "SOONEST_AT_PICKUP",
        asked | _pending(told, params, now),
        expects=(("driver", driver.id, driver.version),),
        payload={"offerId": offer_id, "deliveryId": delivery.id, "driverId": driver.id, "payload": told},
        why=_why(seeker, possible, params),
    )


def _pending(told: Values, params: Params, now: datetime) -> Values:
    """Return the columns of an offer that tells this and waits for its answer from `now` on."""
    payload = canonical(told)
    expires_at = now + params.timeout
    return {
        "state": "PENDING",
        "cause": None,
        "mode": "cascade",
        "pay_cents": told["pay_cents"],
        "boost_cents": 0,
        "distance_m": told["distance_m"],
        "payload": payload,
        "payload_sha256": sha256(payload.encode()).hexdigest(),
        "sent_at": now,
        "expires_at": expires_at,
        "hard_deadline": expires_at + params.accept_grace,
        "delivered_at": None,
        "viewed_at": None,
        "responded_at": None,
        "late": False,
    }


def _why(seeker: Seeker, possible: Sequence[Approach], params: Params) -> Explanation:
    best, second = possible[0], possible[1] if len(possible) > 1 else None
    return {
        "chosen": best.driver.id,
        "cost_s": best.cost_s,
        "travel_s": best.seconds,
        "runner_up": second.driver.id if second else None,
        "runner_up_cost_s": second.cost_s if second else None,
        "candidates": len(possible),
        "radius_m": params.radius_m(seeker.attempts, seeker.waited),
    }


def _lengths_m(chosen: Sequence[tuple[Seeker, Sequence[Approach]]], travel: Travel) -> dict[int, int]:
    """Return for each delivery the way from pickup to door in metres: 0 if out of reach, no entry if unknown."""
    asked = {
        seeker.delivery.id: (seeker.delivery.pickup, seeker.delivery.dropoff, possible[0].driver.vehicle)
        for seeker, possible in chosen
        if seeker.delivery.pickup is not None and seeker.delivery.dropoff is not None
    }
    return {delivery: max(0, metres) for delivery, (_, metres) in legs(asked, travel).items()}


def _unserved(
    seeker: Seeker, judged: Sequence[tuple[Approach, str | None]], kept_out: Mapping[str, int], params: Params
) -> Explanation:
    """Return why nobody was asked, and what would change it: a wider radius if that brings somebody, else the rule that
    keeps out the soonest driver."""
    radius = params.radius_m(seeker.attempts, seeker.waited)
    said: Explanation = {
        "delivery_id": seeker.delivery.id,
        "attempts": seeker.attempts,
        "waited_s": int(seeker.waited.total_seconds()),
        "radius_m": radius,
        "hindered": _counts([rule for _, rule in judged if rule]),
        "kept_out": dict(kept_out),
        "relax": None,
    }
    if seeker.attempts >= params.max_attempts:
        return {**said, "rule": "ATTEMPTS_USED_UP", "relax": f"max_attempts above {seeker.attempts}"}
    if seeker.delivery.pickup is None:
        relax = f"the position of merchant {seeker.delivery.merchant_id}"
        return {**said, "rule": "PICKUP_UNKNOWN", "relax": relax}
    if not judged:
        return {**said, "rule": "NO_FREE_DRIVER_IN_REACH"}
    way, rule = judged[0]
    outside = [w for w, r in judged if r == "OUTSIDE_RADIUS"]
    if outside:
        nearest = min(outside, key=lambda w: (w.air_m, w.driver.id))
        return {
            **said,
            "rule": "OUTSIDE_RADIUS",
            "relax": f"radius {nearest.air_m} m reaches driver {nearest.driver.id}",
        }
    return {**said, "rule": rule, "relax": f"without it driver {way.driver.id} would be asked"}


def _counts(rules: Sequence[str]) -> dict[str, int]:
    return {rule: rules.count(rule) for rule in sorted(set(rules))}

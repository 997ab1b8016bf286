"""Which drivers get the next offers, and on what terms: those whose pickup is expected soonest.

With one offer after another, the best order is by `travel time + timeout / p`, where p is the
chance that the driver accepts: in any other order, swapping two neighbours that break the rule
lowers the expected time to the pickup. A refusal is counted as a whole timeout.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from dispatchkit.decide.offers.find_open import SearchingDelivery
from dispatchkit.decide.offers.model import Params, Refusal
from dispatchkit.domain.codes import Rule
from dispatchkit.domain.dispatching import Approach, Free, approaches, legs
from dispatchkit.travel.interface import Travel

LEAST_P = 0.0001


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one round offers to all its drivers. The pay includes the boost.

    leg_s: from the pickup to the door, None if unknown.
    """

    distance_m: int
    leg_s: int | None
    pay_cents: int
    boost_cents: int

    @classmethod
    def of(cls, search: SearchingDelivery, length: tuple[int, int] | None, params: Params) -> Self:
        """Return the terms for a length in (seconds, metres); an unknown length pays the base."""
        seconds, metres = length or (-1, 0)
        boost = params.boost_cents(search.unwanted, search.level)
        return cls(
            distance_m=max(0, metres),
            leg_s=seconds if seconds >= 0 else None,
            pay_cents=params.pay_cents(max(0, metres)) + boost,
            boost_cents=boost,
        )

    def details(
        self, search: SearchingDelivery, pickup_s: int, held: int, pickup: datetime
    ) -> dict[str, Any]:
        """Return what a driver agrees to by accepting.

        It names no place and no person, because the offer is kept in the audit trail for years.
        """
        return {
            "delivery_id": search.delivery.id,
            "merchant_id": search.delivery.merchant_id,
            "distance_m": self.distance_m,
            "pay_cents": self.pay_cents,
            "boost_cents": self.boost_cents,
            "estimated_earning_cents": self.pay_cents,
            "held": held,
            "pickup_s": pickup_s,
            "pickup_eta": pickup,
            "dropoff_eta": None if self.leg_s is None else pickup + timedelta(seconds=self.leg_s),
        }


@dataclass(frozen=True, slots=True)
class Candidate:
    """A driver who could get an offer.

    expected_s: until the pickup, with a timeout for each refusal that is to be expected.
    """

    approach: Approach
    held: int
    p_accept: float
    expected_s: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What one delivery chose.

    evaluated: the free drivers in reach, each with the rule that excludes them, or None.
    possible: those whom no rule excludes, the best first. picked: those who get an offer.
    """

    search: SearchingDelivery
    terms: Terms
    evaluated: Sequence[tuple[Candidate, str | None]]
    possible: Sequence[Candidate]
    picked: list[Candidate] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The approaches by delivery, deliveries in hand by driver, and the lengths by delivery."""

    approaches: Mapping[int, Sequence[Approach]]
    held: Mapping[int, int]
    lengths: Mapping[int, tuple[int, int]]


def propose(
    searches: Sequence[SearchingDelivery],
    free: Sequence[Free],
    unavailable: Iterable[int],
    params: Params,
    now: datetime,
    travel: Travel,
) -> list[Choice]:
    """Return a choice for each delivery, in the order in which they chose.

    The highest priority chooses first, then the longest due, then the lowest id. A delivery that
    makes several offers takes one driver a turn, so that its third choice is not another delivery's
    only one. A driver gets at most one offer a run, and those in `unavailable` get none.
    """
    ordered = sorted(
        searches, key=lambda s: (-s.delivery.priority, s.delivery.dispatch_at, s.delivery.id)
    )
    reach = {s.delivery.id: s.radius_m(params) for s in ordered if s.rounds < params.max_attempts}
    candidates = _candidates(ordered, free, reach, params, travel)
    taken = set(unavailable)
    choices: list[Choice] = []
    for search in ordered:
        choices.append(_choice(search, candidates, taken, params, now))
        _pick(choices[-1], taken)
    for _ in range(params.at_once - 1):
        for choice in choices:
            _pick(choice, taken)
    return choices


def survey(
    searches: Sequence[SearchingDelivery],
    free: Sequence[Free],
    reach_m: Mapping[int, int],
    params: Params,
    now: datetime,
    travel: Travel,
) -> list[Choice]:
    """Return for each delivery the evaluation of every free driver in reach; nobody is picked.

    reach_m: the straight-line distance by delivery; one that is missing has no candidates.
    """
    candidates = _candidates(searches, free, reach_m, params, travel)
    return [_choice(search, candidates, set(), params, now) for search in searches]


def _candidates(
    searches: Sequence[SearchingDelivery],
    free: Sequence[Free],
    reach_m: Mapping[int, int],
    params: Params,
    travel: Travel,
) -> Candidates:
    """Return the approaches within reach and the lengths of the deliveries."""
    pickups = {
        s.delivery.id: pickup
        for s in searches
        if s.delivery.id in reach_m and (pickup := s.delivery.pickup)
    }
    found = approaches(free, pickups, reach_m, params, travel)
    held = {one.driver.id: one.held for one in free}
    return Candidates(found, held, _lengths(searches, found, travel))


def _choice(
    search: SearchingDelivery,
    candidates: Candidates,
    taken: Container[int],
    params: Params,
    now: datetime,
) -> Choice:
    """Return the evaluation of the drivers who are in reach and not taken."""
    id = search.delivery.id
    terms = Terms.of(search, candidates.lengths.get(id), params)
    evaluated = [
        _evaluate(search, terms, approach, candidates.held[approach.driver.id], params, now)
        for approach in candidates.approaches.get(id, ())
        if approach.driver.id not in taken
    ]
    possible = sorted(
        (candidate for candidate, rule in evaluated if rule is None),
        key=lambda c: (c.expected_s, c.approach.driver.id),
    )
    return Choice(search, terms, evaluated, possible)


def _pick(choice: Choice, taken: set[int]) -> None:
    """Pick the best driver who is not taken, if there is one."""
    best = next((c for c in choice.possible if c.approach.driver.id not in taken), None)
    if best is not None:
        taken.add(best.approach.driver.id)
        choice.picked.append(best)


def _evaluate(
    search: SearchingDelivery,
    terms: Terms,
    approach: Approach,
    held: int,
    params: Params,
    now: datetime,
) -> tuple[Candidate, str | None]:
    """Return a driver as a candidate, and the rule that excludes them from the delivery, or None."""
    # 1.00 a km is 100 cents in 1000 m
    per_km = 10 * terms.boost_cents / terms.distance_m if terms.distance_m else 0.0
    p = params.p_accept(float(search.refused), approach.travel_s / 60, float(held), per_km)
    p = max(round(p, 4), LEAST_P)
    wasted_s = params.timeout.total_seconds() * (1 / p - 1)
    candidate = Candidate(approach, held, p, approach.cost_s + round(wasted_s))
    return candidate, _rejecting_rule(search, terms, approach, params, now)


def _rejecting_rule(
    search: SearchingDelivery, terms: Terms, approach: Approach, params: Params, now: datetime
) -> Rule | None:
    """Return the first rule about driver and delivery that forbids an offer, or None."""
    driver = approach.driver
    if driver.id in search.barred:
        return Rule.ASKED_BEFORE
    refusal = search.refusals.get(driver.id)
    if refusal is not None and not _improved(refusal, terms, approach, params, now):
        return Rule.NOT_IMPROVED
    if approach.straight_m > search.radius_m(params):
        return Rule.OUTSIDE_RADIUS
    if not approach.fits_shift(search.delivery.ready_at, now):
        return Rule.SHIFT_ENDS_BEFORE_PICKUP
    return None


def _improved(
    refusal: Refusal, terms: Terms, approach: Approach, params: Params, now: datetime
) -> bool:
    """Return whether a driver who refused may get a new offer: some time later, and a better one."""
    if now < refusal.responded_at + params.reoffer_same_driver:
        return False
    if terms.pay_cents >= refusal.pay_cents + params.reoffer_more_cents:
        return True
    refused_s = _refused_pickup_s(refusal.payload)
    nearer_s = approach.travel_s + params.reoffer_nearer.total_seconds()
    return isinstance(refused_s, int) and nearer_s <= refused_s


def _refused_pickup_s(payload: str) -> object:
    """Return the time to the pickup by the terms of an offer; imported terms may hold anything."""
    try:
        terms = json.loads(payload)
    except ValueError:
        return None
    return terms.get("pickup_s") if isinstance(terms, dict) else None


def _lengths(
    searches: Sequence[SearchingDelivery],
    found: Mapping[int, Sequence[Approach]],
    travel: Travel,
) -> dict[int, tuple[int, int]]:
    """Return (seconds, metres) from pickup to door of each delivery with a driver in reach.

    The soonest driver's vehicle counts for all: the pay does not depend on who carries it.
    """
    trips = {}
    for delivery in (search.delivery for search in searches):
        nearby = found.get(delivery.id)
        if nearby and delivery.pickup is not None and delivery.dropoff is not None:
            trips[delivery.id] = (delivery.pickup, delivery.dropoff, nearby[0].driver.vehicle)
    return legs(trips, travel)

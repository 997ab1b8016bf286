"""Which drivers get the next offers: those with whom the pickup is expected soonest.

With one offer after another, the best order is by `travel time + timeout / p`, where p is the
chance that the driver accepts: in any other order, swapping two neighbours that break the rule
lowers the expected time to the pickup. A refusal is counted as a whole timeout.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dispatchkit.decide.offers.model import Params, Refusal
from dispatchkit.decide.offers.seek import Seeker
from dispatchkit.decide.offers.terms import Terms, terms_told
from dispatchkit.domain.dispatching import SHIFT_ENDS, Approach, Free, approaches, legs
from dispatchkit.travel.interface import Travel

LEAST_P = 0.0001


@dataclass(frozen=True, slots=True)
class Candidate:
    """A driver who could be asked. expected_s: until the pickup, a timeout added for each refusal to be expected."""

    way: Approach
    held: int
    p_accept: float
    expected_s: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What became of one seeker: its terms, the free drivers in reach with the rule that bars each, those picked.

    possible: whom no rule bars, the best first.
    """

    seeker: Seeker
    terms: Terms
    judged: Sequence[tuple[Candidate, str | None]]
    possible: Sequence[Candidate]
    picked: list[Candidate] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ground:
    """What choices are made on: who is how far from each pickup, what each holds, how long each delivery is."""

    ways: Mapping[int, Sequence[Approach]]
    held: Mapping[int, int]
    lengths: Mapping[int, tuple[int, int]]


def propose(
    seekers: Sequence[Seeker],
    free: Sequence[Free],
    given: Iterable[int],
    params: Params,
    now: datetime,
    travel: Travel,
) -> list[Choice]:
    """Return a choice for each seeker, in the order in which they chose. A driver is asked once a run, one `given`
    something already not at all.

    The highest priority chooses first, then the longest due, then the lowest id; who asks several takes one a turn, so
    that nobody's third choice is another's only one. Who has been taken is no longer weighed.
    """
    ordered = sorted(
        seekers, key=lambda s: (-s.delivery.priority, s.delivery.dispatch_at, s.delivery.id)
    )
    reach = {s.delivery.id: s.radius_m(params) for s in ordered if s.rounds < params.max_attempts}
    ground = _ground(ordered, free, reach, params, travel)
    taken = set(given)
    choices: list[Choice] = []
    for seeker in ordered:
        choices.append(_weigh(seeker, ground, taken, params, now))
        _pick(choices[-1], taken)
    for _ in range(params.at_once - 1):
        for choice in choices:
            _pick(choice, taken)
    return choices


def survey(
    seekers: Sequence[Seeker],
    free: Sequence[Free],
    reach_m: Mapping[int, int],
    params: Params,
    now: datetime,
    travel: Travel,
) -> list[Choice]:
    """Return for each seeker how every free driver is judged who is within its reach by air; nobody is picked.

    reach_m: by delivery; one that is not named looks for nobody.
    """
    ground = _ground(seekers, free, reach_m, params, travel)
    return [_weigh(seeker, ground, set(), params, now) for seeker in seekers]


def _ground(
    seekers: Sequence[Seeker],
    free: Sequence[Free],
    reach_m: Mapping[int, int],
    params: Params,
    travel: Travel,
) -> Ground:
    pickups = {
        s.delivery.id: at for s in seekers if s.delivery.id in reach_m and (at := s.delivery.pickup)
    }
    ways = approaches(free, pickups, reach_m, params, travel)
    return Ground(ways, {one.driver.id: one.held for one in free}, _lengths(seekers, ways, travel))


def _weigh(
    seeker: Seeker, ground: Ground, taken: Container[int], params: Params, now: datetime
) -> Choice:
    """Return how those drivers are judged who are in reach and not taken."""
    id = seeker.delivery.id
    terms = Terms.of(seeker, ground.lengths.get(id), params)
    ways = [way for way in ground.ways.get(id, ()) if way.driver.id not in taken]
    judged = [_judge(seeker, terms, way, ground.held[way.driver.id], params, now) for way in ways]
    possible = sorted(
        (c for c, rule in judged if rule is None), key=lambda c: (c.expected_s, c.way.driver.id)
    )
    return Choice(seeker, terms, judged, possible)


def _pick(choice: Choice, taken: set[int]) -> None:
    """Let a seeker take its best driver who is still free, if there is one."""
    best = next((c for c in choice.possible if c.way.driver.id not in taken), None)
    if best is not None:
        taken.add(best.way.driver.id)
        choice.picked.append(best)


def _judge(
    seeker: Seeker, terms: Terms, way: Approach, held: int, params: Params, now: datetime
) -> tuple[Candidate, str | None]:
    """Return a driver as a candidate, and the rule that excludes them from this delivery, or None."""
    per_km = (
        10 * terms.boost_cents / terms.distance_m if terms.distance_m else 0.0
    )  # 1.00 a km = 100 cents in 1000 m
    p = params.p_accept(float(seeker.refused), way.travel_s / 60, float(held), per_km)
    p = max(round(p, 4), LEAST_P)
    wasted = params.timeout.total_seconds() * (1 / p - 1)
    candidate = Candidate(way, held, p, way.cost_s + round(wasted))
    return candidate, _hindrance(seeker, terms, way, params, now)


def improved(refusal: Refusal, terms: Terms, way: Approach, params: Params, now: datetime) -> bool:
    """Return whether an offer is worth asking again who refused the last: some time later, and better by a margin."""
    if now < refusal.responded_at + params.reoffer_same_driver:
        return False
    if terms.pay_cents >= refusal.pay_cents + params.reoffer_more_cents:
        return True
    was = terms_told(refusal.payload).get("pickup_s")
    return isinstance(was, int) and way.travel_s + params.reoffer_nearer.total_seconds() <= was


def _hindrance(
    seeker: Seeker, terms: Terms, way: Approach, params: Params, now: datetime
) -> str | None:
    driver = way.driver
    if driver.id in seeker.barred:
        return "ASKED_BEFORE"
    refusal = seeker.refusals.get(driver.id)
    if refusal is not None and not improved(refusal, terms, way, params, now):
        return "NOT_IMPROVED"
    if way.straight_m > seeker.radius_m(params):
        return "OUTSIDE_RADIUS"
    if not way.fits_shift(seeker.delivery.ready_at, now):
        return SHIFT_ENDS
    return None


def _lengths(
    seekers: Sequence[Seeker], ways: Mapping[int, Sequence[Approach]], travel: Travel
) -> dict[int, tuple[int, int]]:
    """Return for each delivery with somebody in reach (seconds, metres) from pickup to door, by the soonest's vehicle.

    The same for all who are asked: what a delivery pays does not depend on who carries it.
    """
    asked = {}
    for delivery in (seeker.delivery for seeker in seekers):
        found = ways.get(delivery.id)
        if found and delivery.pickup is not None and delivery.dropoff is not None:
            asked[delivery.id] = (delivery.pickup, delivery.dropoff, found[0].driver.vehicle)
    return legs(asked, travel)

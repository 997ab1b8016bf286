"""Why a delivery makes no offer now, or none to a certain driver: the first rule, and what would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from dispatchkit.decide.offers.model import OpenDelivery, Params
from dispatchkit.decide.offers.plan import OffersPlan, plan
from dispatchkit.decide.offers.propose import Candidate, Choice, survey
from dispatchkit.domain.codes import Rule
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Free, unfit
from dispatchkit.domain.feature import Frames
from dispatchkit.domain.rows import Driver, Offer, Ping
from dispatchkit.domain.states import DeliveryState, OfferState
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.travel.interface import Travel

Reason = tuple[str | None, str | None]  # rule, smallest relaxation
ANYWHERE_M = 21_000_000  # no two places on earth are farther apart


def explain(
    offers_plan: OffersPlan, params: Params, now: datetime, travel: Travel
) -> list[dict[str, Any]]:
    """Return for each delivery that makes no offer the binding rule and what would relax it."""
    searches = sorted(
        (c.search for c in offers_plan.choices if not c.picked and not c.search.waiting),
        key=lambda s: s.delivery.id,
    )
    reach = {s.delivery.id: params.radius_max_m for s in searches if s.rounds < params.max_attempts}
    choices = survey(searches, offers_plan.free, reach, params, now, travel)
    return [_not_offered(choice, offers_plan.unavailable_by_rule, params) for choice in choices]


def why_not(
    frames: Frames, params: Params, now: datetime, travel: Travel, delivery_id: int, driver_id: int
) -> Mapping[str, Any]:
    """Return the first rule that excludes a driver from a delivery at `now`; `rule` is None if none does.

    frames: the reads of the offers sweep. The result also has the driver's cost, the preferred driver
    and by how much they are better, and the smallest change after which this driver would get the
    offer.
    """
    keys = (
        "rule relaxation travel_s cost_s p_accept expected_s straight_m radius_m "
        "chosen_driver_id chosen_expected_s margin_s"
    )
    result: dict[str, Any] = dict.fromkeys(keys.split())
    result |= {"delivery_id": delivery_id, "driver_id": driver_id}

    def because(reason: Reason) -> Mapping[str, Any]:
        return result | {"rule": reason[0], "relaxation": reason[1]}

    deliveries = rows(frames["deliveries"], OpenDelivery)
    delivery = next((d for d in deliveries if d.id == delivery_id), None)
    if delivery is None:
        return because((Rule.NOT_SEEKING, "it has a driver, it is over, or its search is not due"))
    offers_plan = plan(frames, params, now, travel)
    choice = next((c for c in offers_plan.choices if c.search.delivery.id == delivery_id), None)
    if choice is None:
        return because(_not_searching(frames, delivery, now))
    driver = next((d for d in rows(frames["drivers"], Driver) if d.id == driver_id), None)
    ping = next((p for p in rows(frames["pings"], Ping) if p.driver_id == driver_id), None)
    held = frames["held"].filter(driver_id=driver_id).height
    reason = _stops_search(choice, params) or _unfit(frames, driver, ping, held, params, now)
    if reason:
        return because(reason)

    assert driver is not None and ping is not None
    free = Free(driver, (ping.lat, ping.lon), held)
    [alone] = survey([choice.search], [free], {delivery_id: ANYWHERE_M}, params, now, travel)
    if not alone.evaluated:
        return because((Rule.NO_WAY, "a path from the driver to the pickup"))
    candidate, rule = alone.evaluated[0]
    result |= _figures(choice, candidate, params)
    if rule:
        return because((rule, _relaxation(rule, choice, candidate, params, now)))
    return because(_preferred(offers_plan, choice, candidate))


def _not_offered(
    choice: Choice, unavailable_by_rule: Mapping[str, int], params: Params
) -> dict[str, Any]:
    """Return the binding rule and the smallest relaxation.

    That is a wider radius if one brings a driver, else the rule that excludes the soonest driver.
    choice: surveyed as far as the widest radius.
    """
    search = choice.search
    rejected = Counter(rule or Rule.TAKEN_THIS_RUN for _, rule in choice.evaluated)
    rule, relaxation = _stops_search(choice, params) or _binding(choice)
    return {
        "delivery_id": search.delivery.id,
        "attempts": search.rounds,
        "waited_s": int(search.waited.total_seconds()),
        "radius_m": search.radius_m(params),
        "level": search.level,
        "rejected_by_rule": dict(sorted(rejected.items())),
        "unavailable_by_rule": dict(unavailable_by_rule),
        "rule": rule,
        "relaxation": relaxation,
    }


def _binding(choice: Choice) -> Reason:
    """Return the rule that keeps the delivery from making an offer, with the smallest relaxation."""
    if not choice.evaluated:
        return Rule.NO_FREE_DRIVER_IN_REACH, None
    outside = [c.approach for c, rule in choice.evaluated if rule == Rule.OUTSIDE_RADIUS]
    if outside:
        nearest = min(outside, key=lambda approach: (approach.straight_m, approach.driver.id))
        relaxation = f"radius {nearest.straight_m} m reaches driver {nearest.driver.id}"
        return Rule.OUTSIDE_RADIUS, relaxation
    candidate, rule = choice.evaluated[0]
    relaxation = f"without it driver {candidate.approach.driver.id} would be asked"
    return rule or Rule.TAKEN_THIS_RUN, relaxation


def _stops_search(choice: Choice, params: Params) -> Reason | None:
    """Return the rule by which a delivery makes no offer to any driver, or None."""
    search = choice.search
    if search.rounds >= params.max_attempts:
        return Rule.ATTEMPTS_USED_UP, f"max_attempts above {search.rounds}"
    if search.delivery.pickup is None:
        return Rule.PICKUP_UNKNOWN, f"the position of merchant {search.delivery.merchant_id}"
    return None


def _not_searching(frames: Frames, delivery: OpenDelivery, now: datetime) -> Reason:
    """Return why an open delivery does not search now: disputed goods, not due, or offers are out."""
    if delivery.disputed:
        relaxation = "once a person has closed the ticket about who holds the goods"
        return Rule.GOODS_DISPUTED, relaxation
    if delivery.state != DeliveryState.OFFERING:
        return Rule.NOT_DUE, f"from {rfc3339(delivery.dispatch_at)} on"
    ends = min(
        offer.hard_deadline
        for offer in rows(frames["offers"].filter(delivery_id=delivery.id), Offer)
        if offer.state == OfferState.PENDING and offer.hard_deadline > now
    )
    relaxation = f"once the offers that are out have ended, {rfc3339(ends)} at the earliest"
    return Rule.ROUND_UNDER_WAY, relaxation


def _unfit(
    frames: Frames,
    driver: Driver | None,
    ping: Ping | None,
    held: int,
    params: Params,
    now: datetime,
) -> Reason | None:
    """Return the rule that excludes a driver from every offer, or None."""
    if driver is None:
        return Rule.NOT_ON_DUTY, "on duty"
    pending = frames["offers"].filter(driver_id=driver.id, state=OfferState.PENDING.value)
    rule = unfit(driver, ping, held, pending.height > 0, params, now)
    if rule is None:
        return None
    relaxations: dict[str, Callable[[], str]] = {
        Rule.NOT_ON_DUTY: lambda: "on duty",
        Rule.OFFER_PENDING: lambda: (
            f"once the driver has answered about delivery {pending['delivery_id'][0]}"
        ),
        Rule.STACK_FULL: lambda: f"max_stack above {held}",
        Rule.NO_RECENT_PING: lambda: f"a ping not older than {params.aging.total_seconds():.0f} s",
        Rule.TIMED_OUT: lambda: (
            f"an answer: {driver.timeouts} silences in a row, {params.timeouts_to_offline} allowed"
        ),
        Rule.COOLDOWN: lambda: f"from {rfc3339(driver.cooldown_until or now)} on",
    }
    return rule, relaxations[rule]()


def _relaxation(
    rule: str, choice: Choice, candidate: Candidate, params: Params, now: datetime
) -> str:
    """Return the smallest change after which a rule about driver and delivery no longer applies."""
    approach, search = candidate.approach, choice.search
    if rule == Rule.OUTSIDE_RADIUS:
        return f"radius {approach.straight_m} m instead of {search.radius_m(params)} m"
    if rule == Rule.SHIFT_ENDS_BEFORE_PICKUP:
        pickup = rfc3339(approach.pickup_at(search.delivery.ready_at, now))
        return f"a shift that ends at {pickup} or later"
    if rule == Rule.NOT_IMPROVED:
        refusal = search.refusals[approach.driver.id]
        after = rfc3339(refusal.responded_at + params.reoffer_same_driver)
        pay_cents = refusal.pay_cents + params.reoffer_more_cents
        return f"from {after} on for a pay of {pay_cents} cents, or a nearer pickup"
    return "nothing in this episode: the driver was asked before, or lost the delivery"


def _preferred(offers_plan: OffersPlan, choice: Choice, candidate: Candidate) -> Reason:
    """Return who gets the offer instead of a driver whom no rule excludes; (None, None) if nobody."""
    driver = candidate.approach.driver.id
    for other in offers_plan.choices:
        if all(pick.approach.driver.id != driver for pick in other.picked):
            continue
        if other is choice:
            return None, None
        delivery = other.search.delivery.id
        return Rule.TAKEN_THIS_RUN, f"delivery {delivery} chose first and takes this driver"
    if not choice.picked:
        relaxation = "the next run: the driver was given another delivery at this instant"
        return Rule.TAKEN_THIS_RUN, relaxation
    sooner = candidate.expected_s - choice.picked[-1].expected_s
    return Rule.OTHERS_SOONER, f"an expected pickup more than {sooner} s sooner"


def _figures(choice: Choice, candidate: Candidate, params: Params) -> dict[str, Any]:
    """Return the figures of a driver beside those of the driver who gets the first offer."""
    chosen, approach = next(iter(choice.picked), None), candidate.approach
    return {
        "travel_s": approach.travel_s,
        "cost_s": approach.cost_s,
        "p_accept": candidate.p_accept,
        "expected_s": candidate.expected_s,
        "straight_m": approach.straight_m,
        "radius_m": choice.search.radius_m(params),
        "chosen_driver_id": chosen.approach.driver.id if chosen else None,
        "chosen_expected_s": chosen.expected_s if chosen else None,
        "margin_s": candidate.expected_s - chosen.expected_s if chosen else None,
    }

"""Why a delivery is not offered to a certain driver now: the first rule, in numbers, and what would help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from dispatchkit.decide.offers.model import Offer, Params, Sought
from dispatchkit.decide.offers.policy import Plan, plan
from dispatchkit.decide.offers.propose import Candidate, Choice, survey
from dispatchkit.decide.offers.unserved import TAKEN, stops_search
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import SHIFT_ENDS, Driver, Free, Ping, unfit
from dispatchkit.domain.feature import Frames
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.travel.interface import Travel

Reason = tuple[str | None, str | None]  # rule, smallest relaxation
ANYWHERE_M = 21_000_000  # by air, no two places are farther apart


def why_not(
    frames: Frames, params: Params, now: datetime, travel: Travel, delivery_id: int, driver_id: int
) -> Mapping[str, Any]:
    """Return the first rule that excludes a driver from a delivery at `now`; `rule` is None if none does.

    frames: the reads of the offers sweep. The result also has the cost of this driver, the preferred
    driver and by how much they are better, and the smallest relaxation under which this driver would
    get the offer.
    """
    said: dict[str, Any] = dict.fromkeys(
        (
            "rule relaxation travel_s cost_s p_accept expected_s straight_m radius_m "
            "chosen_driver_id chosen_expected_s margin_s"
        ).split()
    )
    said |= {"delivery_id": delivery_id, "driver_id": driver_id}
    delivery = next((d for d in rows(frames["deliveries"], Sought) if d.id == delivery_id), None)
    if delivery is None:
        return said | {
            "rule": "NOT_SEEKING",
            "relaxation": "it has a driver, it is over, or its search is not due",
        }
    made = plan(frames, params, now, travel)
    choice = next((c for c in made.choices if c.seeker.delivery.id == delivery_id), None)
    if choice is None:
        return said | _told(_not_now(frames, delivery, now))
    driver = next((d for d in rows(frames["drivers"], Driver) if d.id == driver_id), None)
    ping = next((p for p in rows(frames["pings"], Ping) if p.driver_id == driver_id), None)
    held = frames["held"].filter(driver_id=driver_id).height
    if reason := stops_search(choice, params) or _unfit(frames, driver, ping, held, params, now):
        return said | _told(reason)
    assert driver is not None and ping is not None
    free = Free(driver, (ping.lat, ping.lon), held)
    [alone] = survey([choice.seeker], [free], {delivery_id: ANYWHERE_M}, params, now, travel)
    if not alone.judged:
        return said | {"rule": "NO_WAY", "relaxation": "a path from the driver to the pickup"}
    candidate, rule = alone.judged[0]
    said |= _figures(choice, candidate, params)
    if rule:
        return said | {"rule": rule, "relaxation": _relaxed(rule, choice, candidate, params, now)}
    return said | _told(_preferred(made, choice, candidate))


def _told(reason: Reason) -> dict[str, Any]:
    return {"rule": reason[0], "relaxation": reason[1]}


def _not_now(frames: Frames, delivery: Sought, now: datetime) -> Reason:
    """Return why a delivery that is sought for asks nobody at all: goods gone, not yet due, or a round is out."""
    if delivery.disputed:
        return "GOODS_DISPUTED", "once a person has closed the ticket about who holds the goods"
    if delivery.state != "OFFERING":
        return "NOT_DUE", f"from {rfc3339(delivery.dispatch_at)} on"
    offers = rows(frames["offers"].filter(delivery_id=delivery.id), Offer)
    ends = min(
        offer.hard_deadline
        for offer in offers
        if offer.state == "PENDING" and offer.hard_deadline > now
    )
    return (
        "ROUND_UNDER_WAY",
        f"once the offers that are out have ended, {rfc3339(ends)} at the earliest",
    )


def _unfit(
    frames: Frames,
    driver: Driver | None,
    ping: Ping | None,
    held: int,
    params: Params,
    now: datetime,
) -> Reason | None:
    """Return the rule that keeps a driver from being asked about anything."""
    if driver is None:
        return "NOT_ON_DUTY", "on duty"
    pending = frames["offers"].filter(driver_id=driver.id, state="PENDING")
    rule = unfit(driver, ping, held, pending.height > 0, params, now)
    if rule is None:
        return None
    relax: dict[str, Callable[[], str]] = {
        "NOT_ON_DUTY": lambda: "on duty",
        "OFFER_PENDING": lambda: (
            f"once the driver has answered about delivery {pending['delivery_id'][0]}"
        ),
        "STACK_FULL": lambda: f"max_stack above {held}",
        "NO_RECENT_PING": lambda: f"a ping not older than {params.aging.total_seconds():.0f} s",
        "TIMED_OUT": lambda: (
            f"an answer: {driver.timeouts} silences in a row, {params.timeouts_to_offline} allowed"
        ),
        "COOLDOWN": lambda: f"from {rfc3339(driver.cooldown_until or now)} on",
    }
    return rule, relax[rule]()


def _relaxed(rule: str, choice: Choice, candidate: Candidate, params: Params, now: datetime) -> str:
    """Return the smallest change after which a rule about driver and delivery no longer applies."""
    way, seeker = candidate.way, choice.seeker
    if rule == "OUTSIDE_RADIUS":
        return f"radius {way.straight_m} m instead of {seeker.radius_m(params)} m"
    if rule == SHIFT_ENDS:
        return (
            f"a shift that ends at {rfc3339(way.pickup_at(seeker.delivery.ready_at, now))} or later"
        )
    if rule == "NOT_IMPROVED":
        refusal = seeker.refusals[way.driver.id]
        after = rfc3339(refusal.responded_at + params.reoffer_same_driver)
        return f"from {after} on for a pay of {refusal.pay_cents + params.reoffer_more_cents} cents, or a nearer pickup"
    return "nothing in this episode: the driver was asked before, or lost the delivery"


def _preferred(made: Plan, choice: Choice, candidate: Candidate) -> Reason:
    """Return who gets the offer instead of a driver whom no rule excludes; (None, None) if nobody."""
    driver = candidate.way.driver.id
    if any(pick.way.driver.id == driver for pick in choice.picked):
        return None, None
    for other in made.choices:
        if any(pick.way.driver.id == driver for pick in other.picked):
            return TAKEN, f"delivery {other.seeker.delivery.id} chose first and takes this driver"
    if not choice.picked:
        return TAKEN, "the next run: the driver was given another delivery at this instant"
    sooner = candidate.expected_s - choice.picked[-1].expected_s
    return "OTHERS_SOONER", f"an expected pickup more than {sooner} s sooner"


def _figures(choice: Choice, candidate: Candidate, params: Params) -> dict[str, Any]:
    chosen = choice.picked[0] if choice.picked else None
    seeker = choice.seeker
    return {
        "travel_s": candidate.way.travel_s,
        "cost_s": candidate.way.cost_s,
        "p_accept": candidate.p_accept,
        "expected_s": candidate.expected_s,
        "straight_m": candidate.way.straight_m,
        "radius_m": seeker.radius_m(params),
        "chosen_driver_id": chosen.way.driver.id if chosen else None,
        "chosen_expected_s": chosen.expected_s if chosen else None,
        "margin_s": candidate.expected_s - chosen.expected_s if chosen else None,
    }

"""From a choice to changes: the offers of a round, or an assignment without asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dispatchkit.decide.offers.model import Params
from dispatchkit.decide.offers.propose import Candidate, Choice
from dispatchkit.decide.offers.terms import frozen
from dispatchkit.domain.change_set import Values
from dispatchkit.domain.search import close_search, touch_driver
from dispatchkit.kernel.stable_random import stable_id

Explanation = dict[str, Any]
Slots = Mapping[int, frozenset[int]]  # those taken, by driver


@dataclass(frozen=True, slots=True)
class _Born:
    """A row that is born in this run: what the next change of it needs to know."""

    id: int
    version: int = 1


def send(choice: Choice, slots: Slots, params: Params, now: datetime) -> None:
    """Add to a seeker's group what its picks call for: a round of offers, or in mode `forced` the assignment."""
    if not choice.picked:
        return
    if params.mode == "forced":
        _give(choice, choice.picked[0], slots, params, now)
        return
    seeker = choice.seeker
    if seeker.waiting:  # overtaken by this wave, the last one counts as an attempt
        seeker.group.change(
            "delivery",
            seeker.delivery,
            "delivery_offering",
            "NEXT_WAVE",
            {"attempt": seeker.rounds},
        )
    else:
        seeker.group.change(
            "delivery", seeker.delivery, "delivery_offering", "DRIVER_FOUND", {"state": "OFFERING"}
        )
    for candidate in choice.picked:
        _offer(choice, candidate, params, now)


def _offer(choice: Choice, candidate: Candidate, params: Params, now: datetime) -> int:
    """Add the offer to one driver and return its id."""
    seeker, driver = choice.seeker, candidate.way.driver
    delivery, attempt = seeker.delivery, seeker.rounds + 1
    pickup = candidate.way.pickup_at(delivery.ready_at, now)
    told = choice.terms.told(seeker, candidate.way.travel_s, candidate.held, pickup)
    asked: Values = {
        "delivery_id": delivery.id,
        "driver_id": driver.id,
        "episode": delivery.episode,
        "attempt": attempt,
        "ask": seeker.asked.get(driver.id, 0) + 1,
        "mode": params.mode,
    }
    offer_id = stable_id("offer", delivery.id, delivery.episode, attempt, driver.id)
    seeker.group.insert(
        "offer",
        offer_id,
        "offer_created",
        "SOONEST_AT_PICKUP",
        asked | frozen(told) | _pending(params, now),
        expects=(("driver", driver.id, driver.version),),
        payload={
            "offerId": offer_id,
            "deliveryId": delivery.id,
            "driverId": driver.id,
            "mode": params.mode,
            "payload": told,
        },
        why=_why(choice, candidate, params),
    )
    return offer_id


def _pending(params: Params, now: datetime) -> Values:
    """Return the columns of an offer that waits for its answer from `now` on."""
    expires_at = now + params.timeout
    return {
        "state": "PENDING",
        "cause": None,
        "sent_at": now,
        "expires_at": expires_at,
        "hard_deadline": expires_at + params.accept_grace,
        "delivered_at": None,
        "viewed_at": None,
        "responded_at": None,
        "late": False,
    }


def _give(
    choice: Choice, candidate: Candidate, slots: Slots, params: Params, now: datetime
) -> None:
    """Assign without asking. The offer is there all the same, so that every mode is accounted for alike."""
    seeker, driver = choice.seeker, candidate.way.driver
    group, delivery = seeker.group, seeker.delivery
    offer_id = _offer(choice, candidate, params, now)
    told = {
        "offerId": offer_id,
        "deliveryId": delivery.id,
        "driverId": driver.id,
        "mode": params.mode,
    }
    yes: Values = {"state": "ACCEPTED", "responded_at": now}
    group.change("offer", _Born(offer_id), "offer_accepted", "FORCED", yes, payload=told)
    slot = min({1, 2, 3} - slots.get(driver.id, frozenset()))
    with_driver: Values = {
        "state": "ASSIGNED",
        "driver_id": driver.id,
        "slot": slot,
        "assigned_at": now,
    }
    group.change("delivery", delivery, "delivery_assigned", "FORCED", with_driver)
    close_search(group, [seeker.episode] if seeker.episode else [], "ASSIGNED", "FORCED")
    touch_driver(group, driver, "FORCED")


def _why(choice: Choice, candidate: Candidate, params: Params) -> Explanation:
    seeker, possible = choice.seeker, choice.possible
    second = next(
        (other for other in possible if other is not candidate and other not in choice.picked), None
    )
    return {
        "chosen_driver_id": candidate.way.driver.id,
        "cost_s": candidate.way.cost_s,
        "travel_s": candidate.way.travel_s,
        "p_accept": candidate.p_accept,
        "expected_s": candidate.expected_s,
        "runner_up_driver_id": second.way.driver.id if second else None,
        "runner_up_cost_s": second.way.cost_s if second else None,
        "runner_up_expected_s": second.expected_s if second else None,
        "margin_s": second.expected_s - candidate.expected_s if second else None,
        "candidates": len(possible),
        "radius_m": seeker.radius_m(params),
        "level": seeker.level,
        "refused_offers": seeker.refused,
        "boost_cents": choice.terms.boost_cents,
    }

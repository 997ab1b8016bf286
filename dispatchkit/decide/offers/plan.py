"""One run of the offers sweep: what time has done, who gets offers, and the changes for both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import polars as pl

from dispatchkit.decide.offers.find_open import (
    SearchingDelivery,
    begin_search,
    expire,
    find_open,
    load_history,
)
from dispatchkit.decide.offers.model import OpenDelivery, Params
from dispatchkit.decide.offers.propose import Candidate, Choice, propose
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.changes import Change
from dispatchkit.domain.codes import ChangeReason, EventName
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Free, free_drivers
from dispatchkit.domain.feature import Frames
from dispatchkit.domain.rows import Driver, Offer, Ping
from dispatchkit.domain.search import close_search, touch_driver
from dispatchkit.domain.states import DeliveryState, EpisodeState, OfferMode, OfferState
from dispatchkit.kernel.canonical_json import canonical, text_ids
from dispatchkit.kernel.stable_random import stable_id
from dispatchkit.travel.interface import Travel

Slots = Mapping[int, set[int]]  # occupied slots by driver


@dataclass(frozen=True, slots=True)
class OffersPlan:
    """One run: changes in the order of delivery ids, choices, free drivers, and who is not free.

    unavailable_by_rule: how many drivers each rule excludes from every offer.
    """

    changes: list[Change]
    choices: Sequence[Choice]
    free: Sequence[Free]
    unavailable_by_rule: dict[str, int]


def plan(frames: Frames, params: Params, now: datetime, travel: Travel) -> OffersPlan:
    """Return the whole run at `now`."""
    deliveries = sorted(rows(frames["deliveries"], OpenDelivery), key=lambda d: d.id)
    drivers = {driver.id: driver for driver in rows(frames["drivers"], Driver)}
    offers = sorted(rows(frames["offers"], Offer), key=lambda o: o.id)
    by_delivery: dict[int, list[Offer]] = defaultdict(list)
    for offer in offers:
        by_delivery[offer.delivery_id].append(offer)

    history = load_history(frames)
    change_sets: list[ChangeSet] = []
    searches: list[SearchingDelivery] = []
    for delivery in deliveries:
        changes, offers_before = ChangeSet(("delivery", delivery.id), now), by_delivery[delivery.id]
        change_sets.append(changes)
        opened = begin_search(changes, delivery, now)
        expire(changes, delivery, offers_before, drivers, params, now)
        # The search has begun all the same: it is escalated, and a person may assign a driver.
        if delivery.disputed or delivery.outside:
            continue
        search = find_open(changes, delivery, opened, offers_before, history, params, now)
        if search:
            searches.append(search)

    # As read: a driver whose offer has expired in this run gets no other one before the next.
    pending = frozenset(o.driver_id for o in offers if o.state == OfferState.PENDING)
    slots: dict[int, set[int]] = defaultdict(set)
    for driver_id, slot in frames["held"].select("driver_id", "slot").iter_rows():
        slots[driver_id].add(slot)
    pings = {ping.driver_id: ping for ping in rows(frames["pings"], Ping)}
    held = {driver_id: len(taken) for driver_id, taken in slots.items()}
    free, unavailable_by_rule = free_drivers(drivers.values(), pings, held, pending, params, now)
    choices = propose(searches, free, _just_assigned(frames, params, now), params, now, travel)
    for choice in choices:
        _send(choice, slots, params, now)
    written = [change for changes in change_sets for change in changes.changes]
    return OffersPlan(written, choices, free, unavailable_by_rule)


def _just_assigned(frames: Frames, params: Params, now: datetime) -> set[int]:
    """Return who was assigned a delivery without an offer at this instant.

    They get no second one: a repeated run must find nothing to do.
    """
    if params.mode != OfferMode.FORCED:
        return set()
    return set(frames["held"].filter(pl.col("assigned_at") >= now)["driver_id"])


def _send(choice: Choice, slots: Slots, params: Params, now: datetime) -> None:
    """Add the changes for the picked drivers: a round of offers, or an assignment if forced."""
    if not choice.picked:
        return
    if params.mode == OfferMode.FORCED:
        _assign(choice, choice.picked[0], slots, params, now)
        return
    search, event = choice.search, EventName.DELIVERY_OFFERING
    if search.waiting:  # the wave before counts as an attempt
        search.changes.update(search.delivery, event, ChangeReason.NEXT_WAVE, attempt=search.rounds)
    else:
        search.changes.update(
            search.delivery, event, ChangeReason.DRIVER_FOUND, state=DeliveryState.OFFERING
        )
    for candidate in choice.picked:
        _offer(choice, candidate, params, now)


def _offer(choice: Choice, candidate: Candidate, params: Params, now: datetime) -> Offer:
    """Add the offer to one driver and return it."""
    search, driver = choice.search, candidate.approach.driver
    delivery, attempt = search.delivery, search.rounds + 1
    pickup = candidate.approach.pickup_at(delivery.ready_at, now)
    terms = choice.terms
    details = terms.details(search, candidate.approach.travel_s, candidate.held, pickup)
    text = canonical(text_ids(details))
    expires_at = now + params.timeout
    offer = Offer(
        id=stable_id("offer", delivery.id, delivery.episode, attempt, driver.id),
        delivery_id=delivery.id,
        driver_id=driver.id,
        episode=delivery.episode,
        attempt=attempt,
        ask=search.offers_before.get(driver.id, 0) + 1,
        mode=OfferMode(params.mode),
        pay_cents=terms.pay_cents,
        boost_cents=terms.boost_cents,
        distance_m=terms.distance_m,
        payload=text,
        payload_sha256=sha256(text.encode()).hexdigest(),
        sent_at=now,
        expires_at=expires_at,
        hard_deadline=expires_at + params.accept_grace,
        version=1,
    )
    return search.changes.add(
        offer,
        EventName.OFFER_CREATED,
        ChangeReason.SOONEST_AT_PICKUP,
        expects=(("driver", driver.id, driver.version),),
        payload={
            "offerId": offer.id,
            "deliveryId": delivery.id,
            "driverId": driver.id,
            "mode": params.mode,
            "payload": details,
        },
        why=_why(choice, candidate, params),
    )


def _assign(
    choice: Choice, candidate: Candidate, slots: Slots, params: Params, now: datetime
) -> None:
    """Assign the driver without asking. An accepted offer is written, as in every other mode."""
    search, driver, forced = choice.search, candidate.approach.driver, ChangeReason.FORCED
    changes, delivery = search.changes, search.delivery
    offer = _offer(choice, candidate, params, now)
    changes.update(
        offer,
        EventName.OFFER_ACCEPTED,
        forced,
        payload={
            "offerId": offer.id,
            "deliveryId": delivery.id,
            "driverId": driver.id,
            "mode": params.mode,
        },
        state=OfferState.ACCEPTED,
        responded_at=now,
    )
    changes.update(
        delivery,
        EventName.DELIVERY_ASSIGNED,
        forced,
        state=DeliveryState.ASSIGNED,
        driver_id=driver.id,
        slot=min({1, 2, 3} - slots.get(driver.id, set())),
        assigned_at=now,
    )
    close_search(changes, [search.episode] if search.episode else [], EpisodeState.ASSIGNED, forced)
    touch_driver(changes, driver, forced)


def _why(choice: Choice, candidate: Candidate, params: Params) -> dict[str, Any]:
    """Return the figures behind an offer, compared with the best driver who gets none."""
    search, approach = choice.search, candidate.approach
    others = (c for c in choice.possible if c is not candidate and c not in choice.picked)
    second = next(others, None)
    return {
        "chosen_driver_id": approach.driver.id,
        "cost_s": approach.cost_s,
        "travel_s": approach.travel_s,
        "p_accept": candidate.p_accept,
        "expected_s": candidate.expected_s,
        "runner_up_driver_id": second.approach.driver.id if second else None,
        "runner_up_cost_s": second.approach.cost_s if second else None,
        "runner_up_expected_s": second.expected_s if second else None,
        "margin_s": second.expected_s - candidate.expected_s if second else None,
        "candidates": len(choice.possible),
        "radius_m": search.radius_m(params),
        "level": search.level,
        "refused_offers": search.refused,
        "boost_cents": choice.terms.boost_cents,
    }

"""What is known of each open search: its rounds, its slack, its cause, and what comes next."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from dispatchkit.decide.escalation.ladder import (
    LadderStep,
    OpenSearch,
    Slack,
    clock_steps,
    ends_at,
)
from dispatchkit.decide.escalation.model import TOP_LEVEL, Params, SearchedDelivery
from dispatchkit.domain.codes import LadderClock
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Approach, Free, approaches, free_drivers, legs
from dispatchkit.domain.feature import Frames
from dispatchkit.domain.rows import Driver, Episode, Offer, Ping, Vehicle
from dispatchkit.domain.search_delay_cause import UNTAKEN, delay_cause
from dispatchkit.domain.states import DeliveryState, OfferState
from dispatchkit.kernel.geo import Point
from dispatchkit.travel.interface import Travel

DOOR_VEHICLE = Vehicle.BICYCLE  # for the trip to the door while there is nobody to ask


def open_searches(
    frames: Frames, params: Params, now: datetime, travel: Travel
) -> list[OpenSearch]:
    """Return the open searches by delivery; travel is asked for all of them at once."""
    seeking = rows(frames["deliveries"], SearchedDelivery)
    deliveries = {delivery.id: delivery for delivery in sorted(seeking, key=lambda d: d.id)}
    offers: dict[int, list[Offer]] = defaultdict(list)
    for offer in sorted(rows(frames["offers"], Offer), key=lambda o: o.id):
        delivery = deliveries.get(offer.delivery_id)
        if delivery is not None and offer.episode == delivery.episode:
            offers[delivery.id].append(offer)
    located = {id for id, delivery in deliveries.items() if delivery.pickup is not None}
    causes = search_causes(frames["deliveries"], frames["offers"], frames["releases"], located)

    # A driver who was asked in this search, or lost the delivery before, is not counted on.
    excluded: dict[int, set[int]] = defaultdict(set)
    for delivery_id, of_search in offers.items():
        excluded[delivery_id] |= {offer.driver_id for offer in of_search}
    for delivery_id, driver_id in frames["releases"].select("delivery_id", "driver_id").iter_rows():
        excluded[delivery_id].add(driver_id)
    slacks = _slacks(frames, deliveries, excluded, params, now, travel)

    searches = []
    for episode in sorted(rows(frames["episodes"], Episode), key=lambda e: e.delivery_id):
        delivery = deliveries.get(episode.delivery_id)
        if delivery is None or delivery.episode != episode.episode:
            continue
        of_search = offers[delivery.id]
        pending = any(offer.state == OfferState.PENDING for offer in of_search)
        slack, soonest_driver_id = slacks.get(delivery.id, (None, None))
        search = OpenSearch(
            episode=episode,
            delivery=delivery,
            round_ends=_round_ends(delivery, of_search, now),
            slack=slack,
            has_pending_offer=pending or delivery.state != DeliveryState.UNASSIGNED,
            cause=causes[delivery.id],
            soonest_driver_id=soonest_driver_id,
        )
        searches.append(search)
    return searches


def search_causes(
    deliveries: pl.DataFrame, offers: pl.DataFrame, releases: pl.DataFrame, pickup_known: set[int]
) -> dict[int, str]:
    """Return delivery id -> why its present search takes long, a `DelayCause`.

    pickup_known: the deliveries whose pickup has a place.
    """
    untaken = (
        offers.filter(pl.col("state").is_in(UNTAKEN))
        .group_by("delivery_id", "episode")
        .agg(untaken=pl.len())
    )
    # The search that follows a release has the next episode number.
    released = (
        releases.sort("id")
        .select("delivery_id", pl.col("episode") + 1, released_for="trigger")
        .unique(["delivery_id", "episode"], keep="last", maintain_order=True)
    )
    search, key = ["id", "episode"], ["delivery_id", "episode"]
    causes = (
        deliveries.select(search)
        .join(untaken, left_on=search, right_on=key, how="left")
        .join(released, left_on=search, right_on=key, how="left")
        .with_columns(pickup_known=pl.col("id").is_in(sorted(pickup_known)))
        .select("id", delay_cause())
    )
    return dict(causes.iter_rows())


def outlook(search: OpenSearch, params: Params, now: datetime) -> dict[str, Any]:
    """Return one search as operations read it: its age, its slack, and when it climbs next."""
    episode, slack = search.episode, search.slack
    over_at = ends_at(search, params)
    if over_at:
        upcoming = [LadderStep(TOP_LEVEL + 1, over_at, LadderClock.UNFULFILLED)]
    else:
        upcoming = clock_steps(search, episode.level + 1, params)
    following = min(upcoming, key=lambda step: (step.due_at, step.clock))
    return {
        "delivery_id": search.delivery.id,
        "state": search.delivery.state,
        "episode": episode.episode,
        "age_s": int((now - episode.opened_at).total_seconds()),
        "slack_s": int(slack.left(now).total_seconds()) if slack else None,
        "attempts": len(search.round_ends),
        "level": episode.level,
        "cause": search.cause,
        "due_at": episode.level_due_at,
        "next_at": following.due_at,
        "next_by": following.clock,
        "soonest_driver_id": search.soonest_driver_id,
        "reminders": episode.reminders,
        "acked_at": episode.acked_at,
        "snoozed_until": episode.snoozed_until,
    }


def _round_ends(
    delivery: SearchedDelivery, offers: Sequence[Offer], now: datetime
) -> tuple[datetime, ...]:
    """Return when each round of this search ended.

    A round ends with the last answer to it and to the rounds before, or when the next wave goes
    out, whichever is first; a round without offers ended by now at the latest.
    """
    ends = []
    for number in range(1, delivery.attempt + 1):
        responses = [offer.responded_at for offer in offers if offer.attempt <= number]
        answered_at = [at for at in responses if at is not None]
        candidates = [offer.sent_at for offer in offers if offer.attempt > number]
        if answered_at and len(answered_at) == len(responses):
            candidates.append(max(answered_at))
        ends.append(min(candidates, default=now))
    return tuple(ends)


def _slacks(
    frames: Frames,
    deliveries: Mapping[int, SearchedDelivery],
    excluded: Mapping[int, set[int]],
    params: Params,
    now: datetime,
    travel: Travel,
) -> dict[int, tuple[Slack, int | None]]:
    """Return slack and soonest driver of each delivery with a promise, two places and a path.

    With nobody to ask, only the trip from the pickup to the door counts: the slack is then the most
    that is possible.
    """
    places = {
        id: (pickup, dropoff)
        for id, d in deliveries.items()
        if d.promised_at and (pickup := d.pickup) and (dropoff := d.dropoff)
    }
    pickups = {id: pickup for id, (pickup, _) in places.items()}
    nearby = approaches(_free(frames, params, now), pickups, params.reach_m, params, travel)
    soonest = {
        id: _soonest(deliveries[id], nearby[id], excluded.get(id, set()), now) for id in places
    }
    to_door: dict[int, tuple[Point, Point, str]] = {}
    for id, (pickup, dropoff) in places.items():
        approach = soonest[id]
        to_door[id] = pickup, dropoff, approach.driver.vehicle if approach else DOOR_VEHICLE

    slacks: dict[int, tuple[Slack, int | None]] = {}
    for id, (door_s, _) in legs(to_door, travel).items():
        approach, ready_at = soonest[id], deliveries[id].ready_at
        promised_at = deliveries[id].promised_at
        if door_s < 0 or promised_at is None:
            continue
        with_goods = params.pickup_service + timedelta(seconds=door_s) + params.dropoff_service
        pickup_by = promised_at - with_goods
        slack = Slack(
            leave_by=pickup_by - timedelta(seconds=approach.cost_s if approach else 0),
            at_most=pickup_by - ready_at if ready_at else None,
        )
        slacks[id] = slack, approach.driver.id if approach else None
    return slacks


def _free(frames: Frames, params: Params, now: datetime) -> list[Free]:
    pings = {ping.driver_id: ping for ping in rows(frames["pings"], Ping)}
    held, pending = Counter(frames["held"]["driver_id"]), frozenset(frames["pending"]["driver_id"])
    return free_drivers(rows(frames["drivers"], Driver), pings, held, pending, params, now)[0]


def _soonest(
    delivery: SearchedDelivery, nearby: Sequence[Approach], excluded: set[int], now: datetime
) -> Approach | None:
    """Return the soonest driver who is not excluded and whose shift lasts until the pickup."""
    for approach in nearby:
        if approach.driver.id not in excluded and approach.fits_shift(delivery.ready_at, now):
            return approach
    return None

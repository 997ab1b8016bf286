"""What is seen of each open search: its rounds, its slack, its cause, and what comes next."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from dispatchkit.decide.escalation.ladder import Search, Slack, Step, clocks, ends_at
from dispatchkit.decide.escalation.model import Episode, Offer, Sought
from dispatchkit.decide.escalation.params import TOP, Params
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import (
    Approach,
    Driver,
    Free,
    Ping,
    approaches,
    free_drivers,
    legs,
)
from dispatchkit.domain.feature import Frames
from dispatchkit.domain.search_delay_cause import UNTAKEN, delay_cause
from dispatchkit.travel.interface import Travel

Barred = Mapping[int, set[int]]
WITHOUT_DRIVER = "bicycle"  # by what the way to the door is measured while there is nobody to ask


def searches(frames: Frames, params: Params, now: datetime, travel: Travel) -> list[Search]:
    """Return the open searches by delivery; travel is asked for all of them at once."""
    sought = {delivery.id: delivery for delivery in rows(frames["deliveries"], Sought)}
    offers: dict[int, list[Offer]] = defaultdict(list)
    for offer in sorted(rows(frames["offers"], Offer), key=lambda o: o.id):
        if offer.delivery_id in sought and offer.episode == sought[offer.delivery_id].episode:
            offers[offer.delivery_id].append(offer)
    known = {id for id, delivery in sought.items() if delivery.pickup is not None}
    causes = causes_of(frames["deliveries"], frames["offers"], frames["releases"], known)
    barred = {id: {offer.driver_id for offer in asked} for id, asked in offers.items()}
    for row in frames["releases"].iter_rows(named=True):
        barred.setdefault(row["delivery_id"], set()).add(row["driver_id"])
    slacks = _slacks(frames, sought, barred, params, now, travel)
    found = []
    for episode in sorted(rows(frames["episodes"], Episode), key=lambda e: e.delivery_id):
        delivery = sought.get(episode.delivery_id)
        if delivery is None or delivery.episode != episode.episode:
            continue
        slack, soonest = slacks.get(delivery.id, (None, None))
        found.append(
            Search(
                episode=episode,
                delivery=delivery,
                rounds=_rounds(delivery, offers[delivery.id], now),
                slack=slack,
                asked=delivery.state != "UNASSIGNED"
                or any(o.state == "PENDING" for o in offers[delivery.id]),
                cause=causes[delivery.id],
                soonest=soonest,
            )
        )
    return found


def causes_of(
    deliveries: pl.DataFrame, offers: pl.DataFrame, releases: pl.DataFrame, pickup_known: set[int]
) -> dict[int, str]:
    """Return why each delivery's present search goes on. pickup_known: the deliveries whose pickup has a place."""
    this = deliveries.select("id", "episode")
    untaken = (
        offers.filter(pl.col("state").is_in(UNTAKEN))
        .group_by("delivery_id", "episode")
        .agg(untaken=pl.len())
    )
    taken = releases.sort("id").select("delivery_id", pl.col("episode") + 1, released_for="trigger")
    last = taken.unique(["delivery_id", "episode"], keep="last", maintain_order=True)
    here, there = ["id", "episode"], ["delivery_id", "episode"]
    told = (
        this.join(untaken, left_on=here, right_on=there, how="left")
        .join(last, left_on=here, right_on=there, how="left")
        .with_columns(pickup_known=pl.col("id").is_in(sorted(pickup_known)))
    )
    return dict(told.select("id", delay_cause()).iter_rows())


def outlook(search: Search, params: Params, now: datetime) -> dict[str, Any]:
    """Return one search as operations read it: how long it has waited, what is left, and when it climbs next."""
    episode, slack = search.episode, search.slack
    over_at = ends_at(search, params)
    ahead = (
        [Step(TOP + 1, over_at, "UNFULFILLED")]
        if over_at
        else clocks(search, episode.level + 1, params)
    )
    following = min(ahead, key=lambda step: (step.due_at, step.clock))
    return {
        "delivery_id": search.delivery.id,
        "state": search.delivery.state,
        "episode": episode.episode,
        "age_s": int((now - episode.opened_at).total_seconds()),
        "slack_s": int(slack.left(now).total_seconds()) if slack else None,
        "attempts": len(search.rounds),
        "level": episode.level,
        "cause": search.cause,
        "due_at": episode.level_due_at,
        "next_at": following.due_at,
        "next_by": following.clock,
        "soonest_driver_id": search.soonest,
        "reminders": episode.reminders,
        "acked_at": episode.acked_at,
        "snoozed_until": episode.snoozed_until,
    }


def _rounds(delivery: Sought, offers: Sequence[Offer], now: datetime) -> tuple[datetime, ...]:
    """Return when each round of this search ended: with its last answer, or overtaken by the next wave before.

    A round of which no offer is left ended by now at the latest.
    """
    ends = []
    for number in range(1, delivery.attempt + 1):
        asked = [offer.responded_at for offer in offers if offer.attempt <= number]
        answered = [at for at in asked if at is not None]
        overtaken = [offer.sent_at for offer in offers if offer.attempt > number]
        last = [max(answered)] if answered and len(answered) == len(asked) else []
        ends.append(min([*last, *overtaken], default=now))
    return tuple(ends)


def _slacks(
    frames: Frames,
    sought: Mapping[int, Sought],
    barred: Barred,
    params: Params,
    now: datetime,
    travel: Travel,
) -> dict[int, tuple[Slack, int | None]]:
    """Return slack and soonest driver of each delivery that has a promise and two places and a way between them.

    With nobody to ask, only the way from the pickup to the door counts: the slack is then the most there can be.
    """
    told = {id: d for id, d in sorted(sought.items()) if d.promised_at and d.pickup and d.dropoff}
    pickups = {id: pickup for id, d in told.items() if (pickup := d.pickup)}
    ways = approaches(_free(frames, params, now), pickups, params.reach_m, params, travel)
    best = {id: _soonest(d, ways[id], barred.get(id, set()), now) for id, d in told.items()}
    asked = {
        id: (d.pickup, d.dropoff, way.driver.vehicle if (way := best[id]) else WITHOUT_DRIVER)
        for id, d in told.items()
        if d.pickup and d.dropoff
    }
    found: dict[int, tuple[Slack, int | None]] = {}
    for id, (leg_s, _) in legs(asked, travel).items():
        promised_at, way = told[id].promised_at, best[id]
        if leg_s < 0 or promised_at is None:
            continue
        with_goods = params.pickup_service + timedelta(seconds=leg_s) + params.dropoff_service
        ready_at = told[id].ready_at
        slack = Slack(
            leave_by=promised_at - with_goods - timedelta(seconds=way.cost_s if way else 0),
            at_most=promised_at - with_goods - ready_at if ready_at else None,
        )
        found[id] = slack, way.driver.id if way else None
    return found


def _free(frames: Frames, params: Params, now: datetime) -> list[Free]:
    pings = {ping.driver_id: ping for ping in rows(frames["pings"], Ping)}
    held, pending = Counter(frames["held"]["driver_id"]), frozenset(frames["pending"]["driver_id"])
    return free_drivers(rows(frames["drivers"], Driver), pings, held, pending, params, now)[0]


def _soonest(
    delivery: Sought, ways: Sequence[Approach], barred: set[int], now: datetime
) -> Approach | None:
    """Return the soonest driver who could take it: not asked in this search, and not gone before the pickup."""
    fit = (
        way
        for way in ways
        if way.driver.id not in barred and way.fits_shift(delivery.ready_at, now)
    )
    return next(fit, None)

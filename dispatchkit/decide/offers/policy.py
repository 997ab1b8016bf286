"""The offers sweep: what is due becomes open, what ran out is closed, who is open gets asked about.

Cascade: one pending offer for each delivery and for each driver. A person's answer is in `answer.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

from dispatchkit.decide.offers.answer import EVENTS, respond
from dispatchkit.decide.offers.expire import begin_search, expire, search_began
from dispatchkit.decide.offers.model import READS, Offer, Params, Sought
from dispatchkit.decide.offers.propose import Explanation, Seeker, propose
from dispatchkit.kernel.change import Change
from dispatchkit.kernel.dispatch import Driver, Ping, free_drivers
from dispatchkit.kernel.feature import Feature, Frames, Travel
from dispatchkit.kernel.group import Group, rows


def decide(frames: Frames, params: Params, now: datetime, travel: Travel) -> list[Change]:
    """Return what to write at `now`, grouped by delivery in ascending id."""
    return _plan(frames, params, now, travel)[0]


def explain(frames: Frames, params: Params, now: datetime, travel: Travel) -> list[Explanation]:
    """Return for each delivery that gets no offer at `now` the binding rule and what would relax it."""
    return _plan(frames, params, now, travel)[1]


def _plan(frames: Frames, params: Params, now: datetime, travel: Travel) -> tuple[list[Change], list[Explanation]]:
    sought = sorted(rows(frames["deliveries"], Sought), key=lambda d: d.id)
    drivers = {driver.id: driver for driver in rows(frames["drivers"], Driver)}
    offers = sorted(rows(frames["offers"], Offer), key=lambda o: o.id)
    by_delivery: dict[int, list[Offer]] = defaultdict(list)
    for offer in offers:
        by_delivery[offer.delivery_id].append(offer)

    groups = {delivery.id: Group(("delivery", delivery.id), now) for delivery in sought}
    for delivery in sought:
        begin_search(groups[delivery.id], delivery, now)
        expire(groups[delivery.id], delivery, by_delivery[delivery.id], drivers, params, now)

    # As read: a driver whose offer has just run out counts as asked in this run, and rests in the next.
    pending = frozenset(offer.driver_id for offer in offers if offer.state == "PENDING")
    held = Counter(int(driver) for driver in frames["held"]["driver_id"])
    pings = {ping.driver_id: ping for ping in rows(frames["pings"], Ping)}
    free, kept_out = free_drivers(drivers.values(), pings, held, pending, params, now)
    unserved = propose(_seekers(frames, sought, groups, by_delivery, now), free, kept_out, params, now, travel)
    return [change for delivery in sought for change in groups[delivery.id].changes], unserved


def _seekers(
    frames: Frames,
    sought: list[Sought],
    groups: dict[int, Group],
    offers: dict[int, list[Offer]],
    now: datetime,
) -> list[Seeker]:
    """Return the deliveries that are UNASSIGNED after what time has done, with whom not to ask."""
    opened = {
        (row["delivery_id"], row["episode"]): row["opened_at"] for row in frames["episodes"].iter_rows(named=True)
    }
    released: dict[int, set[int]] = defaultdict(set)
    for row in frames["released"].iter_rows(named=True):
        released[row["delivery_id"]].add(row["driver_id"])
    found = []
    for delivery in sought:
        group, asked = groups[delivery.id], offers[delivery.id]
        if group.value("delivery", delivery, "state") != "UNASSIGNED":
            continue
        attempts = group.value("delivery", delivery, "attempt")
        assert isinstance(attempts, int)
        this_time = {offer.driver_id for offer in asked if offer.episode == delivery.episode}
        found.append(
            Seeker(
                delivery=delivery,
                group=group,
                attempts=attempts,
                waited=now - opened.get((delivery.id, delivery.episode), search_began(delivery)),
                asked=Counter(offer.driver_id for offer in asked),
                excluded=frozenset(this_time | released[delivery.id]),
            )
        )
    return found


FEATURE = Feature(
    name="offers",
    flag="offers",
    sql=Path(__file__).with_name("reads.sql"),
    reads=READS,
    units={"deliveries": "id"},
    params=Params,
    decide=decide,
    respond=respond,
    explain=explain,
    events=EVENTS,
)

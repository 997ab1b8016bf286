"""The offers sweep: what is due becomes open, what ran out is closed, who is open gets asked about.

Four modes, one accounting: cascade asks one driver at a time, waves a few and soon a few more, broadcast everybody in
reach, forced nobody. A person's answer is in `answer.py`, word of a push in `receipt.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import polars as pl

from dispatchkit.decide.offers.answer import EVENTS, respond
from dispatchkit.decide.offers.expire import begin_search, expire
from dispatchkit.decide.offers.model import READS, Offer, Params, Sought
from dispatchkit.decide.offers.propose import Choice, propose, survey
from dispatchkit.decide.offers.seek import Seeker, remember, seek
from dispatchkit.decide.offers.send import Explanation, Slots, send
from dispatchkit.decide.offers.unserved import unserved
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.changes import Change
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Driver, Free, Ping, free_drivers
from dispatchkit.domain.feature import Decision, Feature, Frames
from dispatchkit.travel.interface import Travel


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, decided: the changes in the order of delivery ids, each seeker's choice, who was free and who not."""

    changes: list[Change]
    choices: Sequence[Choice]
    free: Sequence[Free]
    kept_out: dict[str, int]


def decide(frames: Frames, params: Params, now: datetime, travel: Travel, seed: int) -> Decision:
    """Return what to write at `now`, grouped by delivery in ascending id, and why the others get no offer."""
    made = plan(frames, params, now, travel)
    return Decision(made.changes, partial(_explain, made, params, now, travel))


def _explain(made: Plan, params: Params, now: datetime, travel: Travel) -> list[Explanation]:
    """Return for each delivery that gets no offer at `now` the binding rule and what would relax it."""
    left = [
        choice.seeker for choice in made.choices if not choice.picked and not choice.seeker.waiting
    ]
    reach = {
        seeker.delivery.id: params.radius_max_m
        for seeker in left
        if seeker.rounds < params.max_attempts
    }
    widely = survey(
        sorted(left, key=lambda s: s.delivery.id), made.free, reach, params, now, travel
    )
    return [unserved(choice, made.kept_out, params) for choice in widely]


def plan(frames: Frames, params: Params, now: datetime, travel: Travel) -> Plan:
    """Return the whole run: what time has done, then who asks whom."""
    sought = sorted(rows(frames["deliveries"], Sought), key=lambda d: d.id)
    drivers = {driver.id: driver for driver in rows(frames["drivers"], Driver)}
    offers = sorted(rows(frames["offers"], Offer), key=lambda o: o.id)
    by_delivery: dict[int, list[Offer]] = defaultdict(list)
    for offer in offers:
        by_delivery[offer.delivery_id].append(offer)

    memory = remember(frames)
    groups = {delivery.id: ChangeSet(("delivery", delivery.id), now) for delivery in sought}
    seekers: list[Seeker] = []
    for delivery in sought:
        group, asked = groups[delivery.id], by_delivery[delivery.id]
        opened = begin_search(group, delivery, now)
        overdue = expire(group, delivery, asked, drivers, params, now)
        if (
            delivery.disputed or delivery.outside
        ):  # due all the same: the ladder sees it, a person may assign it
            continue
        if seeker := seek(group, delivery, opened, asked, overdue, memory, params, now):
            seekers.append(seeker)

    # As read: a driver whose offer has just run out counts as asked in this run, and rests in the next.
    pending = frozenset(offer.driver_id for offer in offers if offer.state == "PENDING")
    slots = _slots(frames)
    pings = {ping.driver_id: ping for ping in rows(frames["pings"], Ping)}
    held = {driver: len(taken) for driver, taken in slots.items()}
    free, kept_out = free_drivers(drivers.values(), pings, held, pending, params, now)
    choices = propose(seekers, free, _given(frames, params, now), params, now, travel)
    for choice in choices:
        send(choice, slots, params, now)
    return Plan(
        [change for delivery in sought for change in groups[delivery.id].changes],
        choices,
        free,
        kept_out,
    )


def _slots(frames: Frames) -> Slots:
    taken: dict[int, set[int]] = defaultdict(set)
    for driver, slot in frames["held"].select("driver_id", "slot").iter_rows():
        taken[driver].add(slot)
    return {driver: frozenset(of) for driver, of in taken.items()}


def _given(frames: Frames, params: Params, now: datetime) -> set[int]:
    """Return who was given a delivery unasked at this very instant: a run that is repeated must find nothing to do."""
    if params.mode != "forced":
        return set()
    return set(frames["held"].filter(pl.col("assigned_at") >= now)["driver_id"])


FEATURE = Feature(
    name="offers",
    flag="offers",
    sql=Path(__file__).with_name("reads.sql"),
    reads=READS,
    units={"deliveries": "id"},
    params=Params,
    decide=decide,
    respond=respond,
    explains=True,
    events=EVENTS,
)

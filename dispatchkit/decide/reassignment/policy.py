"""The reassignment sweep: suspect, wait, compare, take away; and follow what was taken away until it is delivered.

The cases are the history. Nothing is ever taken from a driver who has picked up, or against a person's lock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

from dispatchkit.decide.reassignment.follow import TAKEN, follow
from dispatchkit.decide.reassignment.foresight import foresee
from dispatchkit.decide.reassignment.judge import Bench, Verdict, drop, judge
from dispatchkit.decide.reassignment.manual import reassign
from dispatchkit.decide.reassignment.model import Assigned, Case, Followed, Params, Sight
from dispatchkit.decide.reassignment.reads import PREVIEW, READS
from dispatchkit.decide.reassignment.sight import sights
from dispatchkit.decide.reassignment.suspicion import suspicion
from dispatchkit.decide.reassignment.telling import breakdown, unassign
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.changes import Change
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Driver, Free, Ping, approaches, free_drivers
from dispatchkit.domain.feature import Answer, Decision, Event, Feature, Frames, Preview
from dispatchkit.travel.interface import Travel


def decide(frames: Frames, params: Params, now: datetime, travel: Travel, seed: int) -> Decision:
    """Return what to write at `now`, grouped by delivery in ascending id.

    Explained is each suspect assignment: what was seen, and why it was taken away or not.
    """
    changes, verdicts = _plan(frames, params, now, travel)
    return Decision(changes, lambda: verdicts)


def respond(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return what an act comes to: a person's `reassign`, a driver's `unassign`, anybody's `breakdown`."""
    return ACTS[event.name](frames, event, params, now)


ACTS = {"reassign": reassign, "unassign": unassign, "breakdown": breakdown}


def _plan(
    frames: Frames, params: Params, now: datetime, travel: Travel
) -> tuple[list[Change], list[Verdict]]:
    cases: dict[int, list[Case]] = defaultdict(list)
    for case in sorted(rows(frames["cases"], Case), key=lambda c: c.id):
        cases[case.delivery_id].append(case)
    assigned = sorted(rows(frames["assigned"], Assigned), key=lambda d: d.id)
    followed = {delivery.id: delivery for delivery in rows(frames["followed"], Followed)}
    roots = sorted({delivery.id for delivery in assigned} | set(followed))
    groups = {root: ChangeSet(("delivery", root), now) for root in roots}
    for root, delivery in sorted(followed.items()):
        for case in cases[root]:
            follow(groups[root], case, delivery)

    # Whoever operations suspend loses what he has not picked up, outside the rollout too. Nobody else is watched there.
    suspended = frozenset(frames["carriers"].filter(duty="SUSPENDED")["id"])
    watched = [
        delivery for delivery in assigned if not delivery.outside or delivery.driver_id in suspended
    ]
    for root in sorted(
        {delivery.id for delivery in assigned} - {delivery.id for delivery in watched}
    ):
        drop(groups[root], cases[root])

    seen = sights(frames, watched, travel)
    suspects = {
        sight.delivery.id: found for sight in seen if (found := suspicion(sight, params, now))
    }
    waiting = [
        d for root, d in sorted(followed.items()) if d.state == "UNASSIGNED" and _taken(cases[root])
    ]
    bench = _bench(
        frames,
        [sight for sight in seen if sight.delivery.id in suspects],
        waiting,
        params,
        now,
        travel,
    )
    for (
        delivery
    ) in waiting:  # taken away before and not yet offered: somebody was meant to carry it
        bench.claim(delivery.id)
    verdicts = [
        judge(
            bench,
            groups[sight.delivery.id],
            sight,
            suspects.get(sight.delivery.id),
            cases[sight.delivery.id],
        )
        for sight in seen
    ]
    return [change for root in roots for change in groups[root].changes], [v for v in verdicts if v]


def _bench(
    frames: Frames,
    suspect: list[Sight],
    waiting: list[Followed],
    params: Params,
    now: datetime,
    travel: Travel,
) -> Bench:
    """Return who could take over the suspect assignments, and the deliveries that wait for somebody meant for them."""
    sought: list[Assigned | Followed] = [*(sight.delivery for sight in suspect), *waiting]
    pickups = {delivery.id: pickup for delivery in sought if (pickup := delivery.pickup)}
    others = _others(frames, frozenset(sight.driver.id for sight in suspect), params, now)
    return Bench(
        params=params,
        now=now,
        ways=approaches(others, pickups, params.reach_m, params, travel),
        ready={delivery.id: delivery.ready_at for delivery in sought},
        lost_it=_lost_it(frames),
        refused=_refused(frames),
    )


def _taken(cases: list[Case]) -> bool:
    return any(case.state in TAKEN for case in cases)


def _others(frames: Frames, suspected: frozenset[int], params: Params, now: datetime) -> list[Free]:
    """Return the drivers who could take over: dispatchable, and under no suspicion themselves."""
    drivers = [driver for driver in rows(frames["drivers"], Driver) if driver.id not in suspected]
    pings = {ping.driver_id: ping for ping in rows(frames["pings"], Ping)}
    held, pending = Counter(frames["held"]["driver_id"]), frozenset(frames["pending"]["driver_id"])
    return free_drivers(drivers, pings, held, pending, params, now)[0]


def _lost_it(frames: Frames) -> dict[int, list[int | None]]:
    """Return for each delivery and past case the driver from whom it was taken, None where it was not."""
    found: dict[int, list[int | None]] = defaultdict(list)
    for row in frames["history"].sort("id").iter_rows(named=True):
        found[row["delivery_id"]].append(row["driver_id"] if row["released_at"] else None)
    return found


def _refused(frames: Frames) -> dict[int, set[int]]:
    """Return for each delivery who declined it, or let the offer run out."""
    found: dict[int, set[int]] = defaultdict(set)
    for delivery, driver in frames["refusals"].select("delivery_id", "driver_id").iter_rows():
        found[delivery].add(driver)
    return found


FEATURE = Feature(
    name="reassignment",
    flag="reassignment",
    sql=Path(__file__).with_name("reads.sql"),
    reads=READS,
    units={"assigned": "id", "followed": "id"},
    params=Params,
    decide=decide,
    respond=respond,
    explains=True,
    events=tuple(ACTS),
    previews={"reassign": Preview(reads=PREVIEW, look=foresee)},
)

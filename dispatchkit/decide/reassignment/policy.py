"""The reassignment sweep: suspect, wait, compare, release; and track a release until it is delivered.

Cases are the history. Nothing is ever taken from a driver who has picked up, or against a
person's lock.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

from dispatchkit.decide.reassignment.acts import reassign, report_breakdown, unassign
from dispatchkit.decide.reassignment.case_tracking import RELEASED_STATES, track
from dispatchkit.decide.reassignment.evaluate import (
    ReassignmentRun,
    Verdict,
    drop_cases,
    evaluate,
)
from dispatchkit.decide.reassignment.model import (
    PREVIEW,
    READS,
    AssignedDelivery,
    AssignmentView,
    Params,
    PickupDelivery,
    TrackedDelivery,
)
from dispatchkit.decide.reassignment.observe import observe
from dispatchkit.decide.reassignment.preview import preview
from dispatchkit.decide.reassignment.suspicion import find_suspicion
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.changes import Change
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Free, approaches, free_drivers
from dispatchkit.domain.feature import Answer, Decision, Event, Feature, Frames, Preview
from dispatchkit.domain.rows import Case, Driver, Ping
from dispatchkit.domain.states import DeliveryState, DutyState
from dispatchkit.travel.interface import Travel


def decide(frames: Frames, params: Params, now: datetime, travel: Travel, seed: int) -> Decision:
    """Return what to write at `now`, grouped by delivery in ascending id.

    The explanations are the verdicts: each assignment under suspicion, with the evidence and why
    it was released or not.
    """
    changes, verdicts = _decide(frames, params, now, travel)
    return Decision(changes, lambda: verdicts)


def respond(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return the result of an act: `reassign`, `unassign` or `breakdown`."""
    return ACTS[event.name](frames, event, params, now)


ACTS = {"reassign": reassign, "unassign": unassign, "breakdown": report_breakdown}


def _decide(
    frames: Frames, params: Params, now: datetime, travel: Travel
) -> tuple[list[Change], list[Verdict]]:
    cases: dict[int, list[Case]] = defaultdict(list)
    for case in sorted(rows(frames["cases"], Case), key=lambda c: c.id):
        cases[case.delivery_id].append(case)
    assigned = sorted(rows(frames["assigned"], AssignedDelivery), key=lambda d: d.id)
    tracked = sorted(rows(frames["followed"], TrackedDelivery), key=lambda d: d.id)
    roots = sorted({delivery.id for delivery in (*assigned, *tracked)})
    change_sets = {root: ChangeSet(("delivery", root), now) for root in roots}
    for delivery in tracked:
        for case in cases[delivery.id]:
            track(change_sets[delivery.id], case, delivery)

    # Outside the rollout only the deliveries of suspended drivers are released.
    suspended = set(frames["carriers"].filter(duty=DutyState.SUSPENDED.value)["id"])
    watched = []
    for assignment in assigned:
        if not assignment.outside or assignment.driver_id in suspended:
            watched.append(assignment)
        else:
            drop_cases(change_sets[assignment.id], cases[assignment.id])

    views = observe(frames, watched, travel)
    suspicions = {view.delivery.id: find_suspicion(view, params, now) for view in views}
    suspect = [view for view in views if suspicions[view.delivery.id]]
    # Released before and not yet offered; each was released because of a replacement.
    waiting = [
        delivery
        for delivery in tracked
        if delivery.state == DeliveryState.UNASSIGNED
        and any(case.state in RELEASED_STATES for case in cases[delivery.id])
    ]
    run = _start_run(frames, suspect, waiting, params, now, travel)
    for delivery in waiting:
        run.claim_replacement(delivery.id)
    verdicts = []
    for view in views:
        root = view.delivery.id
        verdict = evaluate(run, change_sets[root], view, suspicions[root], cases[root])
        if verdict is not None:
            verdicts.append(verdict)
    return [change for root in roots for change in change_sets[root].changes], verdicts


def _start_run(
    frames: Frames,
    suspect: list[AssignmentView],
    waiting: list[TrackedDelivery],
    params: Params,
    now: datetime,
    travel: Travel,
) -> ReassignmentRun:
    """Return the run with everybody who could take over the suspect and the waiting deliveries."""
    deliveries: list[PickupDelivery] = [*(view.delivery for view in suspect), *waiting]
    pickups = {delivery.id: pickup for delivery in deliveries if (pickup := delivery.pickup)}
    others = _replacements(frames, {view.driver.id for view in suspect}, params, now)

    released_from: dict[int, list[int]] = defaultdict(list)
    for delivery_id, driver_id, released_at in (
        frames["history"].sort("id").select("delivery_id", "driver_id", "released_at").iter_rows()
    ):
        if released_at is not None:
            released_from[delivery_id].append(driver_id)
    declined_by: dict[int, set[int]] = defaultdict(set)
    for delivery_id, driver_id in frames["refusals"].select("delivery_id", "driver_id").iter_rows():
        declined_by[delivery_id].add(driver_id)
    return ReassignmentRun(
        params=params,
        now=now,
        approaches=approaches(others, pickups, params.reach_m, params, travel),
        ready_at={delivery.id: delivery.ready_at for delivery in deliveries},
        case_count=Counter(frames["history"]["delivery_id"]),
        released_from=released_from,
        declined_by=declined_by,
    )


def _replacements(
    frames: Frames, under_suspicion: set[int], params: Params, now: datetime
) -> list[Free]:
    """Return the drivers who could take over: free, and under no suspicion themselves."""
    drivers = [d for d in rows(frames["drivers"], Driver) if d.id not in under_suspicion]
    pings = {ping.driver_id: ping for ping in rows(frames["pings"], Ping)}
    held, pending = Counter(frames["held"]["driver_id"]), frozenset(frames["pending"]["driver_id"])
    return free_drivers(drivers, pings, held, pending, params, now)[0]


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
    previews={"reassign": Preview(reads=PREVIEW, look=preview)},
)

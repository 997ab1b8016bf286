"""Taking a delivery away from its driver: what sweeps and acts share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from dispatchkit.decide.reassignment.follow import new_case, step
from dispatchkit.decide.reassignment.model import Case, Job
from dispatchkit.domain.change_set import ChangeExtras, ChangeSet
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Event, Frames
from dispatchkit.domain.search import open_search
from dispatchkit.domain.states import CASE, CASE_SUSPECT, HOLDS_GOODS, OPEN, TO_PICKUP
from dispatchkit.kernel.stable_random import stable_id


def release(group: ChangeSet, delivery: Job, reason: str, said: ChangeExtras) -> None:
    """Put a delivery back into the search, ahead of its like, and open its next episode."""
    group.change(
        "delivery",
        delivery,
        "delivery_released",
        reason,
        {
            "state": "UNASSIGNED",
            "episode": delivery.episode + 1,
            "attempt": 0,
            "priority": delivery.priority + 1,
            "driver_id": None,
            "slot": None,
            "assigned_at": None,
            "started_at": None,
            "arrived_pickup_at": None,
            "lock_until": None,
        },
        **said,
    )
    open_search(group, delivery.id, delivery.episode + 1, reason, group.at)


def close_others(group: ChangeSet, cases: Sequence[Case], reason: str) -> None:
    """Close the other open cases of a delivery that is taken away now: an earlier reassignment has relapsed.

    A case that no sweep has moved on since its delivery found a new driver passes the states it missed.
    """
    for case in cases:
        if group.value("case", case, "state") in CASE_SUSPECT:
            step(group, case, "ABORTED", reason)
            continue
        for state in ("REOFFERING", "REASSIGNED", "RELAPSED"):
            if CASE.allows(str(group.value("case", case, "state")), state):
                step(group, case, state, reason)


def closed(delivery: Job) -> str | None:
    """Return why a delivery cannot be taken from anybody or given to anybody, or None."""
    if delivery.state == "CANCELLED":
        return "DELIVERY_CANCELLED"
    if delivery.state in HOLDS_GOODS:
        return "CUSTODY_CONFLICT"
    return None if delivery.state in TO_PICKUP or delivery.state in OPEN else "ILLEGAL_TRANSITION"


def take_away(group: ChangeSet, frames: Frames, delivery: Job, event: Event, trigger: str) -> None:
    """Release a delivery at somebody's word, under a case of its own; earlier cases of it are closed."""
    assert delivery.driver_id is not None
    close_others(group, rows(frames["case"], Case), trigger)
    case = a_case(
        delivery,
        delivery.driver_id,
        trigger,
        stable_id("case", delivery.id, delivery.episode, trigger),
        group.at,
    )
    said = {"reason": str(event.args["reason"])}
    new_case(group, case, {"pickup_distance_m": None, "actor": event.actor}, said)
    release(
        group, delivery, trigger, {"why": said, "payload": {"driverId": delivery.driver_id, **said}}
    )
    step(group, case, "RELEASED", trigger, {"released_at": group.at})


def a_case(
    delivery: Job,
    driver_id: int,
    trigger: str,
    id: int,
    now: datetime,
    grace: timedelta | None = None,
) -> Case:
    """Return a case that begins now: in grace, or confirmed at once where there is none."""
    return Case(
        id=id,
        delivery_id=delivery.id,
        driver_id=driver_id,
        episode=delivery.episode,
        trigger=trigger,
        state="CONFIRMED" if grace is None else "GRACE",
        suspected_at=now,
        grace_until=None if grace is None else now + grace,
        confirmed_at=now if grace is None else None,
        released_at=None,
        closed_at=None,
        new_driver_id=None,
        version=0,
    )

"""The steps of a case and of its delivery: opened, released, tracked until it is delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from dispatchkit.decide.reassignment.model import TrackedDelivery
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.changes import Ref, Value
from dispatchkit.domain.codes import ChangeReason, EventName
from dispatchkit.domain.rows import Case, Delivery
from dispatchkit.domain.search import open_search
from dispatchkit.domain.states import (
    CASE,
    CASE_SUSPECT,
    OPEN,
    TO_PICKUP,
    CaseState,
    CaseTrigger,
    DeliveryState,
)

# The delivery has been taken from the driver of the case.
RELEASED_STATES = (CaseState.RELEASED, CaseState.REOFFERING, CaseState.REASSIGNED)
EVENTS = {
    CaseState.GRACE: EventName.REASSIGNMENT_SUSPECTED,
    CaseState.CONFIRMED: EventName.REASSIGNMENT_CONFIRMED,
    CaseState.CLEARED: EventName.REASSIGNMENT_CLEARED,
    CaseState.RELEASED: EventName.REASSIGNMENT_RELEASED,
    CaseState.REOFFERING: EventName.REASSIGNMENT_REOFFERING,
    CaseState.REASSIGNED: EventName.REASSIGNMENT_REASSIGNED,
    CaseState.SUCCEEDED: EventName.REASSIGNMENT_SUCCEEDED,
    CaseState.RELAPSED: EventName.REASSIGNMENT_RELAPSED,
    CaseState.EXHAUSTED: EventName.REASSIGNMENT_EXHAUSTED,
    CaseState.ABORTED: EventName.REASSIGNMENT_ABORTED,
}


def open_case(
    changes: ChangeSet,
    delivery: Delivery,
    driver_id: int,
    trigger: CaseTrigger,
    case_id: int,
    *,
    grace: timedelta | None = None,
    pickup_distance_m: int | None = None,
    actor: str | None = None,
    why: Mapping[str, Any],
) -> Case:
    """Add a case that begins now and return it: in grace, or confirmed at once without one."""
    case = Case(
        id=case_id,
        delivery_id=delivery.id,
        driver_id=driver_id,
        episode=delivery.episode,
        trigger=trigger,
        state=CaseState.CONFIRMED if grace is None else CaseState.GRACE,
        suspected_at=changes.at,
        grace_until=None if grace is None else changes.at + grace,
        confirmed_at=changes.at if grace is None else None,
        pickup_distance_m=pickup_distance_m,
        actor=actor,
        version=1,
    )
    event = EVENTS[CaseState.GRACE]
    return changes.add(case, event, trigger, payload=_payload(case, trigger), why=why)


def step(changes: ChangeSet, case: Case, state: CaseState, reason: str, **columns: Value) -> None:
    """Move a case to a state, with further columns; a case that is in the state already stays."""
    if changes.latest(case).state == state:
        return
    if state in CASE.terminal:
        columns["closed_at"] = changes.at
    payload = _payload(case, reason)
    changes.update(
        case,
        EVENTS[state],
        reason,
        expects=(),
        payload=payload,
        why=None,
        state=state,
        **columns,
    )


def end_suspicion(changes: ChangeSet, case: Case, reason: str) -> None:
    """Close a case because the driver made progress."""
    confirmed = case.state == CaseState.CONFIRMED
    step(changes, case, CaseState.ABORTED if confirmed else CaseState.CLEARED, reason)


def release(
    changes: ChangeSet,
    delivery: Delivery,
    reason: str,
    *,
    expects: tuple[Ref, ...] = (),
    payload: Mapping[str, Any] | None = None,
    why: Mapping[str, Any],
) -> None:
    """Put a delivery back into the search, with a higher priority, and open its next episode."""
    changes.update(
        delivery,
        EventName.DELIVERY_RELEASED,
        reason,
        expects=expects,
        payload=payload,
        why=why,
        state=DeliveryState.UNASSIGNED,
        episode=delivery.episode + 1,
        attempt=0,
        priority=delivery.priority + 1,
        driver_id=None,
        slot=None,
        assigned_at=None,
        started_at=None,
        arrived_pickup_at=None,
        lock_until=None,
    )
    open_search(changes, delivery.id, delivery.episode + 1, reason, changes.at)


def close_other_cases(changes: ChangeSet, cases: Sequence[Case], reason: str) -> None:
    """Close the other open cases of a delivery that is released now: a reassignment relapsed.

    A case that no sweep has moved since the delivery found a new driver passes the states that
    it missed.
    """
    for case in cases:
        if changes.latest(case).state in CASE_SUSPECT:
            step(changes, case, CaseState.ABORTED, reason)
            continue
        for state in (CaseState.REOFFERING, CaseState.REASSIGNED, CaseState.RELAPSED):
            if CASE.allows(changes.latest(case).state, state):
                step(changes, case, state, reason)


def track(changes: ChangeSet, case: Case, delivery: TrackedDelivery) -> None:
    """Add the steps of an open case that the present state of its delivery calls for."""
    for state, reason in _missing_steps(case, delivery):
        if state == CaseState.REASSIGNED:
            step(changes, case, state, reason, new_driver_id=delivery.driver_id)
        else:
            step(changes, case, state, reason)


def _missing_steps(case: Case, delivery: TrackedDelivery) -> list[tuple[CaseState, str]]:
    """Return the states that a case has yet to pass, each with its reason."""
    if delivery.state == DeliveryState.CANCELLED:
        return [(CaseState.ABORTED, ChangeReason.DELIVERY_CANCELLED)]
    if case.state in RELEASED_STATES:
        return _steps_after_release(case, delivery)
    if delivery.episode != case.episode or delivery.driver_id != case.driver_id:
        return [(CaseState.ABORTED, ChangeReason.NO_LONGER_ASSIGNED)]
    if delivery.state in TO_PICKUP:
        return []
    confirmed = case.state == CaseState.CONFIRMED
    return [(CaseState.ABORTED if confirmed else CaseState.CLEARED, ChangeReason.PICKED_UP)]


def _steps_after_release(case: Case, delivery: TrackedDelivery) -> list[tuple[CaseState, str]]:
    """Return the steps of a case whose delivery was released.

    A second release closes the case in its own step. The episode alone does not show one, since
    a rescue opens a new episode too.
    """
    if delivery.restored:
        return [(CaseState.ABORTED, ChangeReason.CUSTODY_RESTORED)]
    if delivery.driver_id == case.driver_id and delivery.episode == case.episode + 1:
        return [(CaseState.ABORTED, ChangeReason.GIVEN_BACK)]
    if delivery.state == DeliveryState.UNASSIGNED:
        return []
    steps: list[tuple[CaseState, str]] = []
    if case.state == CaseState.RELEASED:
        steps.append((CaseState.REOFFERING, ChangeReason.SEARCH_RESUMED))
    if delivery.state in OPEN:
        return steps
    if delivery.state in (
        DeliveryState.UNFULFILLED,
        DeliveryState.FAILED,
        DeliveryState.RETURNED,
    ):
        return [*steps, (CaseState.EXHAUSTED, delivery.state)]
    if case.state != CaseState.REASSIGNED:
        steps.append((CaseState.REASSIGNED, ChangeReason.NEW_DRIVER))
    if delivery.state == DeliveryState.DELIVERED:
        steps.append((CaseState.SUCCEEDED, ChangeReason.DELIVERED))
    return steps


def _payload(case: Case, reason: str) -> dict[str, Any]:
    return {
        "caseId": case.id,
        "deliveryId": case.delivery_id,
        "driverId": case.driver_id,
        "reason": reason,
    }

"""What became of a case: each sweep reads where its delivery is now and moves the case along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dispatchkit.decide.reassignment.model import Case, Followed
from dispatchkit.domain.change_set import ChangeSet, Values
from dispatchkit.domain.states import OPEN, TO_PICKUP

TAKEN = (
    "RELEASED",
    "REOFFERING",
    "REASSIGNED",
)  # the delivery has been taken from the driver of the case
EVENTS = {
    "GRACE": "reassignment_suspected",
    "CONFIRMED": "reassignment_confirmed",
    "CLEARED": "reassignment_cleared",
    "RELEASED": "reassignment_released",
    "REOFFERING": "reassignment_reoffering",
    "REASSIGNED": "reassignment_reassigned",
    "SUCCEEDED": "reassignment_succeeded",
    "RELAPSED": "reassignment_relapsed",
    "EXHAUSTED": "reassignment_exhausted",
    "ABORTED": "reassignment_aborted",
}
CLOSING = ("CLEARED", "SUCCEEDED", "RELAPSED", "EXHAUSTED", "ABORTED")


def follow(group: ChangeSet, case: Case, delivery: Followed) -> None:
    """Add the steps of an open case that the state of its delivery calls for, none if it is where it should be."""
    for state, reason in _due(case, delivery):
        step(
            group,
            case,
            state,
            reason,
            {"new_driver_id": delivery.driver_id} if state == "REASSIGNED" else {},
        )


def new_case(group: ChangeSet, case: Case, also: Values, seen: Mapping[str, Any]) -> None:
    """Add a new case to the group, with the columns that only its row has."""
    columns: Values = {
        name: value for name, value in asdict(case).items() if name not in ("id", "version")
    }
    told = {
        "caseId": case.id,
        "deliveryId": case.delivery_id,
        "driverId": case.driver_id,
        "reason": case.trigger,
    }
    event = EVENTS[case.state] if case.state != "CONFIRMED" else EVENTS["GRACE"]
    group.insert("case", case.id, event, case.trigger, columns | also, payload=told, why=seen)


def step(group: ChangeSet, case: Case, state: str, reason: str, also: Values | None = None) -> None:
    """Add one step of a case and the columns that go with it; staying is no step, a closing step is stamped."""
    if group.value("case", case, "state") == state:
        return
    after: Values = {"state": state, **(also or {})}
    if state in CLOSING:
        after["closed_at"] = group.at
    told = {
        "caseId": case.id,
        "deliveryId": case.delivery_id,
        "driverId": case.driver_id,
        "reason": reason,
    }
    group.change("case", case, EVENTS[state], reason, after, payload=told)


def _due(case: Case, delivery: Followed) -> list[tuple[str, str]]:
    """Return the states a case has yet to pass, each with its reason."""
    if delivery.state == "CANCELLED":
        return [("ABORTED", "DELIVERY_CANCELLED")]
    return _after_release(case, delivery) if case.state in TAKEN else _while_suspect(case, delivery)


def _while_suspect(case: Case, delivery: Followed) -> list[tuple[str, str]]:
    if delivery.episode != case.episode or delivery.driver_id != case.driver_id:
        return [("ABORTED", "NO_LONGER_ASSIGNED")]
    if delivery.state not in TO_PICKUP:
        return (
            [("CLEARED", "PICKED_UP")] if case.state != "CONFIRMED" else [("ABORTED", "PICKED_UP")]
        )
    return []


def _after_release(case: Case, delivery: Followed) -> list[tuple[str, str]]:
    """Return what became of a delivery after its release. That it was released again closes a case in the same step.

    Its episode alone tells little: a rescue opens a new one too.
    """
    if delivery.restored:
        return [("ABORTED", "CUSTODY_RESTORED")]
    if delivery.driver_id == case.driver_id and delivery.episode == case.episode + 1:
        return [("ABORTED", "GIVEN_BACK")]
    if delivery.state == "UNASSIGNED":
        return []
    offering = [] if case.state != "RELEASED" else [("REOFFERING", "SEARCH_RESUMED")]
    if delivery.state in OPEN:
        return offering
    if delivery.state in ("UNFULFILLED", "FAILED", "RETURNED"):
        return [*offering, ("EXHAUSTED", delivery.state)]
    assigned = [] if case.state == "REASSIGNED" else [("REASSIGNED", "NEW_DRIVER")]
    if delivery.state == "DELIVERED":
        return [*offering, *assigned, ("SUCCEEDED", "DELIVERED")]
    return [*offering, *assigned]

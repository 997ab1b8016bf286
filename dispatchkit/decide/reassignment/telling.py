"""What a driver tells of himself: that he will not carry a delivery, or that his vehicle is broken."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from dispatchkit.decide.reassignment.follow import new_case, step
from dispatchkit.decide.reassignment.model import Case, Job, Params
from dispatchkit.decide.reassignment.release import a_case, closed, take_away
from dispatchkit.domain.change_set import ChangeSet, Values
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Driver, rest_until
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.domain.states import CASE_SUSPECT, TO_PICKUP
from dispatchkit.kernel.errors import Usage
from dispatchkit.kernel.stable_random import stable_id


def unassign(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return what comes of a driver giving a delivery back before pickup: it is released at once, without a grace.

    He rests for `driver_cooldown`, unless he has waited at the counter for `merchant_wait` past ready: that is the
    merchant's doing and costs him nothing. Refused to others (NOT_FOUND) and once he has the goods (CUSTODY_CONFLICT).
    Raises Usage without a reason.
    """
    if not event.args.get("reason"):
        raise Usage("giving a delivery back needs a reason, e.g. --reason FLAT_TYRE")
    delivery = next(iter(rows(frames["delivery"], Job)), None)
    driver = next((d for d in rows(frames["drivers"], Driver) if d.id == event.driver_id), None)
    if delivery is None or driver is None:
        return refused("NOT_FOUND")
    if delivery.driver_id != driver.id:
        lost = frames["cases"].filter(
            (pl.col("driver_id") == driver.id) & pl.col("released_at").is_not_null()
        )
        return Answer("OK_REPLAY") if lost.height else refused("NOT_FOUND")
    if code := closed(delivery):
        return refused(code)
    group = ChangeSet(("delivery", delivery.id), now)
    if _kept_waiting(frames, delivery, params, now):
        take_away(group, frames, delivery, event, "MERCHANT_WAIT")
        return Answer("OK", tuple(group.changes))
    take_away(group, frames, delivery, event, "DRIVER_UNASSIGN")
    until = now + params.driver_cooldown
    rest: Values = {"cooldown_until": rest_until(driver, until)}
    group.change("driver", driver, "driver_cooled_down", "DRIVER_UNASSIGN", rest)
    return Answer("OK", tuple(group.changes))


def breakdown(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return what comes of a broken vehicle before pickup: a suspicion with its grace, in which he may get going again.

    It takes the place of any other suspicion; the sweep compares and releases. Once he has the goods it is a rescue
    (CUSTODY_CONFLICT). A driver speaks for himself only; operations, who name none, for whoever holds the delivery.
    """
    delivery = next(iter(rows(frames["delivery"], Job)), None)
    if delivery is None or event.driver_id not in (None, delivery.driver_id):
        return refused("NOT_FOUND")
    if (code := closed(delivery)) or delivery.state not in TO_PICKUP or delivery.driver_id is None:
        return refused(code or "ILLEGAL_TRANSITION")
    doubts = [case for case in rows(frames["case"], Case) if case.state in CASE_SUSPECT]
    if any(case.trigger == "VEHICLE" for case in doubts):
        return Answer("OK_REPLAY")
    group = ChangeSet(("delivery", delivery.id), now)
    for case in doubts:
        step(group, case, "ABORTED", "VEHICLE")
    id = stable_id("case", delivery.id, delivery.episode, "VEHICLE", frames["cases"].height)
    case = a_case(delivery, delivery.driver_id, "VEHICLE", id, now, params.grace)
    new_case(group, case, {"pickup_distance_m": None, "actor": event.actor}, {"reason": "VEHICLE"})
    return Answer("OK", tuple(group.changes))


def _kept_waiting(frames: Frames, delivery: Job, params: Params, now: datetime) -> bool:
    """Return whether the driver has stood at the counter until `merchant_wait` past ready."""
    if delivery.state != "ARRIVED_PICKUP" or delivery.arrived_pickup_at is None:
        return False
    ready = next(iter(frames["order"]["ready_at"]), None)
    return (
        now
        >= max(delivery.arrived_pickup_at, ready or delivery.arrived_pickup_at)
        + params.merchant_wait
    )

"""What people do about an assignment: operations reassign, drivers give back or report a breakdown."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from dispatchkit.decide.reassignment.case_tracking import (
    close_other_cases,
    open_case,
    release,
    step,
)
from dispatchkit.decide.reassignment.model import Params
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ActResult, ChangeReason, EventName
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import free_slot, rest_until
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.domain.rows import Case, Delivery, Driver, Episode, Offer
from dispatchkit.domain.search import close_search, episode_id, touch_driver, withdraw
from dispatchkit.domain.states import (
    CASE_SUSPECT,
    HOLDS_GOODS,
    OPEN,
    TO_PICKUP,
    CaseState,
    CaseTrigger,
    DeliveryState,
    DutyState,
    EpisodeState,
)
from dispatchkit.kernel.errors import Usage
from dispatchkit.kernel.stable_random import stable_id


def reassign(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return the result of a person's reassignment: to driver `to` unasked, or a mere release.

    A handover locks the assignment against sweeps for `lock_expiry`. Refused once a driver has
    the goods (CUSTODY_CONFLICT), for a driver who is not on duty or has no free slot
    (DRIVER_UNAVAILABLE), and for a delivery that nobody could carry (ILLEGAL_TRANSITION,
    DELIVERY_CANCELLED). Raises Usage without a reason.
    """
    if not event.args.get("reason"):
        raise Usage("a reassignment needs a reason, e.g. --reason VEHICLE")
    delivery = _delivery(frames)
    to = event.args.get("to")
    driver = next((d for d in rows(frames["drivers"], Driver) if d.id == to), None)
    if delivery is None or (to is not None and driver is None):
        return refused(ActResult.NOT_FOUND)
    if code := _refusal(delivery):
        return refused(code)
    if driver and delivery.driver_id == driver.id:
        return Answer(ActResult.OK_REPLAY)
    slot = None
    if driver and driver.duty == DutyState.ON_DUTY:
        # A person may use the driver's own max_stack, beyond the limit of the sweeps.
        slot = free_slot(frames["held"], driver.id, driver.max_stack)
    if driver and slot is None:
        return refused(ActResult.DRIVER_UNAVAILABLE)

    changes = ChangeSet(("delivery", delivery.id), now)
    if delivery.state in TO_PICKUP:
        _release_for(changes, frames, delivery, event, CaseTrigger.OPS)
    elif driver is None:
        open_cases = rows(frames["case"], Case)
        released = any(c.state in (CaseState.RELEASED, CaseState.REOFFERING) for c in open_cases)
        return Answer(ActResult.OK_REPLAY) if released else refused(ActResult.ILLEGAL_TRANSITION)
    else:
        withdraw(changes, rows(frames["offers"], Offer), ChangeReason.OPS)
    if driver and slot is not None:
        _assign(changes, frames, delivery, driver, slot, params)
    return Answer(ActResult.OK, tuple(changes.changes))


def unassign(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return the result of a driver giving a delivery back before pickup: released without grace.

    The driver is cooled down for `driver_cooldown`, unless they have waited at the merchant until
    `merchant_wait` past ready: the merchant answers for that. Refused to other drivers (NOT_FOUND)
    and once the driver has the goods (CUSTODY_CONFLICT). Raises Usage without a reason.
    """
    if not event.args.get("reason"):
        raise Usage("giving a delivery back needs a reason, e.g. --reason FLAT_TYRE")
    delivery = _delivery(frames)
    driver = next((d for d in rows(frames["drivers"], Driver) if d.id == event.driver_id), None)
    if delivery is None or driver is None:
        return refused(ActResult.NOT_FOUND)
    if delivery.driver_id != driver.id:
        released = frames["cases"].filter(
            (pl.col("driver_id") == driver.id) & pl.col("released_at").is_not_null()
        )
        return Answer(ActResult.OK_REPLAY) if released.height else refused(ActResult.NOT_FOUND)
    if code := _refusal(delivery):
        return refused(code)
    changes = ChangeSet(("delivery", delivery.id), now)
    if _kept_waiting(frames, delivery, params, now):
        _release_for(changes, frames, delivery, event, CaseTrigger.MERCHANT_WAIT)
        return Answer(ActResult.OK, tuple(changes.changes))
    _release_for(changes, frames, delivery, event, CaseTrigger.DRIVER_UNASSIGN)
    until = rest_until(driver, now + params.driver_cooldown)
    changes.update(
        driver, EventName.DRIVER_COOLED_DOWN, CaseTrigger.DRIVER_UNASSIGN, cooldown_until=until
    )
    return Answer(ActResult.OK, tuple(changes.changes))


def report_breakdown(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return the result of a broken vehicle before pickup: a case with a grace to get going again.

    It replaces any other suspicion; the sweep compares and releases. Once the driver has the goods
    it is a rescue (CUSTODY_CONFLICT). A driver reports only their own vehicle; operations, who
    name no driver, that of whoever has the delivery.
    """
    delivery = _delivery(frames)
    if delivery is None or event.driver_id not in (None, delivery.driver_id):
        return refused(ActResult.NOT_FOUND)
    if code := _refusal(delivery):
        return refused(code)
    if delivery.state not in TO_PICKUP or delivery.driver_id is None:
        return refused(ActResult.ILLEGAL_TRANSITION)
    suspicions = [case for case in rows(frames["case"], Case) if case.state in CASE_SUSPECT]
    if any(case.trigger == CaseTrigger.VEHICLE for case in suspicions):
        return Answer(ActResult.OK_REPLAY)
    changes = ChangeSet(("delivery", delivery.id), now)
    for case in suspicions:
        step(changes, case, CaseState.ABORTED, CaseTrigger.VEHICLE)
    open_case(
        changes,
        delivery,
        delivery.driver_id,
        CaseTrigger.VEHICLE,
        stable_id("case", delivery.id, delivery.episode, "VEHICLE", frames["cases"].height),
        grace=params.grace,
        actor=event.actor,
        why={"reason": "VEHICLE"},
    )
    return Answer(ActResult.OK, tuple(changes.changes))


def _delivery(frames: Frames) -> Delivery | None:
    return next(iter(rows(frames["delivery"], Delivery)), None)


def _refusal(delivery: Delivery) -> str | None:
    """Return why a delivery cannot be taken from or given to any driver, or None."""
    if delivery.state == DeliveryState.CANCELLED:
        return ActResult.DELIVERY_CANCELLED
    if delivery.state in HOLDS_GOODS:
        return ActResult.CUSTODY_CONFLICT
    if delivery.state in TO_PICKUP or delivery.state in OPEN:
        return None
    return ActResult.ILLEGAL_TRANSITION


def _release_for(
    changes: ChangeSet, frames: Frames, delivery: Delivery, event: Event, trigger: CaseTrigger
) -> None:
    """Release a delivery for a person, with a case of its own; its earlier cases are closed."""
    assert delivery.driver_id is not None
    close_other_cases(changes, rows(frames["case"], Case), trigger)
    why = {"reason": str(event.args["reason"])}
    case = open_case(
        changes,
        delivery,
        delivery.driver_id,
        trigger,
        stable_id("case", delivery.id, delivery.episode, trigger),
        actor=event.actor,
        why=why,
    )
    payload = {"driverId": delivery.driver_id, **why}
    release(changes, delivery, trigger, payload=payload, why=why)
    step(changes, case, CaseState.RELEASED, trigger, released_at=changes.at)


def _assign(
    changes: ChangeSet,
    frames: Frames,
    delivery: Delivery,
    driver: Driver,
    slot: int,
    params: Params,
) -> None:
    """Assign the delivery to a driver unasked, locked, and close its search."""
    changes.update(
        delivery,
        EventName.DELIVERY_ASSIGNED,
        ChangeReason.OPS,
        state=DeliveryState.ASSIGNED,
        driver_id=driver.id,
        slot=slot,
        assigned_at=changes.at,
        lock_until=changes.at + params.lock_expiry,
    )
    touch_driver(changes, driver, ChangeReason.OPS)
    episodes = rows(frames["episode"], Episode)
    if delivery.state in TO_PICKUP:  # its search began with the release in this change set
        number = delivery.episode + 1
        begun = Episode(
            id=episode_id(delivery.id, number),
            delivery_id=delivery.id,
            episode=number,
            state=EpisodeState.OPEN,
            opened_at=changes.at,
            version=1,
        )
        episodes = [begun]
    close_search(changes, episodes, EpisodeState.ASSIGNED, ChangeReason.OPS)


def _kept_waiting(frames: Frames, delivery: Delivery, params: Params, now: datetime) -> bool:
    """Return whether the driver has waited at the merchant until `merchant_wait` past ready."""
    arrived_at = delivery.arrived_pickup_at
    if delivery.state != DeliveryState.ARRIVED_PICKUP or arrived_at is None:
        return False
    ready_at = next(iter(frames["order"]["ready_at"]), None)
    return bool(now >= max(arrived_at, ready_at or arrived_at) + params.merchant_wait)

"""A person takes a delivery away from its driver, or gives it to one: what that does, and when it is refused."""

from __future__ import annotations

from datetime import datetime

from dispatchkit.decide.reassignment.model import Case, Job, Params
from dispatchkit.decide.reassignment.release import closed, take_away
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Driver, free_slot
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.domain.search import (
    Episode,
    Offer,
    close_search,
    episode_id,
    touch_driver,
    withdraw,
)
from dispatchkit.domain.states import TO_PICKUP
from dispatchkit.kernel.errors import Usage


def reassign(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return what comes of a person's decision: released (args `to` None), or handed to driver `to` without asking him.

    A hand-over locks the assignment against sweeps for `lock_expiry`. Refused once somebody holds the goods
    (CUSTODY_CONFLICT), for a driver who is not on duty or has no slot left (DRIVER_UNAVAILABLE), and for a delivery
    that nobody could carry (ILLEGAL_TRANSITION, DELIVERY_CANCELLED). Raises Usage without a reason.
    """
    if not event.args.get("reason"):
        raise Usage("a reassignment needs a reason, e.g. --reason VEHICLE")
    delivery = next((d for d in rows(frames["delivery"], Job) if d.id == event.delivery_id), None)
    to = event.args.get("to")
    driver = next((d for d in rows(frames["drivers"], Driver) if d.id == to), None)
    if delivery is None or (to is not None and driver is None):
        return refused("NOT_FOUND")
    if code := closed(delivery):
        return refused(code)
    if driver and delivery.driver_id == driver.id:
        return Answer("OK_REPLAY")
    slot = None
    if (
        driver and driver.duty == "ON_DUTY"
    ):  # a person may fill the stack that the driver himself allows
        slot = free_slot(frames["held"], driver.id, driver.max_stack)
    if driver and slot is None:
        return refused("DRIVER_UNAVAILABLE")
    group = ChangeSet(("delivery", delivery.id), now)
    if delivery.state in TO_PICKUP:
        take_away(group, frames, delivery, event, "OPS")
    elif driver is None:
        released_before = any(
            case.state in ("RELEASED", "REOFFERING") for case in rows(frames["case"], Case)
        )
        return Answer("OK_REPLAY") if released_before else refused("ILLEGAL_TRANSITION")
    else:
        withdraw(group, rows(frames["offers"], Offer), "OPS")
    if driver and slot is not None:
        _give(group, frames, delivery, driver, slot, params)
    return Answer("OK", tuple(group.changes))


def _give(
    group: ChangeSet, frames: Frames, delivery: Job, driver: Driver, slot: int, params: Params
) -> None:
    """Assign the delivery to a driver without asking, locked, and close the episode in which it sought one."""
    group.change(
        "delivery",
        delivery,
        "delivery_assigned",
        "OPS",
        {
            "state": "ASSIGNED",
            "driver_id": driver.id,
            "slot": slot,
            "assigned_at": group.at,
            "lock_until": group.at + params.lock_expiry,
        },
    )
    touch_driver(group, driver, "OPS")
    episodes = rows(frames["episode"], Episode)
    if delivery.state in TO_PICKUP:
        episodes = [
            Episode(
                id=episode_id(delivery.id, delivery.episode + 1),
                state="OPEN",
                closed_at=None,
                version=1,
            )
        ]
    close_search(group, episodes, "ASSIGNED", "OPS")

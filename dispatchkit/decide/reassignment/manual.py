"""A person takes a delivery away from its driver, or gives it to one: what that does, and when it is refused."""

from __future__ import annotations

from datetime import datetime

from dispatchkit.decide.reassignment.model import BEFORE_PICKUP, Case, Episode, Job, Offer, Params
from dispatchkit.decide.reassignment.release import closed, refused, take_away
from dispatchkit.kernel.dispatch import Driver
from dispatchkit.kernel.errors import Usage
from dispatchkit.kernel.feature import Answer, Event, Frames
from dispatchkit.kernel.group import Group, rows
from dispatchkit.kernel.search import close_search, episode_id, withdraw


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
    slot = _free_slot(frames, driver) if driver else None
    if driver and slot is None:
        return refused("DRIVER_UNAVAILABLE")
    group = Group(("delivery", delivery.id), now)
    if delivery.state in BEFORE_PICKUP:
        take_away(group, frames, delivery, event, "OPS")
    elif driver is None:
        released_before = any(case.state in ("RELEASED", "REOFFERING") for case in rows(frames["case"], Case))
        return Answer("OK_REPLAY") if released_before else refused("ILLEGAL_TRANSITION")
    else:
        withdraw(group, rows(frames["offers"], Offer), "OPS")
    if driver and slot is not None:
        _give(group, frames, delivery, driver, slot, params)
    return Answer("OK", tuple(group.changes))


def _free_slot(frames: Frames, driver: Driver) -> int | None:
    """Return the lowest free slot of a driver on duty. A person may fill the stack that the driver himself allows."""
    taken = {row["slot"] for row in frames["held"].iter_rows(named=True) if row["driver_id"] == driver.id}
    free = (slot for slot in range(1, driver.max_stack + 1) if slot not in taken)
    return next(free, None) if driver.duty == "ON_DUTY" else None


def _give(group: Group, frames: Frames, delivery: Job, driver: Driver, slot: int, params: Params) -> None:
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
    group.change("driver", driver, "driver_given", "OPS", {"timeouts": driver.timeouts})  # his version moves
    episodes = rows(frames["episode"], Episode)
    if delivery.state in BEFORE_PICKUP:
        episodes = [Episode(id=episode_id(delivery.id, delivery.episode + 1), state="OPEN", closed_at=None, version=1)]
    close_search(group, episodes, "ASSIGNED", "OPS")

"""What a driver's wish comes to (a break, a shift's end, back to work), and what operations say about him."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from dispatchkit.decide.availability.course import Course
from dispatchkit.decide.availability.model import Asking, Driver, Offer, Params
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.changes import Change
from dispatchkit.domain.contract import rows
from dispatchkit.domain.duty import Duty
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.domain.hours import worked
from dispatchkit.domain.search import end_round, withdraw
from dispatchkit.domain.states import DUTY
from dispatchkit.kernel.canonical_json import plain
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import Usage

TARGETS: Mapping[str, Mapping[str, str]] = {  # wish -> duty now -> duty wished for (semantics 2.3)
    "start-shift": dict.fromkeys(("OFF_DUTY", "ENDING_SHIFT", "FORCED_OFF"), "ON_DUTY"),
    "resume": dict.fromkeys(("ON_BREAK", "BREAK_PENDING", "ENDING_SHIFT", "FORCED_OFF"), "ON_DUTY"),
    "break": dict.fromkeys(("ON_DUTY", "BREAK_PENDING"), "ON_BREAK"),
    "end-shift": dict.fromkeys(
        ("ON_DUTY", "BREAK_PENDING", "ON_BREAK", "ENDING_SHIFT", "FORCED_OFF"), "OFF_DUTY"
    ),
    "suspend": dict.fromkeys(sorted(DUTY.states - {"SUSPENDED"}), "SUSPENDED"),
    "reinstate": {"SUSPENDED": "OFF_DUTY"},
}
WISHES = tuple(TARGETS)
GRANTED = {  # wish -> duties in which it has been granted before
    "start-shift": ("ON_DUTY",),
    "resume": ("ON_DUTY",),
    "break": ("ON_BREAK", "BREAK_PENDING"),
    "end-shift": ("OFF_DUTY", "ENDING_SHIFT"),
    "suspend": ("SUSPENDED",),
    "reinstate": ("OFF_DUTY",),
}
WHILE_BUSY = {
    "ON_BREAK": "BREAK_PENDING",
    "OFF_DUTY": "ENDING_SHIFT",
}  # first the deliveries in hand
UNAVAILABLE = "DRIVER_UNAVAILABLE"
REASONS = {
    "start-shift": "SHIFT_STARTED",
    "resume": "DRIVER_RESUMED",
    "break": "BREAK_ASKED",
    "end-shift": "END_ASKED",
    "suspend": "OPS_SUSPENDED",
    "reinstate": "OPS_REINSTATED",
}


def respond(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return what a wish comes to: OK, OK_PENDING while deliveries are in hand, OK_REPLAY, or a named refusal.

    args: `until`, the planned end of a shift that starts; `minutes` of a break, at most break_max. A driver who has
    worked drive_max may not come back before a rest of drive_reset: HOURS_CAP, with the instant in `told`.
    A break or an end that waits for deliveries comes at once when he asks again with empty hands.
    Raises Usage for an end that has passed and for a break that is too long.
    """
    rest, until = _rest(event, params), _planned_end(event, now)
    driver = next((d for d in rows(frames["drivers"], Driver) if d.id == event.driver_id), None)
    if driver is None:
        return refused("NOT_FOUND")
    held = frames["held"].filter(pl.col("driver_id") == driver.id).height
    if driver.duty in GRANTED[event.name] and (held or driver.duty not in WHILE_BUSY.values()):
        return _again(driver, event, now)
    duty = _becomes(event.name, driver.duty, held)
    if duty is None:
        return refused("ILLEGAL_TRANSITION")
    duties = [d for d in rows(frames["duties"], Duty) if d.driver_id == driver.id]
    course = Course(ChangeSet(("driver", driver.id), now), driver, duties)
    if duty == "ON_DUTY":
        run = course.hours(params.drive_reset, now)
        if worked(run) >= params.drive_max:
            return Answer(
                "HOURS_CAP", refused=True, told={"rested_at": run[-1][1] + params.drive_reset}
            )
        ahead = (
            driver.shift_end if driver.shift_end and driver.shift_end > now else None
        )  # else he works on without
        course.change_duty(duty, REASONS[event.name], now, until or ahead)
    else:
        course.change_duty(
            duty,
            REASONS[event.name],
            now,
            driver.shift_end,
            rest if event.name == "break" else None,
        )
    revoked = [] if duty == "ON_DUTY" else _revoked(frames, driver, now)
    code = "OK_PENDING" if duty in WHILE_BUSY.values() else "OK"
    return Answer(code, (*revoked, *course.group.changes))


def _again(driver: Driver, event: Event, now: datetime) -> Answer:
    """Return the answer to a wish that has been granted before. Who says that he is at work is silent no more."""
    if driver.duty != "ON_DUTY" or not driver.timeouts:
        return Answer("OK_REPLAY")
    group = ChangeSet(("driver", driver.id), now)
    group.change("driver", driver, "driver_answered", REASONS[event.name], {"timeouts": 0})
    return Answer("OK", tuple(group.changes))


def _becomes(wish: str, duty: str, held: int) -> str | None:
    """Return the duty that follows, None if the wish cannot be granted.

    So a suspended driver is not reinstated while he holds goods: others take care of them first.
    """
    wished = TARGETS[wish].get(duty)
    if wished is None or not held:
        return wished
    after = WHILE_BUSY.get(wished, wished)
    return after if DUTY.allows(duty, after) else None


def _revoked(frames: Frames, driver: Driver, now: datetime) -> list[Change]:
    """Return that the driver's pending offer is withdrawn, and that the round is over if nobody else is being asked."""
    mine = [offer for offer in rows(frames["pending"], Offer) if offer.driver_id == driver.id]
    changes: list[Change] = []
    for delivery in rows(frames["delivery"], Asking):
        group = ChangeSet(("delivery", delivery.id), now)
        withdraw(group, [offer for offer in mine if offer.delivery_id == delivery.id], UNAVAILABLE)
        others = [
            o
            for o in rows(frames["offers"], Offer)
            if o.state == "PENDING" and o.driver_id != driver.id
        ]
        if group.changes and not others and delivery.state == "OFFERING":
            end_round(group, delivery)
        changes += group.changes
    return changes


def _rest(event: Event, params: Params) -> timedelta:
    given = event.args.get("minutes")
    rest = params.break_max if given is None else timedelta(minutes=int(given))
    if not timedelta() < rest <= params.break_max:
        most = int(params.break_max.total_seconds() // 60)
        raise Usage(f"a break of {given} minutes: expected 1 to {most} (availability.break_max)")
    return rest


def _planned_end(event: Event, now: datetime) -> datetime | None:
    until = event.args.get("until")
    if until is None:
        return None
    if not isinstance(until, datetime) or until <= now:
        raise Usage(f"the planned end {plain(until)} must be an instant after {rfc3339(now)}")
    return until

"""What drivers ask for (a break, the end of a shift, back to work) and what operations decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import polars as pl

from dispatchkit.decide.availability.duty_timeline import DutyTimeline
from dispatchkit.decide.availability.model import Params
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.changes import Change
from dispatchkit.domain.codes import ActResult, ChangeReason, EventName
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.domain.hours import hours_worked
from dispatchkit.domain.rows import Delivery, Driver, DutyInterval, Offer
from dispatchkit.domain.search import end_round, withdraw
from dispatchkit.domain.states import DUTY, DutyState, OfferState
from dispatchkit.kernel.canonical_json import plain
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import Usage

_D = DutyState


def _from(*present: DutyState, to: DutyState) -> Mapping[DutyState, DutyState]:
    return dict.fromkeys(present, to)


# Request -> present duty -> requested duty. What is not listed is refused.
TARGETS: Mapping[str, Mapping[DutyState, DutyState]] = {
    "start-shift": _from(_D.OFF_DUTY, _D.ENDING_SHIFT, _D.FORCED_OFF, to=_D.ON_DUTY),
    "resume": _from(_D.ON_BREAK, _D.BREAK_PENDING, _D.ENDING_SHIFT, _D.FORCED_OFF, to=_D.ON_DUTY),
    "break": _from(_D.ON_DUTY, _D.BREAK_PENDING, to=_D.ON_BREAK),
    "end-shift": _from(
        _D.ON_DUTY, _D.BREAK_PENDING, _D.ON_BREAK, _D.ENDING_SHIFT, _D.FORCED_OFF, to=_D.OFF_DUTY
    ),
    "suspend": _from(*(duty for duty in _D if duty != _D.SUSPENDED), to=_D.SUSPENDED),
    "reinstate": _from(_D.SUSPENDED, to=_D.OFF_DUTY),
}
REQUESTS = tuple(TARGETS)
ALREADY_GRANTED = {  # request -> duties in which it has been granted before
    "start-shift": (_D.ON_DUTY,),
    "resume": (_D.ON_DUTY,),
    "break": (_D.ON_BREAK, _D.BREAK_PENDING),
    "end-shift": (_D.OFF_DUTY, _D.ENDING_SHIFT),
    "suspend": (_D.SUSPENDED,),
    "reinstate": (_D.OFF_DUTY,),
}
# With deliveries in hand, the driver first finishes them.
WHILE_BUSY = {_D.ON_BREAK: _D.BREAK_PENDING, _D.OFF_DUTY: _D.ENDING_SHIFT}
UNAVAILABLE = ChangeReason.DRIVER_UNAVAILABLE
REASONS = {
    "start-shift": ChangeReason.SHIFT_STARTED,
    "resume": ChangeReason.DRIVER_RESUMED,
    "break": ChangeReason.BREAK_ASKED,
    "end-shift": ChangeReason.END_ASKED,
    "suspend": ChangeReason.OPS_SUSPENDED,
    "reinstate": ChangeReason.OPS_REINSTATED,
}


def respond(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return the answer to a request: OK, OK_PENDING while deliveries are in hand, OK_REPLAY, or a refusal.

    Arguments of the event: `until`, the planned end of a shift that starts; `minutes` of a break, at
    most break_max. A driver who has worked drive_max may not come back before a rest of drive_reset:
    the refusal HOURS_CAP tells when that is. A break or an end of shift that waits for deliveries
    comes at once when the driver asks again with nothing in hand.

    Raises Usage for a planned end that has passed and for a break that is too long.
    """
    break_length, until = _break_length(event, params), _planned_end(event, now)
    driver = next((d for d in rows(frames["drivers"], Driver) if d.id == event.driver_id), None)
    if driver is None:
        return refused(ActResult.NOT_FOUND)

    held = frames["held"].filter(pl.col("driver_id") == driver.id).height
    waits_for_deliveries = driver.duty in WHILE_BUSY.values()
    if driver.duty in ALREADY_GRANTED[event.name] and (held or not waits_for_deliveries):
        return _repeated(driver, event, now)

    duty = _next_duty(event.name, driver.duty, held)
    if duty is None:
        return refused(ActResult.ILLEGAL_TRANSITION)

    intervals = [i for i in rows(frames["duties"], DutyInterval) if i.driver_id == driver.id]
    timeline = DutyTimeline(ChangeSet(("driver", driver.id), now), driver, intervals)
    reason = REASONS[event.name]
    if duty == DutyState.ON_DUTY:
        run = timeline.run_of_work(params.drive_reset, now)
        if hours_worked(run) >= params.drive_max:
            rested_at = run[-1][1] + params.drive_reset
            return Answer(ActResult.HOURS_CAP, refused=True, details={"rested_at": rested_at})
        # A planned end that has passed no longer counts: the driver works without one.
        still_planned = driver.shift_end if driver.shift_end and driver.shift_end > now else None
        timeline.change_duty(duty, reason, now, until or still_planned)
        return Answer(ActResult.OK, tuple(timeline.changes.changes))

    requested_break = break_length if event.name == "break" else None
    timeline.change_duty(duty, reason, now, driver.shift_end, requested_break)
    withdrawn = _withdraw_offer(frames, driver, now)
    code = ActResult.OK_PENDING if duty in WHILE_BUSY.values() else ActResult.OK
    return Answer(code, (*withdrawn, *timeline.changes.changes))


def _repeated(driver: Driver, event: Event, now: datetime) -> Answer:
    """Return the answer to a request that has been granted before.

    A driver who says that they are at work is no longer silent: the unanswered offers are forgotten.
    """
    if driver.duty != DutyState.ON_DUTY or not driver.timeouts:
        return Answer(ActResult.OK_REPLAY)
    changes = ChangeSet(("driver", driver.id), now)
    changes.update(driver, EventName.DRIVER_ANSWERED, REASONS[event.name], timeouts=0)
    return Answer(ActResult.OK, tuple(changes.changes))


def _next_duty(request: str, duty: DutyState, held: int) -> DutyState | None:
    """Return the duty that follows, None if the request cannot be granted.

    A suspended driver with goods in hand is not reinstated: others take care of the goods first.
    """
    requested = TARGETS[request].get(duty)
    if requested is None or not held:
        return requested
    after_work = WHILE_BUSY.get(requested, requested)
    return after_work if DUTY.allows(duty, after_work) else None


def _withdraw_offer(frames: Frames, driver: Driver, now: datetime) -> Iterable[Change]:
    """Return the changes that withdraw the driver's pending offer.

    The round of offers ends with it if no other driver has a pending offer of that delivery.
    """
    of_driver = [offer for offer in rows(frames["pending"], Offer) if offer.driver_id == driver.id]
    rivals = [
        offer
        for offer in rows(frames["offers"], Offer)
        if offer.state == OfferState.PENDING and offer.driver_id != driver.id
    ]
    all_changes: list[Change] = []
    for delivery in rows(frames["delivery"], Delivery):
        changes = ChangeSet(("delivery", delivery.id), now)
        of_delivery = [offer for offer in of_driver if offer.delivery_id == delivery.id]
        withdraw(changes, of_delivery, UNAVAILABLE)
        if changes.changes and not rivals and delivery.state == "OFFERING":
            end_round(changes, delivery)
        all_changes += changes.changes
    return all_changes


def _break_length(event: Event, params: Params) -> timedelta:
    minutes = event.args.get("minutes")
    length = params.break_max if minutes is None else timedelta(minutes=int(minutes))
    if not timedelta() < length <= params.break_max:
        most = int(params.break_max.total_seconds() // 60)
        raise Usage(f"a break of {minutes} minutes: expected 1 to {most} (availability.break_max)")
    return length


def _planned_end(event: Event, now: datetime) -> datetime | None:
    until = event.args.get("until")
    if until is None:
        return None
    if not isinstance(until, datetime) or until <= now:
        raise Usage(f"the planned end {plain(until)} must be an instant after {rfc3339(now)}")
    return until

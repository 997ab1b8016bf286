"""What time and finished work alone do to a driver's duty, step by step, each at its true instant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dispatchkit.decide.availability.model import FORCED_OFF_REASONS, Params, Workload
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ChangeReason, EventName
from dispatchkit.domain.duty import WORKING, begin_interval, change_duty
from dispatchkit.domain.hours import Stretch, cap_reached_at, current_run
from dispatchkit.domain.rows import Driver, DutyInterval
from dispatchkit.domain.states import DutyState

BREAK_EXPIRED = ChangeReason.BREAK_EXPIRED


@dataclass(frozen=True, slots=True)
class DutyStep:
    """A duty that is due since `at`, and why. Without a duty: a break has run out, the duty stays."""

    at: datetime
    duty: DutyState | None
    reason: str


class DutyTimeline:
    """The duties of one driver, as read and as the changes so far leave them."""

    def __init__(
        self, changes: ChangeSet, driver: Driver, intervals: Sequence[DutyInterval]
    ) -> None:
        self.changes = changes
        self.driver = driver
        self.past = [interval for interval in intervals if interval.until is not None]
        self.last = next((i for i in intervals if i.until is None), None)

    @property
    def since(self) -> datetime | None:
        """Return since when the present duty lasts, None if unknown."""
        return self.last.since if self.last else self.driver.duty_since

    @property
    def break_length(self) -> timedelta | None:
        """Return how long the break is that lasts, or that the driver asked for."""
        until = self.driver.break_until
        return until - self.since if until and self.since else None

    def run_of_work(self, rest: timedelta, now: datetime) -> list[Stretch]:
        """Return the work up to `now` that no rest of length `rest` has ended."""
        stretches = [(i.since, i.until) for i in self.past if i.duty in WORKING and i.until]
        if self.driver.duty in WORKING and self.since and self.since < now:
            stretches.append((self.since, now))
        return current_run(stretches, rest, now)

    def change_duty(
        self,
        duty: DutyState,
        reason: str,
        at: datetime,
        shift_end: datetime | None,
        break_length: timedelta | None = None,
    ) -> None:
        """Add a change of duty. Off duty there is no planned end of a shift."""
        planned_end = None if duty == DutyState.OFF_DUTY else shift_end
        interval = change_duty(
            self.changes,
            self.driver,
            self.last,
            duty,
            reason,
            at,
            shift_end=planned_end,
            break_length=break_length,
        )
        if self.last:
            self.past.append(replace(self.last, until=interval.since))
        self.last = interval
        self.driver = self.changes.latest(self.driver)

    def expire_break(self, at: datetime) -> None:
        """Add that a break ran out at `at`.

        The interval keeps it as its reason, so that the event is emitted once.
        """
        since = self.since or at
        payload = {
            "driverId": self.driver.id,
            "breakDuration": int((at - since).total_seconds()),
            "at": at,
        }
        if self.last is None:
            self.last = begin_interval(
                self.changes,
                self.driver.id,
                DutyState.ON_BREAK,
                BREAK_EXPIRED,
                since,
                self.driver.shift_end,
                EventName.BREAK_EXPIRED,
                payload,
            )
            return
        self.last = self.changes.update(
            self.last, EventName.BREAK_EXPIRED, BREAK_EXPIRED, payload=payload, reason=BREAK_EXPIRED
        )


def apply_due_steps(
    timeline: DutyTimeline, workload: Workload, params: Params, now: datetime
) -> None:
    """Add every step that is due by `now`, the earliest first.

    So after an outage the history is the same as without it. If no row says when the driver finished
    the last delivery, `now` is used: goods were handed over in a rescue, a delivery that operations
    had assigned was cancelled, or it was longer ago than LOOK_BACK.
    """
    while step := _next_step(timeline, workload, params, now):
        if step.duty is None:
            timeline.expire_break(step.at)
            continue
        break_length = None
        if step.duty == DutyState.ON_BREAK:
            break_length = timeline.break_length or params.break_max
        timeline.change_duty(
            step.duty, step.reason, step.at, timeline.driver.shift_end, break_length
        )


def _next_step(
    timeline: DutyTimeline, workload: Workload, params: Params, now: datetime
) -> DutyStep | None:
    steps_of = STEPS.get(timeline.driver.duty)
    if steps_of is None:
        return None
    due = [step for step in steps_of(timeline, workload, params, now) if step.at <= now]
    return min(due, key=lambda step: step.at, default=None)


def _on_duty(
    timeline: DutyTimeline, workload: Workload, params: Params, now: datetime
) -> Iterator[DutyStep]:
    # A driver with a pending offer stays until it has ended: the next run sees whether it was taken.
    if workload.has_offer:
        return
    if timeline.driver.timeouts >= params.timeouts_to_offline:
        yield _leave(workload, now, DutyState.FORCED_OFF, ChangeReason.TIMEOUTS)
    cap_at = cap_reached_at(timeline.run_of_work(params.drive_reset, now), params.drive_max)
    if cap_at:
        yield _leave(workload, cap_at, DutyState.FORCED_OFF, ChangeReason.HOURS_CAP)
    yield from _shift_over(timeline, workload)


def _break_pending(
    timeline: DutyTimeline, workload: Workload, params: Params, now: datetime
) -> Iterator[DutyStep]:
    yield from _shift_over(timeline, workload)
    if not workload.held:
        yield DutyStep(
            _finished_at(timeline, workload, now), DutyState.ON_BREAK, ChangeReason.WORK_DONE
        )


def _on_break(
    timeline: DutyTimeline, workload: Workload, params: Params, now: datetime
) -> Iterator[DutyStep]:
    yield from _shift_over(timeline, workload)
    if timeline.since is None:
        return
    ends = timeline.since + (timeline.break_length or params.break_max)
    if timeline.last is None or timeline.last.reason != BREAK_EXPIRED:
        yield DutyStep(ends, None, BREAK_EXPIRED)
    elif params.break_on_expiry == "resume":
        yield DutyStep(ends, DutyState.ON_DUTY, BREAK_EXPIRED)
    else:
        yield _leave(workload, ends + params.break_grace, DutyState.OFF_DUTY, BREAK_EXPIRED)


def _ending_shift(
    timeline: DutyTimeline, workload: Workload, params: Params, now: datetime
) -> Iterator[DutyStep]:
    if workload.held:
        return
    at = _finished_at(timeline, workload, now)
    reason = timeline.last.reason if timeline.last else None
    shift_end = timeline.driver.shift_end
    shift_is_over = shift_end is not None and shift_end <= at
    if reason in FORCED_OFF_REASONS and not shift_is_over:
        yield DutyStep(at, DutyState.FORCED_OFF, str(reason))
    else:
        yield DutyStep(at, DutyState.OFF_DUTY, ChangeReason.WORK_DONE)


def _forced_off(
    timeline: DutyTimeline, workload: Workload, params: Params, now: datetime
) -> Iterator[DutyStep]:
    if not workload.held:
        yield from _shift_over(timeline, workload)


STEPS = {
    DutyState.ON_DUTY: _on_duty,
    DutyState.BREAK_PENDING: _break_pending,
    DutyState.ON_BREAK: _on_break,
    DutyState.ENDING_SHIFT: _ending_shift,
    DutyState.FORCED_OFF: _forced_off,
}


def _shift_over(timeline: DutyTimeline, workload: Workload) -> Iterator[DutyStep]:
    """Yield the planned end of the shift, if one is known."""
    shift_end = timeline.driver.shift_end
    if shift_end:
        at = max(shift_end, timeline.since or shift_end)
        yield _leave(workload, at, DutyState.OFF_DUTY, ChangeReason.SHIFT_OVER)


def _leave(workload: Workload, at: datetime, duty: DutyState, reason: str) -> DutyStep:
    """Return the end of work at `at`; deliveries that the driver still had then are finished first."""
    return DutyStep(at, DutyState.ENDING_SHIFT if workload.busy_at(at) else duty, reason)


def _finished_at(timeline: DutyTimeline, workload: Workload, now: datetime) -> datetime:
    """Return when the driver finished or lost the last delivery in this duty; else `now`."""
    finished, since = workload.finished_at, timeline.since
    if finished is None or (since is not None and finished < since):
        return now
    return finished

"""What time and finished work alone do to a driver's duty, step by step, each at its true instant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dispatchkit.decide.availability.model import FORCED, Driver, Hands, Params
from dispatchkit.domain.change_set import ChangeExtras, ChangeSet
from dispatchkit.domain.duty import WORKING, Duty, begin, change_duty
from dispatchkit.domain.hours import Stretch, current, reached

EXPIRED = "BREAK_EXPIRED"


@dataclass(frozen=True, slots=True)
class Step:
    """A duty that is due since `at`, and why; no duty means that a break has merely run out."""

    at: datetime
    duty: str | None
    reason: str


class Course:
    """The duties of one driver as the changes of a group leave them."""

    def __init__(self, group: ChangeSet, driver: Driver, duties: Sequence[Duty]) -> None:
        self.group, self.driver = group, driver
        self.past = [d for d in duties if d.until is not None]
        self.last = next((d for d in duties if d.until is None), None)

    @property
    def duty(self) -> str:
        return str(self.group.value("driver", self.driver, "duty"))

    @property
    def since(self) -> datetime | None:
        return self.last.since if self.last else self._instant("duty_since")

    @property
    def shift_end(self) -> datetime | None:
        return self._instant("shift_end")

    @property
    def rest(self) -> timedelta | None:
        """Return how long the break is, that lasts or is asked for."""
        until = self._instant("break_until")
        return until - self.since if until and self.since else None

    @property
    def silences(self) -> int:
        found = self.group.value("driver", self.driver, "timeouts")
        assert isinstance(found, int)
        return found

    def hours(self, rest: timedelta, now: datetime) -> list[Stretch]:
        """Return the run of work up to `now` that no rest of this length has ended."""
        stretches = [(d.since, d.until) for d in self.past if d.duty in WORKING and d.until]
        if self.duty in WORKING and self.since and self.since < now:
            stretches.append((self.since, now))
        return current(stretches, rest, now)

    def change_duty(
        self,
        duty: str,
        reason: str,
        at: datetime,
        shift_end: datetime | None,
        rest: timedelta | None = None,
    ) -> None:
        """Add a change of duty; off duty there is no planned end."""
        ends = None if duty == "OFF_DUTY" else shift_end
        new = change_duty(
            self.group, self.driver, self.last, duty, reason, at, shift_end=ends, rest=rest
        )
        if self.last:
            self.past.append(replace(self.last, until=new.since))
        self.last = new

    def run_out(self, at: datetime) -> None:
        """Add that a break ran out at `at`; the interval keeps it as its reason, so that it is said once."""
        since = self.since or at
        lasted = int((at - since).total_seconds())
        said: ChangeExtras = {
            "payload": {"driverId": self.driver.id, "breakDuration": lasted, "at": at}
        }
        if self.last is None:
            self.last = begin(
                self.group,
                self.driver.id,
                "ON_BREAK",
                EXPIRED,
                since,
                self.shift_end,
                "break_expired",
                **said,
            )
            return
        self.group.change("duty", self.last, "break_expired", EXPIRED, {"reason": EXPIRED}, **said)
        self.last = replace(self.last, reason=EXPIRED)

    def _instant(self, column: str) -> datetime | None:
        found = self.group.value("driver", self.driver, column)
        assert found is None or isinstance(found, datetime)
        return found


def follow(course: Course, hands: Hands, params: Params, now: datetime) -> None:
    """Add every step that is due by `now`, the earliest first: after an outage the history is as if there was none.

    Where no row tells when a driver's hands became empty it was `now`: he handed goods over in a rescue, or a delivery
    that operations had given him unasked was cancelled. So it is if that was longer ago than LOOK_BACK.
    """
    while step := _due(course, hands, params, now):
        if step.duty is None:
            course.run_out(step.at)
            continue
        rest = (course.rest or params.break_max) if step.duty == "ON_BREAK" else None
        course.change_duty(step.duty, step.reason, step.at, course.shift_end, rest)


def _due(course: Course, hands: Hands, params: Params, now: datetime) -> Step | None:
    steps = STEPS.get(course.duty, _none)(course, hands, params, now)
    return min((step for step in steps if step.at <= now), key=lambda step: step.at, default=None)


def _on_duty(course: Course, hands: Hands, params: Params, now: datetime) -> Iterator[Step]:
    """Who is being asked just now stays until the offer has ended: the next run sees whether he holds more."""
    if hands.asked:
        return
    if course.silences >= params.timeouts_to_offline:
        yield _leave(hands, now, "FORCED_OFF", "TIMEOUTS")
    if cap := reached(course.hours(params.drive_reset, now), params.drive_max):
        yield _leave(hands, cap, "FORCED_OFF", "HOURS_CAP")
    yield from _shift_over(course, hands)


def _break_pending(course: Course, hands: Hands, params: Params, now: datetime) -> Iterator[Step]:
    yield from _shift_over(course, hands)
    if not hands.held:
        yield Step(_freed(course, hands, now), "ON_BREAK", "WORK_DONE")


def _on_break(course: Course, hands: Hands, params: Params, now: datetime) -> Iterator[Step]:
    yield from _shift_over(course, hands)
    if course.since is None:
        return
    ends = course.since + (course.rest or params.break_max)
    if course.last is None or course.last.reason != EXPIRED:
        yield Step(ends, None, EXPIRED)
    elif params.break_on_expiry == "resume":
        yield Step(ends, "ON_DUTY", EXPIRED)
    else:
        yield _leave(hands, ends + params.break_grace, "OFF_DUTY", EXPIRED)


def _ending_shift(course: Course, hands: Hands, params: Params, now: datetime) -> Iterator[Step]:
    if hands.held:
        return
    at = _freed(course, hands, now)
    why = course.last.reason if course.last else None
    over = course.shift_end is not None and course.shift_end <= at
    yield (
        Step(at, "FORCED_OFF", str(why))
        if why in FORCED and not over
        else Step(at, "OFF_DUTY", "WORK_DONE")
    )


def _forced_off(course: Course, hands: Hands, params: Params, now: datetime) -> Iterator[Step]:
    if not hands.held:
        yield from _shift_over(course, hands)


def _none(course: Course, hands: Hands, params: Params, now: datetime) -> Iterator[Step]:
    return iter(())


STEPS = {
    "ON_DUTY": _on_duty,
    "BREAK_PENDING": _break_pending,
    "ON_BREAK": _on_break,
    "ENDING_SHIFT": _ending_shift,
    "FORCED_OFF": _forced_off,
}


def _shift_over(course: Course, hands: Hands) -> Iterator[Step]:
    """Yield the planned end of the shift, if one is known."""
    if course.shift_end:
        yield _leave(
            hands, max(course.shift_end, course.since or course.shift_end), "OFF_DUTY", "SHIFT_OVER"
        )


def _leave(hands: Hands, at: datetime, duty: str, reason: str) -> Step:
    """Return the end of work at `at`: what a driver still held then is finished first."""
    return Step(at, "ENDING_SHIFT" if hands.full_at(at) else duty, reason)


def _freed(course: Course, hands: Hands, now: datetime) -> datetime:
    """Return when the last delivery left the driver's hands; `now` where nothing tells."""
    if hands.freed_at is None or (course.since is not None and hands.freed_at < course.since):
        return now
    return hands.freed_at

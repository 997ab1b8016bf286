"""What to do about one assignment now: nothing, open or close a case, or release the delivery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dispatchkit.decide.reassignment.case_tracking import (
    close_other_cases,
    end_suspicion,
    open_case,
    release,
    step,
)
from dispatchkit.decide.reassignment.model import AssignmentView, Params
from dispatchkit.decide.reassignment.suspicion import Suspicion, distance_m
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ChangeReason, EventName, Rule
from dispatchkit.domain.dispatching import Approach, rest_until
from dispatchkit.domain.rows import Case, Driver
from dispatchkit.domain.states import CASE_SUSPECT, CaseState, CaseTrigger, DutyState
from dispatchkit.kernel.stable_random import stable_id

Verdict = dict[str, Any]


@dataclass(kw_only=True)
class ReassignmentRun:
    """State that all evaluations of one sweep run share.

    Drivers are claimed and cooled down while the run proceeds, so that no driver is counted on
    for two deliveries and no driver row is written twice.
    """

    params: Params
    now: datetime

    # By delivery id:
    approaches: Mapping[int, Sequence[Approach]]  # other drivers to the pickup, soonest first
    ready_at: Mapping[int, datetime | None]
    case_count: Mapping[int, int]  # cases so far
    released_from: Mapping[int, Sequence[int]]  # the driver of each release so far
    declined_by: Mapping[int, set[int]]  # drivers who declined it or let an offer expire

    # Filled during the run, by driver id:
    claimed: set[int] = field(default_factory=set)
    cooled_down: set[int] = field(default_factory=set)

    def best_replacement(self, delivery_id: int) -> Approach | None:
        """Return the driver who could reach the pickup soonest, or None if nobody can.

        Drivers who lost or declined this delivery are left out: the offers sweep asks them again
        only on better terms, so a release must not rely on them.
        """
        excluded = (
            self.claimed
            | set(self.released_from.get(delivery_id, ()))
            | self.declined_by.get(delivery_id, set())
        )
        ready_at = self.ready_at.get(delivery_id)
        for approach in self.approaches.get(delivery_id, ()):
            if approach.driver.id not in excluded and approach.fits_shift(ready_at, self.now):
                return approach
        return None

    def claim_replacement(self, delivery_id: int) -> None:
        """Reserve the best replacement for a delivery, so that no other release relies on them."""
        replacement = self.best_replacement(delivery_id)
        if replacement is not None:
            self.claimed.add(replacement.driver.id)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The best replacement, if any, and how much sooner they would pick up.

    time_saved is None where there is no replacement or the present driver is not expected at all.
    """

    replacement: Driver | None
    time_saved: timedelta | None

    def sufficient(self, params: Params) -> bool:
        """Return whether there is a replacement who is sooner by at least `min_gain`."""
        if self.replacement is None:
            return False
        return self.time_saved is None or self.time_saved >= params.min_gain


def compare(
    view: AssignmentView, arrives_in: timedelta | None, other: Approach | None, now: datetime
) -> Comparison:
    """Return what a handover to `other` would save against the present driver.

    Both pickups count from when the goods are ready: where everybody would wait for the merchant,
    nobody is replaced. A driver who is silent, off duty or past the shift (`arrives_in` None) is
    not expected, so anybody else is better.
    """
    if other is None:
        return Comparison(None, None)
    if arrives_in is None:
        return Comparison(other.driver, None)
    ready_at = view.delivery.ready_at
    present_pickup = max(now + arrives_in, ready_at or now)
    return Comparison(other.driver, present_pickup - other.pickup_at(ready_at, now))


def evaluate(
    run: ReassignmentRun,
    changes: ChangeSet,
    view: AssignmentView,
    suspicion: Suspicion | None,
    cases: Sequence[Case],
) -> Verdict | None:
    """Add the changes that one assignment calls for, and return the verdict.

    cases: the open ones of the delivery. None: the assignment is not under suspicion.
    """
    case = next((c for c in cases if changes.latest(c).state in CASE_SUSPECT), None)
    if suspicion is None:
        if case is not None:
            end_suspicion(changes, case, ChangeReason.PROGRESS)
        return None

    # A driver off duty gets no grace and no limit on releases: nobody would carry the delivery.
    off_duty = suspicion.trigger == CaseTrigger.DRIVER_OFFDUTY
    # A suspension is a person's decision too, and later than the assignment: it beats the lock.
    suspended = off_duty and view.driver.duty == DutyState.SUSPENDED
    lock = view.delivery.lock_until
    if lock is not None and run.now < lock and not suspended:
        if case is not None:
            step(changes, case, CaseState.ABORTED, ChangeReason.MANUAL_LOCK)
        return _verdict(view, suspicion, Rule.MANUAL_LOCK)

    releases = len(run.released_from.get(view.delivery.id, ()))
    used_up = not off_duty and releases >= run.params.max_per_delivery
    reassigned = [c for c in cases if changes.latest(c).state == CaseState.REASSIGNED]
    if case is None and used_up and not reassigned:
        return _verdict(view, suspicion, Rule.ATTEMPTS_USED_UP)
    if case is None:
        case = _open_case(run, changes, view, suspicion)
    if not off_duty and _in_grace(run, changes, case):
        return _verdict(view, suspicion, Rule.IN_GRACE)
    if used_up:
        step(changes, case, CaseState.ABORTED, ChangeReason.ATTEMPTS_USED_UP)
        for earlier in reassigned:
            step(changes, earlier, CaseState.EXHAUSTED, ChangeReason.ATTEMPTS_USED_UP)
        return _verdict(view, suspicion, Rule.ATTEMPTS_USED_UP)

    replacement = run.best_replacement(view.delivery.id)
    comparison = compare(view, suspicion.arrives_in, replacement, run.now)
    if not off_duty and not comparison.sufficient(run.params):
        reason = Rule.GAIN_TOO_SMALL if comparison.replacement else Rule.NO_OTHER_DRIVER
        return _verdict(view, suspicion, reason, comparison)
    verdict = _verdict(view, suspicion, Rule.RELEASED, comparison)
    _release(run, changes, view, case, cases, comparison, suspicion.trigger, verdict)
    return verdict


def drop_cases(changes: ChangeSet, cases: Sequence[Case]) -> None:
    """Abort the suspicions against an assignment outside the rollout, except reported breakdowns."""
    for case in cases:
        if case.trigger != CaseTrigger.VEHICLE and changes.latest(case).state in CASE_SUSPECT:
            step(changes, case, CaseState.ABORTED, ChangeReason.ROLLOUT)


def _open_case(
    run: ReassignmentRun, changes: ChangeSet, view: AssignmentView, suspicion: Suspicion
) -> Case:
    """Open a case: in grace, or confirmed at once if the driver has left."""
    delivery = view.delivery
    number = run.case_count.get(delivery.id, 0) + 1
    off_duty = suspicion.trigger == CaseTrigger.DRIVER_OFFDUTY
    return open_case(
        changes,
        delivery,
        view.driver.id,
        suspicion.trigger,
        stable_id("case", delivery.id, delivery.episode, number),
        grace=None if off_duty else run.params.grace,
        pickup_distance_m=distance_m(view),
        why=suspicion.evidence,
    )


def _in_grace(run: ReassignmentRun, changes: ChangeSet, case: Case) -> bool:
    """Return whether the driver still has time to show progress.

    A suspicion that came without a grace, from another system, gets one now.
    """
    if case.state == CaseState.SUSPECTED:
        grace_until = run.now + run.params.grace
        step(changes, case, CaseState.GRACE, case.trigger, grace_until=grace_until)
        return True
    if case.state != CaseState.GRACE or case.grace_until is None:
        return False
    return run.now < case.grace_until


def _release(
    run: ReassignmentRun,
    changes: ChangeSet,
    view: AssignmentView,
    case: Case,
    cases: Sequence[Case],
    comparison: Comparison,
    trigger: CaseTrigger,
    verdict: Verdict,
) -> None:
    """Release the delivery, close its cases and cool the driver down."""
    driver, replacement = view.driver, comparison.replacement
    if replacement is not None:
        run.claimed.add(replacement.id)
    step(changes, case, CaseState.CONFIRMED, trigger, confirmed_at=run.now)
    close_other_cases(changes, [c for c in cases if c.id != case.id], ChangeReason.RELEASED_AGAIN)
    expects = (("driver", replacement.id, replacement.version),) if replacement else ()
    release(changes, view.delivery, trigger, expects=expects, why=verdict)
    step(changes, case, CaseState.RELEASED, trigger, released_at=run.now)

    # A run writes a row once: the first release of a driver's deliveries cools them down.
    if driver.id not in run.cooled_down:
        run.cooled_down.add(driver.id)
        until = rest_until(driver, run.now + run.params.driver_cooldown)
        changes.update(
            driver,
            EventName.DRIVER_COOLED_DOWN,
            ChangeReason.DELIVERY_RELEASED,
            cooldown_until=until,
        )


def _verdict(
    view: AssignmentView,
    suspicion: Suspicion,
    verdict: str,
    comparison: Comparison = Comparison(None, None),
) -> Verdict:
    saved, replacement = comparison.time_saved, comparison.replacement
    return {
        "delivery_id": view.delivery.id,
        "driver_id": view.driver.id,
        "trigger": suspicion.trigger,
        "evidence": suspicion.evidence,
        "verdict": verdict,
        "other_driver_id": replacement.id if replacement else None,
        "time_saved_s": int(saved.total_seconds()) if saved is not None else None,
    }

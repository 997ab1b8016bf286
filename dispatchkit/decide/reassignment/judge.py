"""What to do about one assignment at this instant: nothing, raise a suspicion, drop it, or take the delivery away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dispatchkit.decide.reassignment.follow import new_case, step
from dispatchkit.decide.reassignment.gain import Gain, gain
from dispatchkit.decide.reassignment.model import Case, Params, Sight
from dispatchkit.decide.reassignment.release import a_case, close_others, release
from dispatchkit.decide.reassignment.suspicion import Suspicion, distance_m
from dispatchkit.domain.change_set import ChangeExtras, ChangeSet, Values
from dispatchkit.domain.dispatching import Approach, rest_until
from dispatchkit.domain.states import CASE_SUSPECT
from dispatchkit.kernel.stable_random import stable_id

Verdict = dict[str, Any]
AT_ONCE = "DRIVER_OFFDUTY"  # no grace, no limit of attempts: there is nobody to nudge and nobody who would carry it


@dataclass(kw_only=True)
class Bench:
    """What all judgements of one run share; who is claimed or cooled down already is noted as it happens."""

    params: Params
    now: datetime
    ways: Mapping[
        int, Sequence[Approach]
    ]  # other drivers' ways to each suspect pickup, soonest first
    ready: Mapping[int, datetime | None]  # when each one's goods are
    lost_it: Mapping[
        int, Sequence[int | None]
    ]  # of each delivery: who held it in each past case, None if not released
    refused: Mapping[int, set[int]]  # of each delivery: who said no to it, or nothing
    claimed: set[int] = field(default_factory=set)
    cooled: set[int] = field(default_factory=set)

    def released(self, delivery_id: int) -> int:
        """Return how often a delivery has been taken from a driver."""
        return sum(driver is not None for driver in self.lost_it.get(delivery_id, ()))

    def soonest(self, delivery_id: int) -> Approach | None:
        """Return the soonest driver who could take a delivery over: nobody's yet, who neither lost nor refused it.

        Offers ask such a one again only on better terms, and on that nothing can be taken from anybody.
        """
        lost = {driver for driver in self.lost_it.get(delivery_id, ()) if driver is not None}
        barred = self.claimed | lost | self.refused.get(delivery_id, set())
        ready_at = self.ready.get(delivery_id)
        ways = self.ways.get(delivery_id, ())
        return next(
            (w for w in ways if w.driver.id not in barred and w.in_shift(ready_at, self.now)), None
        )

    def claim(self, delivery_id: int) -> None:
        """Note the soonest driver who could carry a delivery as meant for it."""
        if way := self.soonest(delivery_id):
            self.claimed.add(way.driver.id)


def judge(
    bench: Bench, group: ChangeSet, sight: Sight, found: Suspicion | None, cases: Sequence[Case]
) -> Verdict | None:
    """Add what one assignment calls for to its group; return what to say about it, None if it is beyond suspicion."""
    case = next((c for c in cases if group.value("case", c, "state") in CASE_SUSPECT), None)
    if found is None:
        if case:
            step(group, case, "CLEARED" if case.state != "CONFIRMED" else "ABORTED", "PROGRESS")
        return None
    at_once, lock = found.trigger == AT_ONCE, sight.delivery.lock_until
    suspended = (
        at_once and sight.driver.duty == "SUSPENDED"
    )  # by a person too, and later than the assignment
    if lock is not None and bench.now < lock and not suspended:
        if case:
            step(group, case, "ABORTED", "MANUAL_LOCK")
        return _said(sight, found, "MANUAL_LOCK")
    used_up = not at_once and bench.released(sight.delivery.id) >= bench.params.max_per_delivery
    if (
        case is None
        and used_up
        and not any(group.value("case", c, "state") == "REASSIGNED" for c in cases)
    ):
        return _said(sight, found, "ATTEMPTS_USED_UP")
    case = case or _suspect(bench, group, sight, found)
    if not at_once and _in_grace(bench, group, case):
        return _said(sight, found, "IN_GRACE")
    if used_up:
        step(group, case, "ABORTED", "ATTEMPTS_USED_UP")
        for earlier in (c for c in cases if group.value("case", c, "state") == "REASSIGNED"):
            step(group, earlier, "EXHAUSTED", "ATTEMPTS_USED_UP")
        return _said(sight, found, "ATTEMPTS_USED_UP")
    return _compare(bench, group, sight, found, case, cases)


def drop(group: ChangeSet, cases: Sequence[Case]) -> None:
    """Add the end of a suspicion against an assignment that has left the rollout; what somebody told of it stands."""
    for case in cases:
        if case.trigger != "VEHICLE" and group.value("case", case, "state") in CASE_SUSPECT:
            step(group, case, "ABORTED", "ROLLOUT")


def _suspect(bench: Bench, group: ChangeSet, sight: Sight, found: Suspicion) -> Case:
    """Open a case: in grace, its driver nudged, or confirmed at once if there is nobody to nudge."""
    delivery = sight.delivery
    id = stable_id(
        "case", delivery.id, delivery.episode, len(bench.lost_it.get(delivery.id, ())) + 1
    )
    grace = None if found.trigger == AT_ONCE else bench.params.grace
    case = a_case(delivery, sight.driver.id, found.trigger, id, bench.now, grace)
    new_case(group, case, {"pickup_distance_m": distance_m(sight), "actor": None}, found.seen)
    return case


def _in_grace(bench: Bench, group: ChangeSet, case: Case) -> bool:
    """Return whether the driver still has time to show progress; a suspicion without a grace gets one now."""
    if case.state == "SUSPECTED":
        step(group, case, "GRACE", case.trigger, {"grace_until": bench.now + bench.params.grace})
        return True
    return case.state == "GRACE" and case.grace_until is not None and bench.now < case.grace_until


def _compare(
    bench: Bench,
    group: ChangeSet,
    sight: Sight,
    found: Suspicion,
    case: Case,
    cases: Sequence[Case],
) -> Verdict:
    """Take the delivery away if somebody else would be sooner by enough, or if its driver has left for good."""
    delivery, driver = sight.delivery, sight.driver
    won = gain(sight, found.coming_in, bench.soonest(delivery.id), bench.now)
    why = _said(sight, found, "RELEASED", won)
    if found.trigger != AT_ONCE and not won.enough(bench.params):
        return _said(
            sight, found, "NO_OTHER_DRIVER" if won.other is None else "GAIN_TOO_SMALL", won
        )
    said: ChangeExtras = {"why": why}
    if won.other:
        bench.claimed.add(won.other.id)
        said["expects"] = (("driver", won.other.id, won.other.version),)
    step(group, case, "CONFIRMED", found.trigger, {"confirmed_at": bench.now})
    close_others(group, [c for c in cases if c.id != case.id], "RELEASED_AGAIN")
    release(group, delivery, found.trigger, said)
    step(group, case, "RELEASED", found.trigger, {"released_at": bench.now})
    if (
        driver.id not in bench.cooled
    ):  # a row has one writer a run: the first of a driver's deliveries cools him down
        bench.cooled.add(driver.id)
        until = bench.now + bench.params.driver_cooldown
        rest: Values = {"cooldown_until": rest_until(driver, until)}
        group.change("driver", driver, "driver_cooled_down", "DELIVERY_RELEASED", rest)
    return why


def _said(sight: Sight, found: Suspicion, verdict: str, won: Gain | None = None) -> Verdict:
    gained = won.gained if won else None
    return {
        "delivery_id": sight.delivery.id,
        "driver_id": sight.driver.id,
        "trigger": found.trigger,
        "evidence": found.seen,
        "verdict": verdict,
        "other_driver_id": won.other.id if won and won.other else None,
        "time_saved_s": int(gained.total_seconds()) if gained is not None else None,
    }

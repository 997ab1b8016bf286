"""The availability sweep: breaks run out, shifts end, and silent or tired drivers go off duty.

A driver who left offers unanswered, or who reached the cap on hours, is taken off duty. Each step is
written with the time at which it became due, however late the sweep runs. What a driver or operations
ask for is answered in `driver_requests.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

from dispatchkit.decide.availability.driver_requests import REQUESTS, respond
from dispatchkit.decide.availability.duty_timeline import DutyTimeline, apply_due_steps
from dispatchkit.decide.availability.model import READS, Params, Workload
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.changes import Change
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Decision, Feature, Frames
from dispatchkit.domain.rows import Driver, DutyInterval
from dispatchkit.travel.interface import Travel


def decide(frames: Frames, params: Params, now: datetime, travel: Travel, seed: int) -> Decision:
    """Return what to write at `now`, grouped by driver in ascending id."""
    intervals: dict[int, list[DutyInterval]] = defaultdict(list)
    for interval in rows(frames["duties"], DutyInterval):
        intervals[interval.driver_id].append(interval)
    workloads = _workloads(frames)
    all_changes: list[Change] = []
    for driver in sorted(rows(frames["drivers"], Driver), key=lambda d: d.id):
        changes = ChangeSet(("driver", driver.id), now)
        timeline = DutyTimeline(changes, driver, intervals[driver.id])
        apply_due_steps(timeline, workloads.get(driver.id, Workload()), params, now)
        all_changes += changes.changes
    return Decision(all_changes)


def _workloads(frames: Frames) -> dict[int, Workload]:
    """Return driver id -> workload, for drivers who have or had something to do."""
    held = Counter(int(driver) for driver in frames["held"]["driver_id"])
    with_offer = {int(driver) for driver in frames["pending"]["driver_id"]}
    finished: dict[int, datetime] = {}
    for name in ("ended", "lost", "cancelled"):
        for driver, at in frames[name].select("driver_id", "at").iter_rows():
            finished[driver] = max(at, finished.get(driver, at))
    return {
        driver: Workload(
            held=held[driver],
            has_offer=driver in with_offer,
            finished_at=finished.get(driver),
        )
        for driver in sorted({*held, *with_offer, *finished})
    }


FEATURE = Feature(
    name="availability",
    flag="availability",
    sql=Path(__file__).with_name("reads.sql"),
    reads=READS,
    units={"drivers": "id"},
    params=Params,
    decide=decide,
    respond=respond,
    events=REQUESTS,
)

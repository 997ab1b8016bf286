"""The availability sweep: breaks run out, shifts end, and who was asked in vain or worked too long goes off duty.

A person's wish is answered in `wish.py`. Times are those at which a thing became true, however late the sweep.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

from dispatchkit.decide.availability.course import Course, follow
from dispatchkit.decide.availability.model import READS, Driver, Hands, Params
from dispatchkit.decide.availability.wish import WISHES, respond
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.changes import Change
from dispatchkit.domain.contract import rows
from dispatchkit.domain.duty import Duty
from dispatchkit.domain.feature import Feature, Frames
from dispatchkit.travel.interface import Travel


def decide(frames: Frames, params: Params, now: datetime, travel: Travel) -> list[Change]:
    """Return what to write at `now`, grouped by driver in ascending id."""
    duties: dict[int, list[Duty]] = defaultdict(list)
    for duty in rows(frames["duties"], Duty):
        duties[duty.driver_id].append(duty)
    hands = _hands(frames)
    changes: list[Change] = []
    for driver in sorted(rows(frames["drivers"], Driver), key=lambda d: d.id):
        group = ChangeSet(("driver", driver.id), now)
        follow(Course(group, driver, duties[driver.id]), hands.get(driver.id, Hands()), params, now)
        changes += group.changes
    return changes


def _hands(frames: Frames) -> dict[int, Hands]:
    held = Counter(int(driver) for driver in frames["held"]["driver_id"])
    asked = {int(driver) for driver in frames["pending"]["driver_id"]}
    freed: dict[int, datetime] = {}
    for name in ("ended", "lost", "cancelled"):
        for driver, at in frames[name].select("driver_id", "at").iter_rows():
            freed[driver] = max(at, freed.get(driver, at))
    return {
        driver: Hands(held=held[driver], asked=driver in asked, freed_at=freed.get(driver))
        for driver in sorted({*held, *asked, *freed})
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
    events=WISHES,
)

"""The list of stops as it is stored and sent: planned ones in order with times, then the others with reasons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatchkit.decide.routes.driver_work import DriverWork
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.routing.problem import Plan

Entry = dict[str, str | int | None]


@dataclass(frozen=True, slots=True)
class ListedStop:
    """One stop. A planned one has `eta` and `leave`, another one the reason why it could not be planned."""

    delivery: int
    kind: str
    eta: datetime | None = None
    leave: datetime | None = None
    reason: str | None = None

    @property
    def key(self) -> tuple[int, str]:
        return self.delivery, self.kind

    def entry(self) -> Entry:
        """Return the stop as it stands in JSON."""
        entry: Entry = {"delivery": self.delivery, "kind": self.kind}
        if self.eta is None or self.leave is None:
            return entry | {"eta": None, "reason": self.reason}
        return entry | {"eta": rfc3339(self.eta), "leave": rfc3339(self.leave)}


def parse(text: str) -> list[ListedStop]:
    """Return the stops of a stored plan."""

    def instant(value: str | None) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)

    return [
        ListedStop(
            e["delivery"], e["kind"], instant(e["eta"]), instant(e.get("leave")), e.get("reason")
        )
        for e in json.loads(text)
    ]


def list_stops(work: DriverWork, plan: Plan, now: datetime) -> list[ListedStop]:
    """Return every stop of a driver, also those that could not be planned."""
    planned = [
        ListedStop(
            *work.stops[v.task].key,
            now + timedelta(seconds=v.arrive),
            now + timedelta(seconds=v.leave),
        )
        for route in plan.routes
        for v in route.visits
    ]
    reasons = dict(plan.unplanned)
    unplanned = [
        ListedStop(*stop.key, reason=reasons[stop.delivery.id])
        for stop in work.stops
        if stop.delivery.id in reasons
    ]
    unplanned += [
        ListedStop(delivery, kind, reason=reason)
        for delivery, kind, reason in work.without_position
    ]
    return [*planned, *sorted(unplanned, key=lambda stop: stop.delivery)]


def differs(known: Sequence[ListedStop], new: Sequence[ListedStop], tolerance: timedelta) -> bool:
    """Return whether stops, their order or a reason changed, or any ETA moved by more than the tolerance."""
    if [(*stop.key, stop.reason) for stop in known] != [(*stop.key, stop.reason) for stop in new]:
        return True
    pairs = zip(known, new, strict=True)
    return any(a.eta and b.eta and abs(a.eta - b.eta) > tolerance for a, b in pairs)


def overdue(known: Sequence[ListedStop], tolerance: timedelta, now: datetime) -> bool:
    """Return whether the first stop should have been done more than the tolerance before `now`."""
    leave = known[0].leave if known else None
    return leave is not None and leave + tolerance < now

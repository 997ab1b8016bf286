"""The list of stops as it is stored and sent: planned ones in order with their times, then the others with reasons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatchkit.decide.routes.board import Board
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.routing.problem import Plan

Entry = dict[str, str | int | None]


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop: arriving at `eta`, done at `leave`; or, with neither, why it cannot be planned."""

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
        what: Entry = {"delivery": self.delivery, "kind": self.kind}
        if self.eta is None or self.leave is None:
            return what | {"eta": None, "reason": self.reason}
        return what | {"eta": rfc3339(self.eta), "leave": rfc3339(self.leave)}


def parse(text: str) -> list[Stop]:
    """Return the stops of a stored plan."""

    def instant(value: str | None) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)

    return [
        Stop(e["delivery"], e["kind"], instant(e["eta"]), instant(e.get("leave")), e.get("reason"))
        for e in json.loads(text)
    ]


def listed(work: Board, plan: Plan, now: datetime) -> list[Stop]:
    """Return every stop of a driver: none is dropped in silence."""
    planned = [
        Stop(
            *work.places[v.task].key,
            now + timedelta(seconds=v.arrive),
            now + timedelta(seconds=v.leave),
        )
        for route in plan.routes
        for v in route.visits
    ]
    why = dict(plan.unplanned)
    left_out = [
        Stop(*place.key, reason=why[place.held.id]) for place in work.places if place.held.id in why
    ]
    unplaced = [Stop(delivery, kind, reason=reason) for delivery, kind, reason in work.unplaced]
    return [*planned, *sorted(left_out + unplaced, key=lambda stop: stop.delivery)]


def differs(known: Sequence[Stop], new: Sequence[Stop], tolerance: timedelta) -> bool:
    """Return whether the stops are others, or in another order, or any ETA moved by more than the tolerance."""
    if [(*stop.key, stop.reason) for stop in known] != [(*stop.key, stop.reason) for stop in new]:
        return True
    pairs = zip(known, new, strict=True)
    return any(a.eta and b.eta and abs(a.eta - b.eta) > tolerance for a, b in pairs)


def overdue(known: Sequence[Stop], tolerance: timedelta, now: datetime) -> bool:
    """Return whether the first stop should have been done before `now`, by more than the tolerance."""
    leave = known[0].leave if known else None
    return leave is not None and leave + tolerance < now

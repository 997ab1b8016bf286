"""Answer one act on delivery 1 by the feature `deliveries`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dispatchkit.decide.deliveries.model import Params
from dispatchkit.decide.deliveries.policy import FEATURE
from dispatchkit.domain.feature import Answer, Event
from dispatchkit.domain.states import CHAIN, WITH_DRIVER
from tests.builders import NOW, Rows, Tables, a_delivery, minutes
from tests.unit.decide.corridor import locked

STAMPS = {
    "EN_ROUTE_PICKUP": "started_at",
    "ARRIVED_PICKUP": "arrived_pickup_at",
    "PICKED_UP": "picked_up_at",
    "ARRIVED_DROPOFF": "arrived_dropoff_at",
    "DELIVERED": "ended_at",
}


def tell(
    tables: Tables, name: str, *, driver: int | None = None, now: datetime = NOW, **args: Any
) -> Answer:
    """Return the answer to one act on delivery 1."""
    usual = {"by": "customer"} if name == "cancel" else {"reason": "TRIED"}
    event = Event(name=name, actor="test", delivery_id=1, driver_id=driver, args=usual | args)
    assert FEATURE.respond is not None
    return FEATURE.respond(locked(tables, event), event, Params(), now)


def a_job(state: str, *, driver: int = 7, **columns: Any) -> Rows:
    """Return delivery 1 in a state, with its driver and the times of the steps before, a minute
    apart.
    """
    passed = [s for s in CHAIN[1:] if state in CHAIN and CHAIN.index(s) <= CHAIN.index(state)]
    if state in ("RESCUE", "RETURNING", "RETURNED", "FAILED"):
        passed = list(CHAIN[1:4])
    times = {STAMPS[s]: NOW - minutes(8 - CHAIN.index(s)) for s in passed if s in STAMPS}
    if state in ("RETURNED", "FAILED", "CANCELLED", "UNFULFILLED"):
        times["ended_at"] = NOW - minutes(1)
    has = driver if state in WITH_DRIVER else None
    return a_delivery(1, state=state, driver=has, assigned=minutes(8), **(times | columns))

"""The offers sweep."""

from __future__ import annotations

from dispatchkit.decide.offers.model import Params
from dispatchkit.decide.offers.policy import FEATURE, decide
from dispatchkit.streets.straight import StraightLine
from tests.builders import NOW, Tables, a_delivery, a_driver, city
from tests.unit.decide.corridor import apply, gather

TRAVEL = StraightLine()


def run(tables: Tables, params: Params | None = None):
    frames = gather(FEATURE, tables, NOW)
    return decide(frames, params or Params(), NOW, TRAVEL)


def test_a_due_delivery_is_offered_to_the_driver_soonest_at_the_pickup():
    town = city(a_delivery(1), a_driver(7, at=(900, 0)), a_driver(8, at=(400, 0)))
    changes = run(town)
    assert [c.event for c in changes] == ["delivery_offering", "offer_created"]
    assert changes[1].after["driver_id"] == 8
    assert changes[1].why["runner_up"] == 7
    assert run(apply(town, changes)) == []

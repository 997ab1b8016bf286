"""Travel of free drivers to pickups: who is near enough, how soon; blocks change nothing."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from dispatchkit.domain import dispatching as dispatch
from dispatchkit.domain.dispatching import Dispatch, Free, approaches
from dispatchkit.domain.rows import Driver, Vehicle
from dispatchkit.domain.states import DutyState
from dispatchkit.travel.interface import Points, Times
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import at_place


def a_free(id: int, east: float, *, vehicle: str = "bicycle", held: int = 0) -> Free:
    driver = Driver(
        id=id,
        vehicle=Vehicle(vehicle),
        duty=DutyState.ON_DUTY,
        duty_since=None,
        break_until=None,
        shift_end=None,
        zone_id=None,
        max_stack=2,
        timeouts=0,
        cooldown_until=None,
        version=1,
    )
    return Free(driver, at_place((east, 0)), held)


class Counting(StraightLine):
    """Straight lines, but walkers arrive nowhere; `asked` records the size of each query."""

    asked: list[tuple[int, int]] = []  # noqa: RUF012 - emptied by each test

    def matrix(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        self.asked.append((len(sources), len(targets)))
        if vehicle == "walker":
            nowhere = np.full((len(sources), len(targets)), -1)
            return nowhere, nowhere
        return super().matrix(sources, targets, vehicle)


@pytest.fixture
def travel() -> Counting:
    Counting.asked.clear()
    return Counting()


FREE = [
    a_free(n, 400 * n, vehicle=("bicycle", "car")[n % 2], held=n % 3 == 0) for n in range(1, 12)
]
PICKUPS = {key: at_place((350.0 * key, 100.0)) for key in range(1, 13)}


def test_pickup_has_own_radius_soonest_first(travel):
    found = approaches(
        FREE, {1: at_place((0, 0)), 2: at_place((0, 0))}, {1: 900, 2: 1300}, Dispatch(), travel
    )
    assert sorted(way.driver.id for way in found[1]) == [1, 2]
    assert sorted(way.driver.id for way in found[2]) == [1, 2, 3]
    assert [way.cost_s for way in found[2]] == sorted(way.cost_s for way in found[2])
    assert {way.driver.id: way.cost_s - way.travel_s for way in found[2]} == {1: 0, 2: 0, 3: 360}


def test_blocks_give_same_travel_times(travel, monkeypatch):
    whole = approaches(FREE, PICKUPS, 1000, Dispatch(), travel)
    monkeypatch.setattr(dispatch, "PICKUPS_AT_ONCE", 2)
    travel.asked.clear()
    assert approaches(FREE, PICKUPS, 1000, Dispatch(), travel) == whole
    assert all(targets <= 2 for _, targets in travel.asked)
    assert max(sources for sources, _ in travel.asked) < len(FREE) / 2


def test_unreachable_driver_is_left_out(travel):
    found = approaches(
        [a_free(1, 0, vehicle="walker"), a_free(2, 500)],
        {1: at_place((0, 0))},
        900,
        Dispatch(),
        travel,
    )
    assert [way.driver.id for way in found[1]] == [2]

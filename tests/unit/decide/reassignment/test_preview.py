"""What a person is shown before taking a delivery from its driver."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dispatchkit.decide.reassignment.model import Params
from dispatchkit.decide.reassignment.policy import FEATURE
from dispatchkit.domain.feature import Event
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import NOW, Tables, a_case, a_delivery, a_driver, at_place, minutes, tables
from tests.unit.decide.corridor import gather

TRAVEL = StraightLine()


def foreseen(tables: Tables, *, to: int | None = None) -> dict[str, Any]:
    preview = FEATURE.previews["reassign"]
    frames = gather(replace(FEATURE, reads=preview.reads), tables, NOW)
    event = Event(
        name="reassign",
        actor="ops",
        delivery_id=1,
        driver_id=to,
        args={"to": to, "reason": "TRIED"},
    )
    return dict(preview.look(frames, event, Params(), NOW, TRAVEL))


def seconds_between(frm: tuple[int, int], to: tuple[int, int]) -> int:
    """Return the way of a bicycle between two places on the square's axis, by the same engine."""
    return int(TRAVEL.pairs([at_place(frm)], [at_place(to)], "bicycle")[0][0])


FAR, NEAR, DOOR = (3000, 0), (600, 0), (-1500, 0)
WANTED = a_delivery(1, state="ASSIGNED", driver=7, ready_in=minutes(-5), dropoff=DOOR)


def test_preview_shows_times_slack_and_workload():
    other = a_delivery(2, state="PICKED_UP", driver=8, slot=1)
    told = foreseen(tables(WANTED, other, a_driver(7, at=FAR), a_driver(8, at=NEAR)), to=8)
    way, leg = seconds_between(NEAR, (0, 0)), seconds_between((0, 0), DOOR)
    then = told["proposed"]
    assert (then["driver_id"], then["predicted"], then["held_delivery_ids"]) == (8, False, [2])
    assert (then["pickup_at"] - NOW).total_seconds() == way + 360, "a detour for the other delivery"
    assert (then["dropoff_at"] - then["pickup_at"]).total_seconds() == leg
    assert then["slack_s"] == 25 * 60 - way - 360 - leg, (
        "promised 40 minutes after an order of 15 minutes ago"
    )
    assert (told["current"]["driver_id"], told["current"]["held_delivery_ids"]) == (7, [])
    assert told["pickup_earlier_s"] == seconds_between(FAR, (0, 0)) - way - 360


def test_preview_picks_soonest_eligible_driver():
    lost = a_case(1, driver=9, state="REASSIGNED", released_at=NOW - minutes(9), new_driver_id=7)
    near = a_driver(9, at=(100, 0))
    resting = a_driver(10, at=(200, 0), cooldown_until=NOW + minutes(1))
    told = foreseen(tables(WANTED, lost, near, resting, a_driver(7, at=FAR), a_driver(8, at=NEAR)))
    assert (told["proposed"]["driver_id"], told["proposed"]["predicted"]) == (8, True)


def test_preview_excludes_shift_ending_before_ready():
    soon = a_delivery(1, state="ASSIGNED", driver=7, ready_in=minutes(30), dropoff=DOOR)
    leaving, staying = (
        a_driver(8, at=NEAR, shift_end=NOW + minutes(29)),
        a_driver(9, at=FAR, shift_end=NOW + minutes(30)),
    )
    assert (
        foreseen(tables(soon, a_driver(7, at=FAR), leaving, staying))["proposed"]["driver_id"] == 9
    )


def test_preview_waits_for_goods():
    soon = a_delivery(1, state="ASSIGNED", driver=7, ready_in=minutes(30), dropoff=DOOR)
    told = foreseen(tables(soon, a_driver(7, at=FAR), a_driver(8, at=NEAR)), to=8)
    assert told["proposed"]["pickup_at"] == told["current"]["pickup_at"] == NOW + minutes(30)
    assert told["pickup_earlier_s"] == 0


def test_driver_at_counter_is_there():
    there = a_delivery(1, state="ARRIVED_PICKUP", driver=7, ready_in=minutes(-5), dropoff=DOOR)
    assert (
        foreseen(tables(there, a_driver(7, at=(40, 0)), a_driver(8)), to=8)["current"]["pickup_at"]
        == NOW
    )


def test_preview_of_open_delivery_has_no_current_driver():
    told = foreseen(tables(a_delivery(1), a_driver(8, at=NEAR)), to=8)
    assert (told["current"], told["proposed"]["driver_id"], told["pickup_earlier_s"]) == (
        None,
        8,
        None,
    )


def test_preview_of_unseen_driver_has_no_time():
    told = foreseen(tables(WANTED, a_driver(7, at=None), a_driver(8, at=NEAR)), to=8)
    assert (told["current"]["pickup_at"], told["current"]["slack_s"], told["pickup_earlier_s"]) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize("state", ["DELIVERED", "PICKED_UP"])
def test_no_preview_after_pickup(state):
    assert foreseen(tables(a_delivery(1, state=state, driver=7), a_driver(7)), to=8) == {}


def test_preview_without_candidates_says_so():
    assert foreseen(tables(WANTED, a_driver(7, at=FAR)))["proposed"] is None

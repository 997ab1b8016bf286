"""Who holds the goods: a pickup by a driver it was taken from, and rescues."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from dispatchkit.decide.reassignment import policy as reassignment
from dispatchkit.decide.reassignment.model import Params as Reassigning
from dispatchkit.kernel.feature import Answer
from dispatchkit.streets.straight import StraightLine
from tests.builders import NOW, Row, Tables, a_case, a_delivery, a_driver, an_offer, city, minutes
from tests.unit.decide.corridor import apply, gather
from tests.unit.decide.deliveries.told import a_job, tell


def released(state: str, *others: Any, **columns: Any) -> Tables:
    """Delivery 1 was taken from driver 7 two minutes ago and is now in `state`, if assigned then to driver 8."""
    case = a_case(1, driver=7, state="REOFFERING", released_at=NOW - minutes(2))
    has = None if state in ("UNASSIGNED", "OFFERING") else 8
    return city(a_delivery(1, state=state, driver=has, episode=2), case, a_driver(8), a_driver(7, **columns), *others)


@pytest.mark.parametrize("state", ["UNASSIGNED", "OFFERING"])
def test_a_pickup_by_the_driver_it_was_taken_from_wins_while_nobody_else_is_assigned(state):
    asked = [an_offer(5, driver=8, episode=2)] if state == "OFFERING" else []
    tables = released(state, *asked)
    given = tell(tables, "pickup", driver=7)
    assert (given.code, given.refused) == ("CUSTODY_RESTORED", False)
    after = apply(tables, given.changes)
    [delivery] = after["deliveries"].rows(named=True)
    assert (delivery["state"], delivery["driver_id"], delivery["picked_up_at"]) == ("PICKED_UP", 7, NOW)
    assert after["unassigned_orders"].select("state", "closed_at").rows() == [("CUSTODY", NOW)]
    assert after["driver_offers"]["state"].to_list() == ["REVOKED"] * len(asked)
    swept = reassignment.decide(gather(reassignment.FEATURE, after, NOW), Reassigning(), NOW, StraightLine())
    assert [(c.event, c.reason) for c in swept] == [("reassignment_aborted", "CUSTODY_RESTORED")]
    assert tell(after, "pickup", driver=7) == Answer("OK_REPLAY")


BACK = {"OFF_DUTY": "ENDING_SHIFT", "FORCED_OFF": "ENDING_SHIFT", "ON_BREAK": "ON_DUTY", "SUSPENDED": "SUSPENDED"}


@pytest.mark.parametrize("duty", BACK)
def test_a_driver_who_turns_out_to_hold_goods_is_back_on_duty_with_his_history(duty):
    interval = {"id": 1, "driver_id": 7, "duty": duty, "since": NOW - minutes(3), "version": 1}
    tables = released("UNASSIGNED", [Row("driver_availability_history", interval)], duty=duty)
    after = apply(tables, tell(tables, "pickup", driver=7).changes)
    assert after["drivers"].filter(id=7)["duty"].item() == BACK[duty]
    history = after["driver_availability_history"].sort("since")
    assert history["until"].to_list()[:-1] == history["since"].to_list()[1:], "intervals meet"
    assert (history["duty"].to_list()[-1], history["until"].to_list()[-1]) == (BACK[duty], None)


@pytest.mark.parametrize("state", ["ASSIGNED", "ARRIVED_PICKUP", "PICKED_UP", "DELIVERED"])
def test_where_another_driver_has_it_nothing_changes_and_a_person_is_called_once(state):
    tables = released(state)
    given = tell(tables, "pickup", driver=7)
    assert (given.code, given.refused) == ("CUSTODY_CONFLICT", True)
    assert [c.entity for c in given.changes] == ["ticket"]
    after = apply(tables, given.changes)
    [ticket] = after["support_tickets"].rows(named=True)
    assert (ticket["level"], ticket["cause"], ticket["episode"], ticket["due_at"]) == (2, "CUSTODY_CONFLICT", 2, NOW)
    assert tell(after, "pickup", driver=7) == Answer("CUSTODY_CONFLICT", (), refused=True)
    closed = after["support_tickets"].with_columns(state=pl.lit("CLOSED"))
    assert tell(after | {"support_tickets": closed}, "pickup", driver=7).changes == (), "nor after it was closed"


def test_goods_that_fit_into_no_slot_of_their_holder_call_a_person():
    busy = [*a_delivery(2, state="PICKED_UP", driver=7, slot=1)]
    given = tell(released("UNASSIGNED", busy, max_stack=1), "pickup", driver=7)
    assert (given.code, [c.entity for c in given.changes]) == ("CUSTODY_CONFLICT", ["ticket"])


def test_who_never_had_it_learns_nothing():
    assert tell(released("UNASSIGNED"), "pickup", driver=8) == Answer("NOT_FOUND", (), refused=True)
    doubted = city(a_delivery(1), a_case(1, driver=7, state="CLEARED"), a_driver(7))
    assert tell(doubted, "pickup", driver=7).code == "NOT_FOUND", "a suspicion is no release"


@pytest.mark.parametrize("act", ["start", "arrive-pickup", "pickup"])
def test_who_had_accepted_a_delivery_that_was_cancelled_meanwhile_is_told_so(act):
    tables = city(a_job("CANCELLED", episode=2), an_offer(5, driver=7, state="ACCEPTED"), a_driver(7), a_driver(8))
    assert tell(tables, act, driver=7) == Answer("DELIVERY_CANCELLED", (), refused=True)
    assert tell(tables, act, driver=8) == Answer("NOT_FOUND", (), refused=True)


def rescued(**driver: Any) -> Tables:
    accepted = an_offer(5, driver=7, state="ACCEPTED")
    return city(a_job("RESCUE", arrived_dropoff_at=NOW - minutes(2)), accepted, a_driver(7), a_driver(8, **driver))


def test_rescued_goods_change_hands_and_the_first_drivers_slot_is_free():
    tables = rescued()
    after = apply(tables, tell(tables, "handover", driver=8).changes)
    [delivery] = after["deliveries"].rows(named=True)
    assert (delivery["state"], delivery["driver_id"], delivery["slot"]) == ("PICKED_UP", 8, 1)
    assert (delivery["picked_up_at"], delivery["arrived_dropoff_at"]) == (NOW - minutes(5), None)
    assert after["drivers"]["version"].to_list() == [1, 2], (
        "who is given work moves on, so that a sweep's view is stale"
    )
    assert tell(after, "deliver", driver=7).code == "NOT_FOUND"
    assert tell(after, "deliver", driver=8).code == "OK"


def test_a_rescue_may_be_called_off_by_handing_the_goods_to_the_driver_who_has_them():
    tables = rescued()
    after = apply(tables, tell(tables, "handover", driver=7).changes)
    assert after["deliveries"].select("state", "driver_id", "episode").rows() == [("PICKED_UP", 7, 1)]


FULL = [*a_delivery(2, state="PICKED_UP", driver=8, slot=1)]
UNABLE = {
    "he is off duty": rescued(duty="OFF_DUTY"),
    "he rests": rescued(duty="ON_BREAK"),
    "he is suspended": rescued(duty="SUSPENDED"),
    "his hands are full": city(a_job("RESCUE"), a_driver(7), a_driver(8, max_stack=1), FULL),
}


@pytest.mark.parametrize("because", UNABLE)
def test_no_goods_are_handed_to_a_driver_when(because):
    assert tell(UNABLE[because], "handover", driver=8) == Answer("DRIVER_UNAVAILABLE", (), refused=True)

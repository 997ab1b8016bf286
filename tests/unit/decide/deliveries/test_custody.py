"""Who holds the goods: a pickup by a driver it was taken from, and rescues."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from dispatchkit.decide.reassignment import policy as reassignment
from dispatchkit.decide.reassignment.model import Params as Reassigning
from dispatchkit.domain.feature import Answer
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import NOW, Row, Tables, a_case, a_delivery, a_driver, an_offer, minutes, tables
from tests.unit.decide.corridor import apply, gather
from tests.unit.decide.deliveries.delivery_act import a_job, tell


def released(state: str, *others: Any, **columns: Any) -> Tables:
    """Return delivery 1, released by driver 7 two minutes ago, now in `state`, maybe with driver 8."""
    case = a_case(1, driver=7, state="REOFFERING", released_at=NOW - minutes(2))
    has = None if state in ("UNASSIGNED", "OFFERING") else 8
    return tables(
        a_delivery(1, state=state, driver=has, episode=2),
        case,
        a_driver(8),
        a_driver(7, **columns),
        *others,
    )


@pytest.mark.parametrize("state", ["UNASSIGNED", "OFFERING"])
def test_pickup_by_released_driver_restores_custody(state):
    asked = [an_offer(5, driver=8, episode=2)] if state == "OFFERING" else []
    tables = released(state, *asked)
    given = tell(tables, "pickup", driver=7)
    assert (given.code, given.refused) == ("CUSTODY_RESTORED", False)
    after = apply(tables, given.changes)
    [delivery] = after["deliveries"].rows(named=True)
    assert (delivery["state"], delivery["driver_id"], delivery["picked_up_at"]) == (
        "PICKED_UP",
        7,
        NOW,
    )
    assert after["unassigned_orders"].select("state", "closed_at").rows() == [("CUSTODY", NOW)]
    assert after["driver_offers"]["state"].to_list() == ["REVOKED"] * len(asked)
    assert swept(after) == [(1, "reassignment_aborted", "CUSTODY_RESTORED")]
    assert tell(after, "pickup", driver=7) == Answer("OK_REPLAY")


BACK = {
    "OFF_DUTY": "ENDING_SHIFT",
    "FORCED_OFF": "ENDING_SHIFT",
    "ON_BREAK": "ON_DUTY",
    "SUSPENDED": "SUSPENDED",
}


@pytest.mark.parametrize("duty", BACK)
def test_restored_custody_puts_driver_on_duty(duty):
    interval = {"id": 1, "driver_id": 7, "duty": duty, "since": NOW - minutes(3), "version": 1}
    tables = released("UNASSIGNED", [Row("driver_availability_history", interval)], duty=duty)
    after = apply(tables, tell(tables, "pickup", driver=7).changes)
    assert after["drivers"].filter(id=7)["duty"].item() == BACK[duty]
    history = after["driver_availability_history"].sort("since")
    assert history["until"].to_list()[:-1] == history["since"].to_list()[1:], "intervals meet"
    assert (history["duty"].to_list()[-1], history["until"].to_list()[-1]) == (BACK[duty], None)


@pytest.mark.parametrize("state", ["ASSIGNED", "ARRIVED_PICKUP", "PICKED_UP", "DELIVERED"])
def test_custody_conflict_opens_one_ticket(state):
    tables = released(state)
    given = tell(tables, "pickup", driver=7)
    assert (given.code, given.refused) == ("CUSTODY_CONFLICT", True)
    assert [c.entity for c in given.changes] == ["ticket"]
    after = apply(tables, given.changes)
    [ticket] = after["support_tickets"].rows(named=True)
    assert (ticket["level"], ticket["cause"], ticket["episode"], ticket["due_at"]) == (
        2,
        "CUSTODY_CONFLICT",
        2,
        NOW,
    )
    assert tell(after, "pickup", driver=7) == Answer("CUSTODY_CONFLICT", (), refused=True)
    closed = after["support_tickets"].with_columns(state=pl.lit("CLOSED"))
    assert tell(after | {"support_tickets": closed}, "pickup", driver=7).changes == (), (
        "nor after it was closed"
    )


def test_custody_without_slot_opens_one_ticket():
    asked = [*an_offer(5, driver=8, episode=2), *an_offer(6, driver=9, episode=2)]
    busy = [*a_delivery(2, state="PICKED_UP", driver=7, slot=1)]
    tables = released("OFFERING", asked, busy, max_stack=1)
    given = tell(tables, "pickup", driver=7)
    assert (given.code, given.refused) == ("CUSTODY_CONFLICT", True)
    after = apply(tables, given.changes)
    assert after["support_tickets"].select("level", "cause", "state").rows() == [
        (2, "CUSTODY_CONFLICT", "OPEN")
    ]
    assert (
        after["driver_offers"].select("state", "cause").rows()
        == [("REVOKED", "TAKEN_BY_OTHER")] * 2
    )
    delivery = after["deliveries"].filter(id=1).row(0, named=True)
    assert (delivery["state"], delivery["attempt"], delivery["driver_id"]) == (
        "UNASSIGNED",
        1,
        None,
    )
    assert tell(after, "pickup", driver=7) == Answer("CUSTODY_CONFLICT", (), refused=True)


def test_custody_is_restored_when_slot_frees():
    busy = [*a_delivery(2, state="PICKED_UP", driver=7, slot=1)]
    tables = released("UNASSIGNED", busy, max_stack=1)
    after = apply(tables, tell(tables, "pickup", driver=7).changes)
    brought = pl.when(pl.col("id") == 2).then(pl.lit("DELIVERED")).otherwise("state")
    after["deliveries"] = after["deliveries"].with_columns(state=brought)
    assert tell(after, "pickup", driver=7).code == "CUSTODY_RESTORED"


def test_unrelated_driver_gets_not_found():
    assert tell(released("UNASSIGNED"), "pickup", driver=8) == Answer("NOT_FOUND", (), refused=True)
    doubted = tables(a_delivery(1), a_case(1, driver=7, state="CLEARED"), a_driver(7))
    assert tell(doubted, "pickup", driver=7).code == "NOT_FOUND", "a suspicion is no release"


@pytest.mark.parametrize("act", ["start", "arrive-pickup", "pickup"])
def test_pickup_of_cancelled_delivery_is_refused(act):
    frames = tables(
        a_job("CANCELLED", episode=2),
        an_offer(5, driver=7, state="ACCEPTED"),
        a_driver(7),
        a_driver(8),
    )
    assert tell(frames, act, driver=7) == Answer("DELIVERY_CANCELLED", (), refused=True)
    assert tell(frames, act, driver=8) == Answer("NOT_FOUND", (), refused=True)


def swept(tables: Tables) -> list[tuple[int, str, str]]:
    """Return what the reassignment sweep makes of each case: its id, the event and the reason."""
    frames = gather(reassignment.FEATURE, tables, NOW)
    changes = reassignment.decide(frames, Reassigning(), NOW, StraightLine(), 0).changes
    return [(c.id, c.event, c.reason) for c in changes]


def test_restored_custody_closes_latest_case():
    first = a_case(1, driver=7, state="RELAPSED", released_at=NOW - minutes(9))
    last = a_case(2, driver=8, episode=2, state="REOFFERING", released_at=NOW - minutes(2))
    frames = tables(a_delivery(1, episode=3), first, last, a_driver(7), a_driver(8))
    given = tell(frames, "pickup", driver=7)
    assert given.code == "CUSTODY_RESTORED"
    after = apply(frames, given.changes)
    assert swept(after) == [(2, "reassignment_aborted", "CUSTODY_RESTORED")]
    brought = apply(after, tell(after, "deliver", driver=7).changes)
    assert swept(brought) == [(2, "reassignment_aborted", "CUSTODY_RESTORED")], (
        "however late the sweep"
    )


def rescued(**driver: Any) -> Tables:
    accepted = an_offer(5, driver=7, state="ACCEPTED")
    return tables(
        a_job("RESCUE", arrived_dropoff_at=NOW - minutes(2)),
        accepted,
        a_driver(7),
        a_driver(8, **driver),
    )


def test_rescue_moves_goods_and_frees_slot():
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


@pytest.mark.parametrize("seen", [True, False], ids=["seen before", "not seen before"])
def test_rescue_makes_no_reassignment_relapse(seen):
    case = a_case(
        1, driver=9, state="REASSIGNED" if seen else "REOFFERING", released_at=NOW - minutes(12)
    )
    frames = tables(a_job("RESCUE", episode=2), case, a_driver(7), a_driver(8), a_driver(9))
    carried = apply(frames, tell(frames, "handover", driver=8).changes)
    assert swept(carried) == ([] if seen else [(1, "reassignment_reassigned", "NEW_DRIVER")])
    for act, event, end in (("deliver", "succeeded", "DELIVERED"), ("fail", "exhausted", "FAILED")):
        assert swept(apply(carried, tell(carried, act, driver=8).changes))[-1] == (
            1,
            f"reassignment_{event}",
            end,
        )


def test_rescue_can_be_cancelled():
    tables = rescued()
    after = apply(tables, tell(tables, "handover", driver=7).changes)
    assert after["deliveries"].select("state", "driver_id", "episode").rows() == [
        ("PICKED_UP", 7, 1)
    ]


FULL = [*a_delivery(2, state="PICKED_UP", driver=8, slot=1)]
UNABLE = {
    "the driver is off duty": rescued(duty="OFF_DUTY"),
    "the driver rests": rescued(duty="ON_BREAK"),
    "the driver is suspended": rescued(duty="SUSPENDED"),
    "the stack of the driver is full": tables(
        a_job("RESCUE"), a_driver(7), a_driver(8, max_stack=1), FULL
    ),
}


@pytest.mark.parametrize("because", UNABLE)
def test_no_goods_are_handed_to_driver_when(because):
    assert tell(UNABLE[because], "handover", driver=8) == Answer(
        "DRIVER_UNAVAILABLE", (), refused=True
    )

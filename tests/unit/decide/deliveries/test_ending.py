"""How deliveries begin, and how they end elsewhere than at the door."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from dispatchkit.decide.deliveries.model import Params
from dispatchkit.decide.deliveries.policy import respond
from dispatchkit.decide.reassignment import policy as reassignment
from dispatchkit.decide.reassignment.model import Params as Reassigning
from dispatchkit.domain.dispatching import dispatch_at
from dispatchkit.domain.feature import Answer, Event
from dispatchkit.kernel.stable_random import stable_id
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import NOW, Tables, a_case, a_delivery, a_driver, an_offer, minutes, tables
from tests.unit.decide.corridor import apply, gather, locked
from tests.unit.decide.deliveries.delivery_act import a_job, tell


def test_cancellation_withdraws_every_offer():
    frames = tables(
        a_delivery(1, state="OFFERING"),
        an_offer(5, driver=7, mode="waves"),
        an_offer(6, driver=8, mode="waves"),
    )
    given = tell(frames, "cancel")
    after = apply(frames, given.changes)
    assert (
        after["driver_offers"].select("state", "cause").rows()
        == [("REVOKED", "DELIVERY_CANCELLED")] * 2
    )
    assert after["unassigned_orders"].select("state", "closed_at").rows() == [("CANCELLED", NOW)]
    kept = (
        after["deliveries"].select("state", "ended_while", "ended_by", "liable", "ended_at").rows()
    )
    assert kept == [("CANCELLED", "OFFERING", "customer", "customer", NOW)]


@pytest.mark.parametrize("state", ["ASSIGNED", "EN_ROUTE_PICKUP", "ARRIVED_PICKUP"])
def test_cancellation_pays_assigned_driver(state):
    frames = tables(
        a_job(state), an_offer(5, driver=7, state="ACCEPTED"), a_case(1, driver=7), a_driver(7)
    )
    given = tell(frames, "cancel", by="merchant", liable="merchant")
    after = apply(frames, given.changes)
    [delivery] = after["deliveries"].rows(named=True)
    assert (delivery["state"], delivery["driver_id"], delivery["slot"]) == ("CANCELLED", None, None)
    assert (delivery["ended_while"], delivery["ended_by"], delivery["liable"]) == (
        state,
        "merchant",
        "merchant",
    )
    [paid] = [c for c in given.changes if c.event == "cancellation_pay_due"]
    assert (paid.entity, paid.id, paid.payload["stage"]) == ("driver", 7, state)
    swept = reassignment.decide(
        gather(reassignment.FEATURE, after, NOW), Reassigning(), NOW, StraightLine(), 0
    ).changes
    assert [(c.event, c.reason) for c in swept] == [("reassignment_aborted", "DELIVERY_CANCELLED")]


def test_cancellation_after_pickup_starts_return():
    frames = tables(a_job("EN_ROUTE_DROPOFF"))
    after = apply(frames, tell(frames, "cancel").changes)
    [delivery] = after["deliveries"].rows(named=True)
    assert (delivery["state"], delivery["driver_id"], delivery["slot"]) == ("RETURNING", 7, 1)
    assert (delivery["ended_while"], delivery["ended_by"], delivery["ended_at"]) == (
        "EN_ROUTE_DROPOFF",
        "customer",
        None,
    )
    after = apply(after, tell(after, "returned", driver=7, now=NOW + minutes(9)).changes)
    [delivery] = after["deliveries"].rows(named=True)
    assert (delivery["state"], delivery["slot"], delivery["ended_at"]) == (
        "RETURNED",
        None,
        NOW + minutes(9),
    )
    assert (delivery["ended_while"], delivery["ended_by"]) == ("EN_ROUTE_DROPOFF", "customer"), (
        "said once, it stays"
    )


def test_lost_goods_fail_with_stage_and_liability():
    frames = tables(a_job("PICKED_UP"))
    given = tell(frames, "fail", driver=7, reason="SPILT", liable="driver")
    [delivery] = apply(frames, given.changes)["deliveries"].rows(named=True)
    assert given.changes[0].reason == "SPILT"
    assert (delivery["ended_while"], delivery["ended_by"], delivery["liable"]) == (
        "PICKED_UP",
        "driver",
        "driver",
    )


def test_goods_are_not_lost_before_they_were_picked_up():
    frames = tables(a_job("PICKED_UP"))
    assert tell(frames, "fail", driver=7, at=NOW - minutes(8)).code == "CLOCK_SKEW"
    [slow] = tell(frames, "fail", driver=7, at=NOW - minutes(6)).changes
    assert slow.after["ended_at"] == NOW - minutes(5), "a phone a minute behind"


def an_order(*, ready_at: datetime | None) -> Tables:
    """Return order 1, for which nobody has asked for a delivery."""
    unborn = [row for row in a_delivery(1) if row.table in ("orders", "merchants")]
    frames = tables(unborn)
    return frames | {
        "orders": frames["orders"].with_columns(ready_at=pl.lit(ready_at, pl.Datetime("us", "UTC")))
    }


def insert(tables: Tables, *, replaces: int | None = None) -> Answer:
    """Return the answer to somebody who asks for a delivery of order 1."""
    id = stable_id("delivery", 1, replaces or 0)
    event = Event(
        name="create", actor="ops", delivery_id=id, args={"order": 1, "replaces": replaces}
    )
    return respond(locked(tables, event), event, Params(), NOW)


@pytest.mark.parametrize(
    ("ready_in", "dispatched_in"),
    [(minutes(20), minutes(12)), (minutes(5), minutes(0)), (None, minutes(0))],
)
def test_search_starts_lead_before_goods_ready(ready_in, dispatched_in):
    ready: Any = None if ready_in is None else NOW + ready_in
    assert dispatch_at(ready, NOW, timedelta(minutes=8)) == NOW + dispatched_in
    tables = an_order(ready_at=ready)
    given = insert(tables)
    after = apply(tables, given.changes)
    [delivery] = after["deliveries"].rows(named=True)
    assert (given.code, delivery["state"], delivery["dispatch_at"]) == (
        "OK",
        "CREATED",
        NOW + dispatched_in,
    )
    assert insert(after) == Answer("OK_REPLAY")


@pytest.mark.parametrize("ended", ["CANCELLED", "UNFULFILLED", "FAILED", "RETURNED"])
def test_failed_delivery_is_replaced_once(ended):
    frames = tables(a_job(ended))
    assert insert(frames).code == "ILLEGAL_TRANSITION", (
        "a second delivery says which one it replaces"
    )
    after = apply(frames, insert(frames, replaces=1).changes)
    assert after["deliveries"].filter(pl.col("id") != 1)["replaces"].to_list() == [1]
    assert insert(after, replaces=1) == Answer("OK_REPLAY")


OF_ANOTHER = tables(a_job("CANCELLED"), a_delivery(2, state="FAILED", driver=7))
NONE = {
    "there is no such order": (tables(), None, "NOT_FOUND"),
    "the delivery to replace is of another order": (OF_ANOTHER, 2, "NOT_FOUND"),
    "the first is still under way": (tables(a_job("ASSIGNED")), 1, "ILLEGAL_TRANSITION"),
    "the first has arrived": (tables(a_job("DELIVERED")), 1, "ILLEGAL_TRANSITION"),
}


@pytest.mark.parametrize("because", NONE)
def test_no_delivery_is_born_when(because):
    tables, replaces, code = NONE[because]
    assert insert(tables, replaces=replaces) == Answer(code, (), refused=True)

"""A driver's steps: told late, out of order, by somebody else, or for a step that was skipped."""

from __future__ import annotations

from typing import Any

import pytest

from dispatchkit.domain.feature import Answer
from tests.builders import NOW, Tables, a_delivery, a_driver, minutes, seconds, tables
from tests.unit.decide.corridor import apply
from tests.unit.decide.deliveries.delivery_act import a_job, tell


def job(state: str, **columns: Any) -> Tables:
    return tables(a_job(state, **columns), a_driver(7), a_driver(8))


def row(tables: Tables, changes: Any) -> dict[str, Any]:
    return apply(tables, changes)["deliveries"].row(0, named=True)


def test_delivery_steps_lead_to_delivered():
    tables = job("ASSIGNED")
    for i, act in enumerate(
        ("start", "arrive-pickup", "pickup", "depart", "arrive-dropoff", "deliver")
    ):
        given = tell(tables, act, driver=7, now=NOW + minutes(i))
        assert (given.code, [c.reason for c in given.changes]) == ("OK", ["DRIVER_EVENT"])
        tables = apply(tables, given.changes)
    end = tables["deliveries"].row(0, named=True)
    assert (end["started_at"], end["picked_up_at"], end["ended_at"]) == (
        NOW,
        NOW + minutes(2),
        NOW + minutes(5),
    )
    assert (end["ended_by"], end["slot"], end["driver_id"], end["ended_while"]) == (
        "driver",
        None,
        7,
        None,
    )


def test_skipped_steps_are_implied_and_have_no_time():
    tables = job("ASSIGNED")
    given = tell(tables, "pickup", driver=7)
    assert given.changes[0].payload["implied"] == ("EN_ROUTE_PICKUP", "ARRIVED_PICKUP")
    after = row(tables, given.changes)
    assert (after["picked_up_at"], after["started_at"], after["arrived_pickup_at"]) == (
        NOW,
        None,
        None,
    )


def test_late_report_of_skipped_step_sets_time():
    tables = job("PICKED_UP", arrived_pickup_at=None)
    given = tell(tables, "arrive-pickup", driver=7, at=NOW - minutes(6))
    [change] = given.changes
    assert (given.code, change.event, dict(change.after)) == (
        "OK",
        "delivery_corrected",
        {"arrived_pickup_at": NOW - minutes(6)},
    )
    again = tell(apply(tables, given.changes), "arrive-pickup", driver=7, at=NOW - minutes(6))
    assert again == Answer("OK_REPLAY")


def test_skipped_step_may_be_reported_after_delivery():
    tables = job("DELIVERED", arrived_dropoff_at=None)
    given = tell(tables, "arrive-dropoff", driver=7, at=NOW - minutes(2.5))
    assert (given.code, given.changes[0].event) == ("OK", "delivery_corrected")


REFUSED: dict[str, tuple[Tables, str, dict[str, Any], str]] = {
    "it was before a step that is known to be earlier": (
        job("ARRIVED_PICKUP"), "pickup", {"driver": 7, "at": NOW - minutes(30)}, "CLOCK_SKEW"
    ),
    "the skipped step cannot have been then": (
        job("PICKED_UP", arrived_pickup_at=None), "arrive-pickup", {"driver": 7, "at": NOW}, "CLOCK_SKEW"
    ),
    "the departure was before the pickup": (
        job("PICKED_UP"), "depart", {"driver": 7, "at": NOW - minutes(8)}, "CLOCK_SKEW"
    ),
    "the phone's clock is far ahead": (
        job("ASSIGNED"), "start", {"driver": 7, "at": NOW + seconds(121)}, "CLOCK_SKEW"
    ),
    "the step behind is told without a time": (
        job("PICKED_UP", arrived_pickup_at=None), "arrive-pickup", {"driver": 7}, "ILLEGAL_TRANSITION"
    ),
    "another driver tells it": (job("ASSIGNED"), "start", {"driver": 8}, "NOT_FOUND"),
    "another driver says it is lost": (job("PICKED_UP"), "fail", {"driver": 8}, "NOT_FOUND"),
    "a driver tells it who never was": (job("ASSIGNED"), "pickup", {"driver": 99}, "NOT_FOUND"),
    "there is no such delivery": (tables(a_driver(7)), "start", {"driver": 7}, "NOT_FOUND"),
    "nobody has it": (tables(a_delivery(1)), "pickup", {}, "ILLEGAL_TRANSITION"),
    "the pickup would be implied": (job("ARRIVED_PICKUP"), "deliver", {"driver": 7}, "ILLEGAL_TRANSITION"),
    "the pickup would be implied, told with a time": (
        job("ASSIGNED"), "deliver", {"driver": 7, "at": NOW}, "ILLEGAL_TRANSITION"
    ),
    "the door is told, with a time, before the pickup": (
        job("ARRIVED_PICKUP"), "arrive-dropoff", {"driver": 7, "at": NOW}, "ILLEGAL_TRANSITION"
    ),
    "a rescue is under way and nobody knows when the goods were picked up": (
        job("RESCUE", picked_up_at=None), "pickup", {"driver": 7}, "ILLEGAL_TRANSITION"
    ),
}  # fmt: skip


@pytest.mark.parametrize("because", REFUSED)
def test_step_is_refused_by_name_when(because):
    tables, act, said, code = REFUSED[because]
    assert tell(tables, act, **said) == Answer(code, (), refused=True)


def test_phone_slightly_ahead_means_now():
    tables = job("ASSIGNED")
    given = tell(tables, "start", driver=7, at=NOW + seconds(120))
    assert given.changes[0].after["started_at"] == NOW


SLOW: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "a step ahead": ("start", "ASSIGNED", {"assigned_at": NOW - seconds(10)}, "started_at"),
    "a step told out of order": (
        "arrive-pickup",
        "PICKED_UP",
        {"arrived_pickup_at": None},
        "arrived_pickup_at",
    ),
}


@pytest.mark.parametrize("told", SLOW)
def test_phone_slightly_behind_means_last_step(told):
    act, state, columns, column = SLOW[told]
    tables = job(state, **columns)
    before = tables["deliveries"].row(0, named=True)
    last = before["started_at"] or before["assigned_at"]
    given = tell(tables, act, driver=7, at=last - seconds(120))
    assert given.code == "OK"
    [change] = given.changes
    assert (change.after[column], change.payload["at"]) == (last, last)
    assert tell(tables, act, driver=7, at=last - seconds(121)) == Answer(
        "CLOCK_SKEW", (), refused=True
    )


def test_operations_tell_step_in_drivers_stead():
    tables = job("ARRIVED_DROPOFF")
    given = tell(tables, "deliver")
    assert (given.changes[0].reason, row(tables, given.changes)["ended_by"]) == ("OPS", "ops")

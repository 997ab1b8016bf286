"""A driver gives a delivery back, or reports a broken vehicle."""

from __future__ import annotations

from typing import Any

import pytest

from dispatchkit.decide.offers import policy as offers
from dispatchkit.decide.offers.model import Params as Offering
from dispatchkit.decide.reassignment.model import Params
from dispatchkit.decide.reassignment.policy import FEATURE, decide
from dispatchkit.domain.feature import Answer, Event
from dispatchkit.kernel.errors import Usage
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import NOW, Tables, a_case, a_delivery, a_driver, minutes, tables
from tests.unit.decide.corridor import apply, gather, locked


def tell(
    tables: Tables,
    name: str,
    *,
    driver: int | None = 7,
    reason: str = "TOO_HEAVY",
    delivery: int = 1,
) -> Answer:
    actor = f"driver:{driver}" if driver else "ops"
    event = Event(
        name=name, actor=actor, delivery_id=delivery, driver_id=driver, args={"reason": reason}
    )
    assert FEATURE.respond is not None
    return FEATURE.respond(locked(tables, event), event, Params(), NOW)


def job(state: str = "ASSIGNED", **columns: Any) -> Tables:
    return tables(a_delivery(1, state=state, driver=7, **columns), a_driver(7), a_driver(8))


def test_returned_delivery_is_offered_immediately():
    town = job(lock_until=NOW + minutes(30))
    given = tell(town, "unassign")
    assert [c.event for c in given.changes] == [
        "reassignment_suspected", "delivery_released", "episode_opened", "reassignment_released", "driver_cooled_down",
    ]  # fmt: skip
    after = apply(town, given.changes)
    [case] = after["reassignment_cases"].rows(named=True)
    assert (case["trigger"], case["state"], case["actor"]) == (
        "DRIVER_UNASSIGN",
        "RELEASED",
        "driver:7",
    )
    assert after["drivers"].filter(id=7)["cooldown_until"].item() == NOW + minutes(15)
    asked = offers.decide(
        gather(offers.FEATURE, after, NOW), Offering(), NOW, StraightLine(), 0
    ).changes
    assert [c.after["driver_id"] for c in asked if c.entity == "offer" and c.version == 0] == [8]
    assert tell(after, "unassign") == Answer("OK_REPLAY")


AT_COUNTER: dict[str, Any] = {"state": "ARRIVED_PICKUP", "arrived_pickup_at": NOW - minutes(20)}


@pytest.mark.parametrize(
    ("columns", "trigger", "rests"),
    [
        (AT_COUNTER | {"ready_in": minutes(-15)}, "MERCHANT_WAIT", False),
        (AT_COUNTER | {"ready_in": None}, "MERCHANT_WAIT", False),
        (AT_COUNTER | {"ready_in": minutes(-14)}, "DRIVER_UNASSIGN", True),
        (
            AT_COUNTER | {"ready_in": minutes(-30), "arrived_pickup_at": NOW - minutes(5)},
            "DRIVER_UNASSIGN",
            True,
        ),
        ({"ready_in": minutes(-30)}, "DRIVER_UNASSIGN", True),
    ],
)
def test_leaving_after_long_wait_gives_no_cooldown(columns, trigger, rests):
    town = job(**columns)
    after = apply(town, tell(town, "unassign").changes)
    assert after["reassignment_cases"]["trigger"].to_list() == [trigger]
    assert (after["drivers"].filter(id=7)["cooldown_until"].item() is not None) == rests


def test_giving_back_closes_doubt_that_there_was():
    town = tables(a_delivery(1, state="ASSIGNED", driver=7), a_case(1, driver=7), a_driver(7))
    after = apply(town, tell(town, "unassign").changes)
    assert after["reassignment_cases"].filter(id=1)["state"].item() == "ABORTED"


@pytest.mark.parametrize("driver", [7, None])
def test_breakdown_report_opens_suspicion_with_grace(driver):
    town = tables(
        a_delivery(1, state="ASSIGNED", driver=7), a_case(1, driver=7), a_driver(7), a_driver(8)
    )
    given = tell(town, "breakdown", driver=driver)
    after = apply(town, given.changes)
    told = after["reassignment_cases"].filter(trigger="VEHICLE").row(0, named=True)
    assert (told["state"], told["grace_until"]) == ("GRACE", NOW + minutes(5))
    assert after["reassignment_cases"].filter(id=1)["state"].item() == "ABORTED", (
        "one suspicion at a time"
    )
    assert decide(gather(FEATURE, after, NOW), Params(), NOW, StraightLine(), 0).changes == []
    assert tell(after, "breakdown", driver=driver) == Answer("OK_REPLAY")


REFUSED: dict[str, tuple[Tables, dict[str, Any], str]] = {
    "the goods are picked up": (job("PICKED_UP"), {}, "CUSTODY_CONFLICT"),
    "the customer cancelled": (
        tables(a_delivery(1, state="CANCELLED")),
        {"driver": None},
        "DELIVERY_CANCELLED",
    ),
    "another driver has it": (job(), {"driver": 8}, "NOT_FOUND"),
    "nobody has it": (tables(a_delivery(1), a_driver(7)), {"driver": 7}, "NOT_FOUND"),
    "there is no such delivery": (job(), {"delivery": 2}, "NOT_FOUND"),
}


@pytest.mark.parametrize("act", ["unassign", "breakdown"])
@pytest.mark.parametrize("because", REFUSED)
def test_driver_report_is_refused_when(because, act):
    tables, said, code = REFUSED[because]
    if act == "unassign" and said.get("driver", 7) is None:
        code = "NOT_FOUND"  # only a driver gives back
    assert tell(tables, act, **said) == Answer(code, (), refused=True)


def test_giving_back_without_reason_is_usage_error():
    with pytest.raises(Usage, match="reason"):
        tell(job(), "unassign", reason="")

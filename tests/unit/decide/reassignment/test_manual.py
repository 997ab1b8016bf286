"""A person takes a delivery away or gives it to a driver."""

from __future__ import annotations

from typing import Any

import pytest

from dispatchkit.decide.reassignment.model import Params
from dispatchkit.decide.reassignment.policy import FEATURE, decide
from dispatchkit.domain.feature import Answer, Event
from dispatchkit.kernel.errors import BadConfig, Usage
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import NOW, Tables, a_case, a_delivery, a_driver, an_offer, minutes, tables
from tests.unit.decide.corridor import apply, gather, locked


def reassign(
    tables: Tables, *, to: int | None = None, reason: str = "VEHICLE", delivery: int = 1
) -> Answer:
    event = Event(
        name="reassign", actor="ops:1", delivery_id=delivery, args={"to": to, "reason": reason}
    )
    assert FEATURE.respond is not None
    return FEATURE.respond(locked(tables, event), event, Params(), NOW)


def held(state: str = "ASSIGNED", **columns: Any) -> Tables:
    """Delivery 1 with driver 7; driver 8 is on duty."""
    return tables(a_delivery(1, state=state, driver=7, **columns), a_driver(7), a_driver(8))


def row(tables: Tables, table: str, **where: Any) -> dict[str, Any]:
    return tables[table].filter(**where).row(0, named=True)


@pytest.mark.parametrize("state", ["ASSIGNED", "EN_ROUTE_PICKUP", "ARRIVED_PICKUP"])
def test_person_releases_delivery_before_pickup(state):
    town = held(state)
    given = reassign(town)
    assert [c.event for c in given.changes] == [
        "reassignment_suspected", "delivery_released", "episode_opened", "reassignment_released",
    ]  # fmt: skip
    after = apply(town, given.changes)
    case = row(after, "reassignment_cases")
    assert (case["trigger"], case["state"], case["actor"], case["driver_id"]) == (
        "OPS",
        "RELEASED",
        "ops:1",
        7,
    )
    assert (row(after, "deliveries")["state"], row(after, "deliveries")["priority"]) == (
        "UNASSIGNED",
        1,
    )
    assert row(after, "drivers", id=7)["cooldown_until"] is None
    assert reassign(after) == Answer("OK_REPLAY")


def test_manual_assignment_is_locked_for_hour():
    town = held()
    given = reassign(town, to=8)
    after = apply(town, given.changes)
    delivery = row(after, "deliveries")
    assert (delivery["state"], delivery["driver_id"], delivery["slot"]) == ("ASSIGNED", 8, 1)
    assert (delivery["assigned_at"], delivery["lock_until"]) == (NOW, NOW + minutes(60))
    episode = row(after, "unassigned_orders")
    assert (episode["episode"], episode["state"], episode["closed_at"]) == (2, "ASSIGNED", NOW)
    assert reassign(after, to=8) == Answer("OK_REPLAY")
    follow = decide(gather(FEATURE, after, NOW), Params(), NOW, StraightLine(), 0).changes
    assert [c.after["state"] for c in follow] == ["REOFFERING", "REASSIGNED"]
    assert follow[-1].after["new_driver_id"] == 8


def test_manual_assignment_withdraws_pending_offers():
    town = tables(a_delivery(1, state="OFFERING"), an_offer(5, driver=7), a_driver(7), a_driver(8))
    given = reassign(town, to=8)
    assert [c.event for c in given.changes] == [
        "offer_revoked",
        "delivery_assigned",
        "driver_given",
        "episode_closed",
    ]
    after = apply(town, given.changes)
    assert row(after, "driver_offers")["cause"] == "OPS"
    assert row(after, "unassigned_orders")["state"] == "ASSIGNED"


@pytest.mark.parametrize("earlier", ["REASSIGNED", "REOFFERING", "RELEASED"])
def test_manual_assignment_overrules_suspicion_and_reassignment(earlier):
    cases = [*a_case(1, driver=7, episode=2), *a_case(2, driver=9, state=earlier)]
    town = tables(a_delivery(1, state="ASSIGNED", driver=7, episode=2), cases, a_driver(7))
    after = apply(town, reassign(town).changes)
    states = {c["id"]: c["state"] for c in after["reassignment_cases"].iter_rows(named=True)}
    assert (states[1], states[2]) == ("ABORTED", "RELAPSED")


def test_manual_assignment_may_fill_stack():
    busy = [
        *a_delivery(2, state="PICKED_UP", driver=8, slot=1),
        *a_delivery(3, state="PICKED_UP", driver=8, slot=2),
    ]
    town = tables(
        a_delivery(1, state="ASSIGNED", driver=7), a_driver(7), a_driver(8, max_stack=3), busy
    )
    after = apply(town, reassign(town, to=8).changes)
    assert row(after, "deliveries", id=1)["slot"] == 3


REFUSED: dict[str, tuple[Tables, dict[str, Any], str]] = {
    "there is no such delivery": (held(), {"delivery": 2}, "NOT_FOUND"),
    "there is no such driver": (held(), {"to": 99}, "NOT_FOUND"),
    "the goods are picked up": (held("PICKED_UP"), {}, "CUSTODY_CONFLICT"),
    "the goods are on their way back": (held("RETURNING"), {"to": 8}, "CUSTODY_CONFLICT"),
    "the customer cancelled": (tables(a_delivery(1, state="CANCELLED")), {}, "DELIVERY_CANCELLED"),
    "it is over": (held("DELIVERED"), {"to": 8}, "ILLEGAL_TRANSITION"),
    "it is not due": (tables(a_delivery(1, state="SCHEDULED"), a_driver(8)), {"to": 8}, "ILLEGAL_TRANSITION"),
    "nobody has it": (tables(a_delivery(1)), {}, "ILLEGAL_TRANSITION"),
    "the driver is off duty": (
        tables(a_delivery(1, state="ASSIGNED", driver=7), a_driver(8, duty="OFF_DUTY")),
        {"to": 8},
        "DRIVER_UNAVAILABLE",
    ),
    "the driver's hands are full": (
        tables(
            a_delivery(1, state="ASSIGNED", driver=7),
            a_delivery(2, state="PICKED_UP", driver=8),
            a_driver(8, max_stack=1),
        ),
        {"to": 8},
        "DRIVER_UNAVAILABLE",
    ),
}  # fmt: skip


@pytest.mark.parametrize("because", REFUSED)
def test_reassignment_is_refused_by_name_when(because):
    tables, event, code = REFUSED[because]
    assert reassign(tables, **event) == Answer(code, (), refused=True)


def test_reassignment_without_reason_is_usage_error():
    with pytest.raises(Usage, match="reason"):
        reassign(held(), reason="")


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"lost_ping": minutes(2)}, "lost_ping.*aging"),
    ({"not_moving": minutes(20)}, "not_moving.*20"),
    ({"max_per_delivery": 0}, "max_per_delivery"),
    ({"driver_cooldown": minutes(0)}, "driver_cooldown"),
]


@pytest.mark.parametrize(("settings", "fault"), CONTRADICTIONS)
def test_settings_that_contradict_are_refused_by_name(settings, fault):
    with pytest.raises(BadConfig, match=fault):
        Params(**settings)

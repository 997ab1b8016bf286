"""The state machines allow exactly the transitions that are written here a second time."""

from __future__ import annotations

import pytest

from dispatchkit.domain import states
from dispatchkit.domain.tables import MACHINES
from dispatchkit.kernel.machine import INITIAL

DELIVERY = """
    -> CREATED
    CREATED -> SCHEDULED UNASSIGNED CANCELLED
    SCHEDULED -> UNASSIGNED CANCELLED
    UNASSIGNED -> OFFERING ASSIGNED PICKED_UP CANCELLED UNFULFILLED
    OFFERING -> UNASSIGNED ASSIGNED PICKED_UP CANCELLED UNFULFILLED
    ASSIGNED -> EN_ROUTE_PICKUP ARRIVED_PICKUP PICKED_UP EN_ROUTE_DROPOFF ARRIVED_DROPOFF DELIVERED UNASSIGNED CANCELLED
    EN_ROUTE_PICKUP -> ARRIVED_PICKUP PICKED_UP EN_ROUTE_DROPOFF ARRIVED_DROPOFF DELIVERED UNASSIGNED CANCELLED
    ARRIVED_PICKUP -> PICKED_UP EN_ROUTE_DROPOFF ARRIVED_DROPOFF DELIVERED UNASSIGNED CANCELLED
    PICKED_UP -> EN_ROUTE_DROPOFF ARRIVED_DROPOFF DELIVERED RESCUE RETURNING FAILED
    EN_ROUTE_DROPOFF -> ARRIVED_DROPOFF DELIVERED RESCUE RETURNING FAILED
    ARRIVED_DROPOFF -> DELIVERED RESCUE RETURNING FAILED
    RESCUE -> PICKED_UP RETURNING FAILED
    RETURNING -> RETURNED FAILED
"""
OFFER = """
    -> PENDING
    PENDING -> ACCEPTED DECLINED EXPIRED REVOKED UNDELIVERABLE
"""
# A break begins when the last delivery is done, so that ending a shift from it needs no
# ENDING_SHIFT.
DUTY = """
    -> OFF_DUTY ON_DUTY
    OFF_DUTY -> ON_DUTY SUSPENDED
    ON_DUTY -> ON_BREAK BREAK_PENDING OFF_DUTY ENDING_SHIFT FORCED_OFF SUSPENDED
    BREAK_PENDING -> ON_BREAK ON_DUTY OFF_DUTY ENDING_SHIFT SUSPENDED
    ON_BREAK -> ON_DUTY OFF_DUTY ENDING_SHIFT SUSPENDED
    ENDING_SHIFT -> OFF_DUTY ON_DUTY FORCED_OFF SUSPENDED
    FORCED_OFF -> ON_DUTY OFF_DUTY SUSPENDED
    SUSPENDED -> OFF_DUTY
"""
EPISODE = """
    -> OPEN
    OPEN -> ASSIGNED CANCELLED UNFULFILLED CUSTODY
"""
TICKET = """
    -> OPEN
    OPEN -> CLOSED
"""
CASE = """
    -> SUSPECTED GRACE CONFIRMED
    SUSPECTED -> GRACE CLEARED CONFIRMED ABORTED
    GRACE -> CLEARED CONFIRMED ABORTED
    CONFIRMED -> RELEASED ABORTED
    RELEASED -> REOFFERING ABORTED
    REOFFERING -> REASSIGNED EXHAUSTED ABORTED
    REASSIGNED -> SUCCEEDED RELAPSED EXHAUSTED ABORTED
"""
ROUTE = """
    -> PLANNED EMPTY
    PLANNED -> EMPTY
    EMPTY -> PLANNED
"""
ENDS = {
    "DELIVERY": "DELIVERED CANCELLED UNFULFILLED FAILED RETURNED",
    "OFFER": "ACCEPTED DECLINED EXPIRED REVOKED UNDELIVERABLE",
    "DUTY": "",
    "EPISODE": "ASSIGNED CANCELLED UNFULFILLED CUSTODY",
    "TICKET": "CLOSED",
    "CASE": "CLEARED SUCCEEDED RELAPSED EXHAUSTED ABORTED",
    "ROUTE": "",
}
EXPECTED = {
    "DELIVERY": DELIVERY,
    "OFFER": OFFER,
    "DUTY": DUTY,
    "EPISODE": EPISODE,
    "CASE": CASE,
    "TICKET": TICKET,
    "ROUTE": ROUTE,
}


def pairs(text: str) -> set[tuple[str, str]]:
    """Return (from, to) of every arrow in a table of moves."""
    lines = [line.split("->") for line in text.strip().splitlines()]
    return {(was.strip() or INITIAL, to) for was, targets in lines for to in targets.split()}


@pytest.mark.parametrize("name", EXPECTED)
def test_machine_allows_listed_moves_and_no_other(name):
    machine = getattr(states, name)
    expected = pairs(EXPECTED[name])
    words = {word for pair in expected for word in pair}
    assert {(was, to) for was in words for to in words if machine.allows(was, to)} == expected
    assert {(was, to) for _, was, to in machine.rows()} == expected


@pytest.mark.parametrize("name", EXPECTED)
def test_what_ends_stays_ended(name):
    assert getattr(states, name).terminal == set(ENDS[name].split())


def test_every_machine_is_listed_once_under_its_own_table():
    assert [getattr(states, name) for name in EXPECTED] == list(MACHINES)
    assert len({machine.table for machine in MACHINES}) == len(MACHINES)


def test_active_states_are_those_that_occupy_driver():
    words = (
        "ASSIGNED EN_ROUTE_PICKUP ARRIVED_PICKUP PICKED_UP EN_ROUTE_DROPOFF ARRIVED_DROPOFF "
        "RESCUE RETURNING"
    )
    assert set(words.split()) == states.ACTIVE
    assert states.WITH_DRIVER - states.ACTIVE == {"DELIVERED", "RETURNED", "FAILED"}
    assert not states.OPEN & states.WITH_DRIVER


def test_carried_goods_cannot_be_cancelled():
    assert not any(
        states.DELIVERY.allows(was, "CANCELLED") for was in states.CUSTODY | {"RESCUE", "RETURNING"}
    )


def test_decline_counts_only_for_four_countable_reasons():
    counted = {reason for reason, counts in states.DECLINE_REASONS.items() if counts}
    assert counted == {"TOO_FAR", "LOW_PAY", "MERCHANT_WAIT", "OTHER"}
    assert len(states.DECLINE_REASONS) == 9

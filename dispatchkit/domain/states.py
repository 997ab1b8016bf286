"""The state machines of live work, as data. The database holds the same lists; a test keeps them equal."""

from __future__ import annotations

from collections.abc import Mapping

from dispatchkit.kernel.machine import INITIAL, Machine, machine

TO_PICKUP = ("ASSIGNED", "EN_ROUTE_PICKUP", "ARRIVED_PICKUP")
_TO_DOOR = ("PICKED_UP", "EN_ROUTE_DROPOFF", "ARRIVED_DROPOFF")
CHAIN = (*TO_PICKUP, *_TO_DOOR, "DELIVERED")


def _delivery() -> Machine:
    moves: dict[str, set[str]] = {
        INITIAL: {"CREATED"},
        "CREATED": {"SCHEDULED", "UNASSIGNED", "CANCELLED"},
        "SCHEDULED": {"UNASSIGNED", "CANCELLED"},
        "UNASSIGNED": {"OFFERING", "ASSIGNED", "PICKED_UP", "CANCELLED", "UNFULFILLED"},
        "OFFERING": {"UNASSIGNED", "ASSIGNED", "PICKED_UP", "CANCELLED", "UNFULFILLED"},
        "RESCUE": {"PICKED_UP", "RETURNING", "FAILED"},
        "RETURNING": {"RETURNED", "FAILED"},
    }
    for i, state in enumerate(CHAIN[:-1]):
        moves[state] = set(CHAIN[i + 1 :])  # forward skips; a live act may not skip PICKED_UP
        moves[state] |= (
            {"UNASSIGNED", "CANCELLED"} if state in TO_PICKUP else {"RESCUE", "RETURNING", "FAILED"}
        )
    return Machine("deliveries", {was: frozenset(to) for was, to in moves.items()})


DELIVERY = _delivery()
CUSTODY = frozenset(_TO_DOOR)
HOLDS_GOODS = CUSTODY | {"RESCUE", "RETURNING"}
ACTIVE = frozenset(TO_PICKUP) | HOLDS_GOODS
AWAY = frozenset({"OFF_DUTY", "ON_BREAK", "FORCED_OFF"})  # duties in which a driver holds nothing
OPEN = frozenset({"UNASSIGNED", "OFFERING"})
WITH_DRIVER = ACTIVE | {"DELIVERED", "RETURNED", "FAILED"}

OFFER = machine(
    "driver_offers",
    {INITIAL: "PENDING", "PENDING": "ACCEPTED DECLINED EXPIRED REVOKED UNDELIVERABLE"},
)

DUTY = machine(
    "drivers",
    {
        INITIAL: "OFF_DUTY ON_DUTY",
        "OFF_DUTY": "ON_DUTY SUSPENDED",
        "ON_DUTY": "ON_BREAK BREAK_PENDING OFF_DUTY ENDING_SHIFT FORCED_OFF SUSPENDED",
        "BREAK_PENDING": "ON_BREAK ON_DUTY OFF_DUTY ENDING_SHIFT SUSPENDED",
        "ON_BREAK": "ON_DUTY OFF_DUTY ENDING_SHIFT SUSPENDED",
        "ENDING_SHIFT": "OFF_DUTY ON_DUTY FORCED_OFF SUSPENDED",
        "FORCED_OFF": "ON_DUTY OFF_DUTY SUSPENDED",
        "SUSPENDED": "OFF_DUTY",
    },
)

EPISODE = machine(
    "unassigned_orders", {INITIAL: "OPEN", "OPEN": "ASSIGNED CANCELLED UNFULFILLED CUSTODY"}
)

CASE = machine(
    "reassignment_cases",
    {
        INITIAL: "SUSPECTED GRACE CONFIRMED",
        "SUSPECTED": "GRACE CLEARED CONFIRMED ABORTED",
        "GRACE": "CLEARED CONFIRMED ABORTED",
        "CONFIRMED": "RELEASED ABORTED",
        "RELEASED": "REOFFERING ABORTED",
        "REOFFERING": "REASSIGNED EXHAUSTED ABORTED",
        "REASSIGNED": "SUCCEEDED RELAPSED EXHAUSTED ABORTED",
    },
)
CASE_OPEN = CASE.states - CASE.terminal
CASE_SUSPECT = frozenset(
    {"SUSPECTED", "GRACE", "CONFIRMED"}
)  # one of these for each delivery, and one of the rest

ROUTE = machine(
    "route_optimization_data", {INITIAL: "PLANNED EMPTY", "PLANNED": "EMPTY", "EMPTY": "PLANNED"}
)

TICKET = machine("support_tickets", {INITIAL: "OPEN", "OPEN": "CLOSED"})

MACHINES = (DELIVERY, OFFER, DUTY, EPISODE, CASE, TICKET, ROUTE)
FROZEN: Mapping[str, tuple[str, ...]] = {  # what a row keeps from its birth on, by table
    "drivers": ("id",),
    "deliveries": ("id", "order_id", "created_at"),
    "driver_offers": tuple(
        "id delivery_id driver_id episode attempt ask mode pay_cents boost_cents distance_m payload payload_sha256 "
        "sent_at expires_at hard_deadline".split()
    ),
    "driver_availability_history": ("id", "driver_id", "duty", "since", "shift_end"),
    "unassigned_orders": ("id", "delivery_id", "episode", "opened_at"),
    "reassignment_cases": ("id", "delivery_id", "driver_id", "episode", "trigger", "suspected_at"),
    "support_tickets": ("id", "delivery_id", "episode", "level", "cause", "opened_at", "due_at"),
    "route_optimization_data": ("id", "driver_id"),
}
DECLINE_REASONS = {  # countable in a driver's score?
    "TOO_FAR": True,
    "LOW_PAY": True,
    "MERCHANT_WAIT": True,
    "OTHER": True,
    "UNSAFE_AREA": False,
    "VEHICLE_UNSUITABLE": False,
    "ENDING_SHIFT": False,
    "ALREADY_STACKED": False,
    "CASH_LIMIT": False,
}

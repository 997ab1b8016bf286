"""The states of live work and the moves between them, as data.

Every vocabulary is an enum whose members say what they mean. The database holds the same moves and
the same frozen columns; a test keeps both equal.
"""

from __future__ import annotations

from typing import Self

from dispatchkit.kernel.documented_enum import DocumentedEnum
from dispatchkit.kernel.machine import INITIAL, Machine, machine


class DeliveryState(DocumentedEnum):
    """The states of a delivery, from the request to the door."""

    CREATED = "CREATED", "requested; its search for a driver has not begun"
    SCHEDULED = "SCHEDULED", "requested for later"
    UNASSIGNED = "UNASSIGNED", "seeks a driver, no offer is out"
    OFFERING = "OFFERING", "seeks a driver, at least one offer is out"
    ASSIGNED = "ASSIGNED", "a driver has it and has not set out"
    EN_ROUTE_PICKUP = "EN_ROUTE_PICKUP", "the driver is on the way to the merchant"
    ARRIVED_PICKUP = "ARRIVED_PICKUP", "the driver is at the merchant"
    PICKED_UP = "PICKED_UP", "the driver has the goods"
    EN_ROUTE_DROPOFF = "EN_ROUTE_DROPOFF", "the driver is on the way to the customer"
    ARRIVED_DROPOFF = "ARRIVED_DROPOFF", "the driver is at the customer's door"
    DELIVERED = "DELIVERED", "the goods reached the customer"
    RESCUE = (
        "RESCUE",
        "the goods are with a driver who cannot go on; another one may take them over",
    )
    RETURNING = "RETURNING", "the goods are on the way back to the merchant"
    RETURNED = "RETURNED", "the goods are back at the merchant"
    FAILED = "FAILED", "the goods reached nobody"
    CANCELLED = "CANCELLED", "called off before pickup"
    UNFULFILLED = "UNFULFILLED", "no driver was found in time"


class OfferState(DocumentedEnum):
    """The states of one offer of one delivery to one driver."""

    PENDING = "PENDING", "waits for the driver's answer"
    ACCEPTED = "ACCEPTED", "the driver took the delivery"
    DECLINED = "DECLINED", "the driver said no"
    EXPIRED = "EXPIRED", "the driver did not answer in time"
    REVOKED = "REVOKED", "withdrawn before an answer"
    UNDELIVERABLE = "UNDELIVERABLE", "its push did not reach the driver's phone"


class OfferMode(DocumentedEnum):
    """How a delivery is offered."""

    CASCADE = "cascade", "to one driver at a time"
    WAVES = "waves", "to a few drivers, and soon to a few more"
    BROADCAST = "broadcast", "to every driver within reach"
    FORCED = "forced", "to nobody: the best driver is assigned"


class DutyState(DocumentedEnum):
    """A driver's duty as it is stored; whether they are busy or free is derived."""

    OFF_DUTY = "OFF_DUTY", "not working"
    ON_DUTY = "ON_DUTY", "working"
    BREAK_PENDING = "BREAK_PENDING", "on a break as soon as the deliveries in hand are done"
    ON_BREAK = "ON_BREAK", "on a break"
    ENDING_SHIFT = "ENDING_SHIFT", "off duty as soon as the deliveries in hand are done"
    FORCED_OFF = "FORCED_OFF", "taken off duty by a rule: unanswered offers or the cap on hours"
    SUSPENDED = "SUSPENDED", "barred from work by operations"


class EpisodeState(DocumentedEnum):
    """The states of one search for a delivery's driver."""

    OPEN = "OPEN", "the delivery seeks a driver"
    ASSIGNED = "ASSIGNED", "a driver was found"
    CANCELLED = "CANCELLED", "the delivery was called off"
    UNFULFILLED = "UNFULFILLED", "the search was given up"
    CUSTODY = "CUSTODY", "a driver who had lost the delivery turned out to have its goods"


class CaseState(DocumentedEnum):
    """The states of one suspicion against an assignment."""

    SUSPECTED = "SUSPECTED", "a trigger fired"
    GRACE = "GRACE", "the driver has a while to show progress"
    CLEARED = "CLEARED", "the driver made progress"
    CONFIRMED = "CONFIRMED", "the grace ran out without progress"
    RELEASED = "RELEASED", "the delivery was taken from the driver"
    REOFFERING = "REOFFERING", "the delivery is offered to others"
    REASSIGNED = "REASSIGNED", "another driver has it"
    SUCCEEDED = "SUCCEEDED", "the other driver picked it up"
    RELAPSED = "RELAPSED", "the other driver lost it too"
    EXHAUSTED = "EXHAUSTED", "nobody else was found, or it was taken away too often"
    ABORTED = "ABORTED", "the case lost its object: picked up, cancelled, or a person decided"


class DelayCause(DocumentedEnum):
    """Why a search for a driver takes long; each search has exactly one cause."""

    MERCHANT = "MERCHANT", "the pickup is unknown, or a driver left who waited for the goods"
    STALL = "STALL", "a driver had the delivery and it was taken from them"
    NO_ACCEPTANCE = "NO_ACCEPTANCE", "drivers were asked and nobody accepted"
    NO_SUPPLY = "NO_SUPPLY", "there was nobody to ask"


class TriggerClass(DocumentedEnum):
    """What a trigger says about the driver of a case."""

    STANDSTILL = "STANDSTILL", "the driver does not work on the delivery"
    OTHER_DRIVER = "OTHER_DRIVER", "the driver leaves, cannot go on, or will be late"
    MERCHANT = "MERCHANT", "the driver waits for the merchant"
    OPERATIONS = "OPERATIONS", "a person decided"


class CaseTrigger(DocumentedEnum):
    """Why a case against an assignment was opened."""

    trigger_class: TriggerClass

    def __new__(cls, value: str, meaning: str, trigger_class: TriggerClass) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.trigger_class = trigger_class
        return member

    NO_START = "NO_START", "has not set out for the pickup", TriggerClass.STANDSTILL
    NOT_MOVING = "NOT_MOVING", "stands still on the way", TriggerClass.STANDSTILL
    WRONG_WAY = "WRONG_WAY", "moves away from the pickup", TriggerClass.STANDSTILL
    LOST_PING = "LOST_PING", "the phone is silent", TriggerClass.STANDSTILL
    ETA_BREACH = "ETA_BREACH", "comes much later than agreed", TriggerClass.OTHER_DRIVER
    SHIFT_END = "SHIFT_END", "the shift ends too soon", TriggerClass.OTHER_DRIVER
    DRIVER_OFFDUTY = "DRIVER_OFFDUTY", "is no longer on duty", TriggerClass.OTHER_DRIVER
    VEHICLE = "VEHICLE", "the vehicle is reported broken", TriggerClass.OTHER_DRIVER
    DRIVER_UNASSIGN = "DRIVER_UNASSIGN", "gave the delivery back", TriggerClass.OTHER_DRIVER
    MERCHANT_WAIT = "MERCHANT_WAIT", "waits for late goods", TriggerClass.MERCHANT
    OPS = "OPS", "operations took the delivery away", TriggerClass.OPERATIONS

    @property
    def standstill(self) -> bool:
        """Return whether the driver does not work on the delivery; else it will be late."""
        return self.trigger_class is TriggerClass.STANDSTILL

    @property
    def drivers_fault(self) -> bool:
        """Return whether a release for this counts against the driver's score."""
        return self.trigger_class in (TriggerClass.STANDSTILL, TriggerClass.OTHER_DRIVER)

    @property
    def delay_cause(self) -> DelayCause:
        """Return the cause of the search that follows a release for this."""
        at_merchant = self.trigger_class is TriggerClass.MERCHANT
        return DelayCause.MERCHANT if at_merchant else DelayCause.STALL


class TicketState(DocumentedEnum):
    """The states of a support ticket."""

    OPEN = "OPEN", "a person has to look"
    CLOSED = "CLOSED", "done"


class RouteState(DocumentedEnum):
    """The states of a driver's route plan."""

    PLANNED = "PLANNED", "stops in the order in which they are driven"
    EMPTY = "EMPTY", "nothing to drive"


class DeclineReason(DocumentedEnum):
    """Why a driver declines an offer."""

    TOO_FAR = "TOO_FAR", "the pickup or the door is too far"
    LOW_PAY = "LOW_PAY", "the pay is too low"
    MERCHANT_WAIT = "MERCHANT_WAIT", "this merchant lets drivers wait"
    OTHER = "OTHER", "another reason"
    UNSAFE_AREA = "UNSAFE_AREA", "the area is not safe"
    VEHICLE_UNSUITABLE = "VEHICLE_UNSUITABLE", "the goods do not fit the vehicle"
    ENDING_SHIFT = "ENDING_SHIFT", "the shift ends too soon"
    ALREADY_STACKED = "ALREADY_STACKED", "has enough in hand"
    CASH_LIMIT = "CASH_LIMIT", "would carry too much cash"

    @property
    def counts_in_score(self) -> bool:
        """Return whether a decline for this reason counts against the driver's acceptance score."""
        return self in (self.TOO_FAR, self.LOW_PAY, self.MERCHANT_WAIT, self.OTHER)


_D = DeliveryState
TO_PICKUP = (_D.ASSIGNED, _D.EN_ROUTE_PICKUP, _D.ARRIVED_PICKUP)
_TO_DOOR = (_D.PICKED_UP, _D.EN_ROUTE_DROPOFF, _D.ARRIVED_DROPOFF)
CHAIN = (*TO_PICKUP, *_TO_DOOR, _D.DELIVERED)  # the steps of a delivery that goes well

OPEN = frozenset({_D.UNASSIGNED, _D.OFFERING})  # seeks a driver
CUSTODY = frozenset(_TO_DOOR)  # the driver has the goods, all is well
HOLDS_GOODS = CUSTODY | {_D.RESCUE, _D.RETURNING}
ACTIVE = frozenset(TO_PICKUP) | HOLDS_GOODS  # occupies one of the driver's slots
WITH_DRIVER = ACTIVE | {_D.DELIVERED, _D.RETURNED, _D.FAILED}  # names the driver in its row

AWAY = frozenset({DutyState.OFF_DUTY, DutyState.ON_BREAK, DutyState.FORCED_OFF})  # holds nothing


def _delivery() -> Machine:
    searching = {_D.ASSIGNED, _D.PICKED_UP, _D.CANCELLED, _D.UNFULFILLED}
    moves: dict[str, set[DeliveryState]] = {
        INITIAL: {_D.CREATED},
        _D.CREATED: {_D.SCHEDULED, _D.UNASSIGNED, _D.CANCELLED},
        _D.SCHEDULED: {_D.UNASSIGNED, _D.CANCELLED},
        _D.UNASSIGNED: {_D.OFFERING, *searching},
        _D.OFFERING: {_D.UNASSIGNED, *searching},
        _D.RESCUE: {_D.PICKED_UP, _D.RETURNING, _D.FAILED},
        _D.RETURNING: {_D.RETURNED, _D.FAILED},
    }
    for i, state in enumerate(CHAIN[:-1]):
        moves[state] = set(CHAIN[i + 1 :])  # may skip forward; a live act may not skip PICKED_UP
        if state in TO_PICKUP:
            moves[state] |= {_D.UNASSIGNED, _D.CANCELLED}
        else:
            moves[state] |= {_D.RESCUE, _D.RETURNING, _D.FAILED}
    return Machine("deliveries", {state: frozenset(to) for state, to in moves.items()})


DELIVERY = _delivery()

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

# Of these and of the other open states a delivery has at most one case each.
CASE_SUSPECT = frozenset({CaseState.SUSPECTED, CaseState.GRACE, CaseState.CONFIRMED})

ROUTE = machine(
    "route_optimization_data", {INITIAL: "PLANNED EMPTY", "PLANNED": "EMPTY", "EMPTY": "PLANNED"}
)

TICKET = machine("support_tickets", {INITIAL: "OPEN", "OPEN": "CLOSED"})
DECLINE_REASONS = {reason: reason.counts_in_score for reason in DeclineReason}

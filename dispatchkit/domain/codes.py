"""The words that leave the program: events, reasons of changes, results of acts, rules.

Each word is an enum member with its meaning. Receivers of events, readers of `--json` and of the
audit trail rely on them; docs/reference/codes.md is printed from here.
"""

from __future__ import annotations

from dispatchkit.kernel.documented_enum import DocumentedEnum


class EventName(DocumentedEnum):
    """The events that leave through the outbox; each is one change of one row."""

    # deliveries
    DELIVERY_CREATED = "delivery_created", "a delivery was requested"
    DELIVERY_SCHEDULED = "delivery_scheduled", "its search for a driver begins later"
    DELIVERY_DISPATCHABLE = "delivery_dispatchable", "its search for a driver begins"
    DELIVERY_OFFERING = "delivery_offering", "offers for it are out"
    DELIVERY_UNASSIGNED = "delivery_unassigned", "a round of offers ended without a driver"
    DELIVERY_ASSIGNED = "delivery_assigned", "a driver has it"
    DELIVERY_STARTED = "delivery_started", "the driver set out for the pickup"
    DELIVERY_AT_PICKUP = "delivery_at_pickup", "the driver is at the merchant"
    DELIVERY_PICKED_UP = "delivery_picked_up", "the driver has the goods"
    DELIVERY_DEPARTED = "delivery_departed", "the driver set out for the customer"
    DELIVERY_AT_DROPOFF = "delivery_at_dropoff", "the driver is at the customer's door"
    DELIVERY_DELIVERED = "delivery_delivered", "the customer has the goods"
    DELIVERY_CORRECTED = "delivery_corrected", "a step was reported late; its time was filled in"
    DELIVERY_RELEASED = "delivery_released", "it was taken from its driver"
    DELIVERY_RESCUE_APPROVED = (
        "delivery_rescue_approved",
        "another driver may take over the goods",
    )
    DELIVERY_HANDED_OVER = "delivery_handed_over", "another driver took over the goods"
    DELIVERY_RETURNING = "delivery_returning", "the goods go back to the merchant"
    DELIVERY_RETURNED = "delivery_returned", "the merchant has the goods back"
    DELIVERY_FAILED = "delivery_failed", "the goods reached nobody"
    DELIVERY_CANCELLED = "delivery_cancelled", "it was called off"
    DELIVERY_UNFULFILLED = "delivery_unfulfilled", "the search was given up"
    CANCELLATION_PAY_DUE = "cancellation_pay_due", "the driver is paid for a cancelled delivery"
    # offers
    OFFER_CREATED = "offer_created", "a driver is asked"
    OFFER_DELIVERED = "offer_delivered", "the offer reached the driver's phone"
    OFFER_VIEWED = "offer_viewed", "the driver looked at the offer"
    OFFER_ACCEPTED = "offer_accepted", "the driver took the delivery"
    OFFER_REJECTED = "offer_rejected", "the driver declined"
    OFFER_EXPIRED = "offer_expired", "the driver did not answer in time"
    OFFER_REVOKED = "offer_revoked", "the offer was withdrawn"
    OFFER_UNDELIVERABLE = "offer_undeliverable", "the push did not reach the driver's phone"
    # drivers
    DRIVER_ANSWERED = "driver_answered", "the driver gave a sign of life or an answer"
    DRIVER_COOLED_DOWN = "driver_cooled_down", "the driver gets no offers for a while"
    DRIVER_GIVEN = "driver_given", "the driver was assigned a delivery without an offer"
    AVAILABILITY_CHANGED = "availability_changed", "the driver's duty changed"
    DUTY_ENDED = "duty_ended", "an interval of the driver's duty ended"
    BREAK_EXPIRED = "break_expired", "the driver's break is over"
    # searches and tickets
    EPISODE_OPENED = "episode_opened", "a search for a driver began"
    EPISODE_CLOSED = "episode_closed", "a search for a driver ended"
    UNASSIGNED_ORDER_ESCALATED = "unassigned_order_escalated", "a search reached the next level"
    UNASSIGNED_ORDER_REMINDER = "unassigned_order_reminder", "a search still needs a person"
    UNASSIGNED_ORDER_ACKNOWLEDGED = "unassigned_order_acknowledged", "a person looks after it"
    UNASSIGNED_ORDER_SNOOZED = "unassigned_order_snoozed", "a person asked for quiet"
    CUSTOMER_DELAY_NOTICE = "customer_delay_notice", "the customer hears that it takes longer"
    SUPPORT_TICKET_CREATED = "support_ticket_created", "a person has to look"
    SUPPORT_TICKET_CLOSED = "support_ticket_closed", "nothing is left to ask of a person"
    # cases against an assignment
    REASSIGNMENT_SUSPECTED = "reassignment_suspected", "a trigger fired against a driver"
    REASSIGNMENT_CLEARED = "reassignment_cleared", "the driver made progress"
    REASSIGNMENT_CONFIRMED = "reassignment_confirmed", "the grace ran out without progress"
    REASSIGNMENT_RELEASED = "reassignment_released", "the delivery was taken from the driver"
    REASSIGNMENT_REOFFERING = "reassignment_reoffering", "the delivery is offered to others"
    REASSIGNMENT_REASSIGNED = "reassignment_reassigned", "another driver has it"
    REASSIGNMENT_SUCCEEDED = "reassignment_succeeded", "the other driver picked it up"
    REASSIGNMENT_RELAPSED = "reassignment_relapsed", "the other driver lost it too"
    REASSIGNMENT_EXHAUSTED = "reassignment_exhausted", "nobody else was found"
    REASSIGNMENT_ABORTED = "reassignment_aborted", "the case lost its object"
    # routes
    ROUTE_PLANNED = "route_planned", "a driver's stops were planned"
    ROUTE_EMPTIED = "route_emptied", "a driver has nothing left to drive"


class ChangeReason(DocumentedEnum):
    """Why a row changed. A change may also name a decline reason, a trigger or a delay cause."""

    # searches
    ORDER = "ORDER", "the order asked for a delivery"
    SECOND_TRY = "SECOND_TRY", "it replaces a delivery that failed"
    DISPATCH_AHEAD = "DISPATCH_AHEAD", "the goods are ready later"
    DISPATCH_DUE = "DISPATCH_DUE", "the search is due"
    DRIVER_FOUND = "DRIVER_FOUND", "somebody can be asked"
    NEXT_WAVE = "NEXT_WAVE", "the next wave of offers is due"
    ROUND_OVER = "ROUND_OVER", "no offer of the round is left"
    SOONEST_AT_PICKUP = "SOONEST_AT_PICKUP", "no other driver's pickup is expected sooner"
    FORCED = "FORCED", "assigned without asking"
    LADDER_EXHAUSTED = "LADDER_EXHAUSTED", "the search stayed too long at its last level"
    # answers
    OFFER_ACCEPTED = "OFFER_ACCEPTED", "a driver accepted"
    DRIVER_ACCEPTED = "DRIVER_ACCEPTED", "the driver accepted"
    DRIVER_DECLINED = "DRIVER_DECLINED", "the driver declined"
    PUSH_RECEIPT = "PUSH_RECEIPT", "the phone confirmed the offer"
    PUSH_FAILED = "PUSH_FAILED", "the offer did not reach the phone"
    PUSH_REFUSED = "PUSH_REFUSED", "the push service refused the offer"
    NO_ACKNOWLEDGEMENT = "NO_ACKNOWLEDGEMENT", "nobody confirmed that the phone got the offer"
    HARD_DEADLINE_REACHED = "HARD_DEADLINE_REACHED", "the offer's last moment passed"
    OFFER_EXPIRED = "OFFER_EXPIRED", "the driver did not answer an offer"
    TAKEN_BY_OTHER = "TAKEN_BY_OTHER", "another driver has the delivery"
    DELIVERY_CANCELLED = "DELIVERY_CANCELLED", "the delivery was called off"
    DRIVER_UNAVAILABLE = "DRIVER_UNAVAILABLE", "the driver is no longer on duty"
    # steps of a delivery
    DRIVER_EVENT = "DRIVER_EVENT", "the driver reported it"
    OPS = "OPS", "operations decided"
    OUT_OF_ORDER = "OUT_OF_ORDER", "an earlier step was reported after a later one"
    RESCUE = "RESCUE", "the goods were handed over"
    CUSTODY_RESTORED = "CUSTODY_RESTORED", "the released driver turned out to have the goods"
    # duty
    SHIFT_STARTED = "SHIFT_STARTED", "the driver began work"
    DRIVER_RESUMED = "DRIVER_RESUMED", "the driver is back from a break"
    BREAK_ASKED = "BREAK_ASKED", "the driver asked for a break"
    BREAK_EXPIRED = "BREAK_EXPIRED", "the break is over"
    END_ASKED = "END_ASKED", "the driver asked to end the shift"
    SHIFT_OVER = "SHIFT_OVER", "the shift ended"
    WORK_DONE = "WORK_DONE", "the last delivery in hand is done"
    TIMEOUTS = "TIMEOUTS", "too many unanswered offers in a row"
    HOURS_CAP = "HOURS_CAP", "the daily hours are used up"
    OPS_SUSPENDED = "OPS_SUSPENDED", "operations barred the driver"
    OPS_REINSTATED = "OPS_REINSTATED", "operations let the driver work again"
    # cases
    PROGRESS = "PROGRESS", "the driver made progress"
    MANUAL_LOCK = "MANUAL_LOCK", "a person assigned it, so no sweep takes it away"
    ATTEMPTS_USED_UP = "ATTEMPTS_USED_UP", "it was tried as often as allowed"
    ROLLOUT = "ROLLOUT", "the delivery is no longer in the rollout"
    RELEASED_AGAIN = "RELEASED_AGAIN", "a later case released the delivery"
    DELIVERY_RELEASED = "DELIVERY_RELEASED", "a delivery was taken from the driver"
    PICKED_UP = "PICKED_UP", "the driver has the goods"
    NO_LONGER_ASSIGNED = "NO_LONGER_ASSIGNED", "the driver no longer has the delivery"
    GIVEN_BACK = "GIVEN_BACK", "the delivery is with the first driver again"
    SEARCH_RESUMED = "SEARCH_RESUMED", "the search for another driver began"
    NEW_DRIVER = "NEW_DRIVER", "another driver has the delivery"
    DELIVERED = "DELIVERED", "the customer has the goods"
    # tickets
    DRIVER_SUSPENDED = "DRIVER_SUSPENDED", "the goods are with a driver who may not work"
    NOBODY_TO_TAKE_OVER = "NOBODY_TO_TAKE_OVER", "the driver stands still and nobody else is free"
    CUSTODY_CONFLICT = "CUSTODY_CONFLICT", "two drivers report having the goods"
    RESOLVED = "RESOLVED", "there is no reason for the ticket any more"
    # routes
    FIRST_PLAN = "FIRST_PLAN", "the driver had no plan"
    WORK_CHANGED = "WORK_CHANGED", "the driver's deliveries changed"
    ORDER_IMPROVED = "ORDER_IMPROVED", "another order of the stops is better"
    TIMES_MOVED = "TIMES_MOVED", "the same order, at other times"
    WORK_ENDED = "WORK_ENDED", "nothing is left to drive"


class LadderClock(DocumentedEnum):
    """Why a search reaches a level, or ends; the reason of `unassigned_order_escalated`."""

    AGE = "AGE", "the search has lasted too long"
    SLACK = "SLACK", "too little time is left before the promise"
    ATTEMPTS = "ATTEMPTS", "too many rounds of offers ended without a driver"
    OPS = "OPS", "a person raised it"
    UNFULFILLED = "UNFULFILLED", "the search is given up"


class ActResult(DocumentedEnum):
    """The result of an act. What does not begin with OK is a refusal, exit code 3."""

    OK = "OK", "done"
    OK_LATE = "OK_LATE", "accepted in the grace period after the offer's time ran out"
    OK_PENDING = "OK_PENDING", "done as soon as the deliveries in hand are"
    OK_REPLAY = "OK_REPLAY", "this had been done before; nothing changed"
    CUSTODY_RESTORED = "CUSTODY_RESTORED", "the delivery is with this driver again"
    NOT_FOUND = "NOT_FOUND", "no such row, or it belongs to somebody else"
    ILLEGAL_TRANSITION = "ILLEGAL_TRANSITION", "its present state does not allow this"
    OFFER_EXPIRED = "OFFER_EXPIRED", "the offer's last moment passed"
    OFFER_REVOKED = "OFFER_REVOKED", "the offer was withdrawn"
    LOST_RACE = "LOST_RACE", "another driver was faster"
    PAYLOAD_CHANGED = "PAYLOAD_CHANGED", "the driver agreed to other terms than were offered"
    DELIVERY_CANCELLED = "DELIVERY_CANCELLED", "the delivery was called off"
    DRIVER_UNAVAILABLE = "DRIVER_UNAVAILABLE", "the driver is off duty or has no free slot"
    CUSTODY_CONFLICT = "CUSTODY_CONFLICT", "another driver reports having the goods"
    CLOCK_SKEW = "CLOCK_SKEW", "the reported time lies too far from the database's clock"
    HOURS_CAP = "HOURS_CAP", "the driver's daily hours are used up"


class Rule(DocumentedEnum):
    """Why a delivery or a driver gets no offer, or a delivery stays with its driver."""

    # about the driver
    NOT_ON_DUTY = "NOT_ON_DUTY", "the driver is not on duty"
    OFFER_PENDING = "OFFER_PENDING", "an offer waits for the driver's answer"
    STACK_FULL = "STACK_FULL", "the driver holds as many deliveries as allowed"
    NO_RECENT_PING = "NO_RECENT_PING", "the driver's last position is too old"
    TIMED_OUT = "TIMED_OUT", "the driver left too many offers unanswered"
    COOLDOWN = "COOLDOWN", "the driver rests after an offer or a release"
    # about driver and delivery
    ASKED_BEFORE = "ASKED_BEFORE", "the driver was asked in this search, or lost the delivery"
    NOT_IMPROVED = "NOT_IMPROVED", "the driver refused before and the terms are no better"
    OUTSIDE_RADIUS = "OUTSIDE_RADIUS", "the driver is farther away than the search reaches"
    SHIFT_ENDS_BEFORE_PICKUP = "SHIFT_ENDS_BEFORE_PICKUP", "the driver's shift ends too soon"
    NO_WAY = "NO_WAY", "there is no path from the driver to the pickup"
    TAKEN_THIS_RUN = "TAKEN_THIS_RUN", "another delivery chose the driver first"
    OTHERS_SOONER = "OTHERS_SOONER", "another driver's pickup is expected sooner"
    WITH_ANOTHER = "WITH_ANOTHER", "another driver has the delivery"
    # about the delivery
    NOT_SEEKING = "NOT_SEEKING", "the delivery does not seek a driver"
    NOT_DUE = "NOT_DUE", "its search is not due"
    ROUND_UNDER_WAY = "ROUND_UNDER_WAY", "its offers wait for their answers"
    GOODS_DISPUTED = "GOODS_DISPUTED", "a person has to find out who has the goods"
    ATTEMPTS_USED_UP = "ATTEMPTS_USED_UP", "it was tried as often as allowed"
    PICKUP_UNKNOWN = "PICKUP_UNKNOWN", "nobody knows where the pickup is"
    NO_FREE_DRIVER_IN_REACH = "NO_FREE_DRIVER_IN_REACH", "no driver who may be asked is near"
    HELD_BY_FLAG = "HELD_BY_FLAG", "the delivery is outside the rollout"
    # about taking a delivery away
    IN_GRACE = "IN_GRACE", "the driver still has a while to show progress"
    MANUAL_LOCK = "MANUAL_LOCK", "a person assigned it, so no sweep takes it away"
    GAIN_TOO_SMALL = "GAIN_TOO_SMALL", "another driver would not be enough faster"
    NO_OTHER_DRIVER = "NO_OTHER_DRIVER", "nobody else could take it"
    RELEASED = "RELEASED", "it is taken from its driver"

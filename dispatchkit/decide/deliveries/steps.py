"""The steps of a driver along the chain, which may be reported late or out of order.

Steps are ordered by when they happened. A skipped step is implied and has no time. No step implies
the pickup: who has the goods is not guessed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dispatchkit.decide.deliveries.custody import picked_up_by_another
from dispatchkit.decide.deliveries.model import DeliveryAct, refuse_state
from dispatchkit.domain.codes import ActResult, ChangeReason, EventName
from dispatchkit.domain.feature import Answer, refused
from dispatchkit.domain.states import CHAIN, DeliveryState

# Act -> the state it leads to, the column that keeps its time, and its event.
STEPS = {
    "start": (DeliveryState.EN_ROUTE_PICKUP, "started_at", EventName.DELIVERY_STARTED),
    "arrive-pickup": (
        DeliveryState.ARRIVED_PICKUP,
        "arrived_pickup_at",
        EventName.DELIVERY_AT_PICKUP,
    ),
    "pickup": (DeliveryState.PICKED_UP, "picked_up_at", EventName.DELIVERY_PICKED_UP),
    "depart": (DeliveryState.EN_ROUTE_DROPOFF, None, EventName.DELIVERY_DEPARTED),
    "arrive-dropoff": (
        DeliveryState.ARRIVED_DROPOFF,
        "arrived_dropoff_at",
        EventName.DELIVERY_AT_DROPOFF,
    ),
    "deliver": (DeliveryState.DELIVERED, "ended_at", EventName.DELIVERY_DELIVERED),
}
TIME_COLUMNS = ("assigned_at", *(column for _, column, _ in STEPS.values() if column))
PICKUP = CHAIN.index(DeliveryState.PICKED_UP)


def step(act: DeliveryAct) -> Answer:
    """Return the answer to a step; the same step again is a replay.

    A step behind the present state needs a time, which is added. Refused with ILLEGAL_TRANSITION if
    the step is neither behind nor ahead, or ahead over the pickup; with CLOCK_SKEW if it is before
    an earlier step by more than a phone may be slow, or after a later one. A driver who does not
    have the delivery learns nothing.
    """
    delivery, reported_by = act.delivery, act.event.driver_id
    target, column, _ = STEPS[act.event.name]
    if reported_by and reported_by != delivery.driver_id:
        if target == DeliveryState.PICKED_UP:
            return picked_up_by_another(act)
        return act.refuse_other_driver()
    if delivery.driver_id is None:
        return refuse_state(delivery)

    # `ended_at` does not count as reported: a delivery that ended otherwise has it too.
    keeps_time = column is not None and column != "ended_at"
    if delivery.state == target or (keeps_time and getattr(delivery, str(column)) is not None):
        return Answer(ActResult.OK_REPLAY)
    if delivery.state not in CHAIN:
        return refuse_state(delivery)

    present, wanted = CHAIN.index(delivery.state), CHAIN.index(target)
    is_ahead = present < wanted
    skips_pickup = present < PICKUP < wanted
    adds_time = column is not None and act.event.args.get("at")
    if skips_pickup or not (is_ahead or adds_time):
        return refuse_state(delivery)

    timed = _in_order(act, column)
    if timed is None:
        return refused(ActResult.CLOCK_SKEW)
    return _move_on(timed) if is_ahead else _add_time(timed, str(column))


def _in_order(act: DeliveryAct, column: str | None) -> DeliveryAct | None:
    """Return the act at a time between the earlier and the later steps, None if there is none.

    column: None for `depart`, which keeps no time.
    """
    place = TIME_COLUMNS.index(column) if column else len(TIME_COLUMNS)
    earlier = [getattr(act.delivery, name) for name in TIME_COLUMNS[:place]]
    later = [getattr(act.delivery, name) for name in TIME_COLUMNS[place + 1 :]]
    at = act.not_before(*earlier)
    if at is None or any(time is not None and time < at for time in later):
        return None
    return replace(act, at=at)


def _move_on(act: DeliveryAct) -> Answer:
    """Move the delivery to the step's state."""
    delivery, (target, column, event) = act.delivery, STEPS[act.event.name]
    columns: dict[str, Any] = {"state": target}
    if column:
        columns[column] = act.at
    if target == DeliveryState.DELIVERED:
        columns |= {"ended_by": act.party, "slot": None}

    changes = act.change_set()
    changes.update(
        delivery,
        event,
        ChangeReason.DRIVER_EVENT if act.event.driver_id else ChangeReason.OPS,
        payload={
            "deliveryId": delivery.id,
            "driverId": delivery.driver_id,
            "at": act.at,
            "implied": CHAIN[CHAIN.index(delivery.state) + 1 : CHAIN.index(target)],
        },
        **columns,
    )
    return Answer(ActResult.OK, tuple(changes.changes))


def _add_time(act: DeliveryAct, column: str) -> Answer:
    """Add the time of a step that the delivery has passed already: it was reported out of order."""
    delivery, changes = act.delivery, act.change_set()
    changes.update(
        delivery,
        EventName.DELIVERY_CORRECTED,
        ChangeReason.OUT_OF_ORDER,
        payload={"deliveryId": delivery.id, "driverId": delivery.driver_id, "at": act.at},
        **dict[str, Any]({column: act.at}),
    )
    return Answer(ActResult.OK, tuple(changes.changes))

"""Creating a delivery for an order, or a second one after a try that failed."""

from __future__ import annotations

from datetime import datetime

from dispatchkit.decide.deliveries.model import Params
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ActResult, ChangeReason, EventName
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import dispatch_at
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.domain.rows import Delivery, Order
from dispatchkit.domain.states import DeliveryState

NOT_DELIVERED = (
    DeliveryState.CANCELLED,
    DeliveryState.UNFULFILLED,
    DeliveryState.FAILED,
    DeliveryState.RETURNED,
)


def create(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return the answer to a request for a delivery; its search begins `lead` before the goods are ready.

    Refused if there is no such order (NOT_FOUND). An order has one delivery at a time: a second try
    names the delivery that it replaces, which must be the latest and have ended without delivering
    (ILLEGAL_TRANSITION otherwise).
    """
    assert event.delivery_id is not None
    if frames["delivery"].height:
        return Answer(ActResult.OK_REPLAY)

    order = next(iter(rows(frames["asked_for"], Order)), None)
    if order is None:
        return refused(ActResult.NOT_FOUND)

    tries = rows(frames["tries"], Delivery)
    replaces = event.args.get("replaces")
    if replaces and replaces not in {delivery.id for delivery in tries}:
        return refused(ActResult.NOT_FOUND)

    latest = {delivery.id for delivery in tries} - {delivery.replaces for delivery in tries}
    all_failed = all(delivery.state in NOT_DELIVERED for delivery in tries)
    if not all_failed or (tries and replaces not in latest):
        return refused(ActResult.ILLEGAL_TRANSITION)

    changes = ChangeSet(("delivery", event.delivery_id), now)
    delivery = Delivery(
        id=event.delivery_id,
        order_id=order.id,
        replaces=replaces,
        state=DeliveryState.CREATED,
        created_at=now,
        dispatch_at=dispatch_at(order.ready_at, now, params.lead),
        version=1,
    )
    changes.add(
        delivery,
        EventName.DELIVERY_CREATED,
        ChangeReason.SECOND_TRY if replaces else ChangeReason.ORDER,
        payload={
            "deliveryId": delivery.id,
            "orderId": order.id,
            "dispatchAt": delivery.dispatch_at,
        },
    )
    return Answer(ActResult.OK, tuple(changes.changes))

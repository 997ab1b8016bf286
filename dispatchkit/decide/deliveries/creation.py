"""A delivery is born from an order, or in place of one that came to nothing."""

from __future__ import annotations

from datetime import datetime

from dispatchkit.decide.deliveries.model import Delivery, Params
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import dispatch_at
from dispatchkit.domain.feature import Answer, Event, Frames, refused

CAME_TO_NOTHING = ("CANCELLED", "UNFULFILLED", "FAILED", "RETURNED")


def create(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return what comes of asking for a delivery of an order; its search begins `lead` before the goods are ready.

    Refused without such an order (NOT_FOUND), and beside another delivery of it: a second try says which one it
    replaces, and that one must have come to nothing and not have been replaced (ILLEGAL_TRANSITION).
    """
    assert event.delivery_id is not None
    if frames["delivery"].height:
        return Answer("OK_REPLAY")
    order = next(iter(frames["asked_for"].iter_rows(named=True)), None)
    if order is None:
        return refused("NOT_FOUND")
    tries = rows(frames["tries"], Delivery)
    replaces = event.args.get("replaces")
    if replaces and replaces not in {one.id for one in tries}:
        return refused("NOT_FOUND")
    latest = {one.id for one in tries} - {one.replaces for one in tries}
    if {one.id for one in tries if one.state not in CAME_TO_NOTHING} or (
        tries and replaces not in latest
    ):
        return refused("ILLEGAL_TRANSITION")
    group = ChangeSet(("delivery", event.delivery_id), now)
    due = dispatch_at(order["ready_at"], now, params.lead)
    told = {"deliveryId": event.delivery_id, "orderId": order["id"], "dispatchAt": due}
    group.insert(
        "delivery",
        event.delivery_id,
        "delivery_created",
        "SECOND_TRY" if replaces else "ORDER",
        {
            "order_id": order["id"],
            "replaces": replaces,
            "state": "CREATED",
            "episode": 1,
            "attempt": 0,
            "priority": 0,
            "driver_unknown": False,
            "created_at": now,
            "dispatch_at": due,
        },
        payload=told,
    )
    return Answer("OK", tuple(group.changes))

"""A driver's steps along the chain, each told once, perhaps late or out of order: they are ordered by when they were.

A step that was skipped is implied and has no time. A live act never implies the pickup: who has the goods is not
guessed.
"""

from __future__ import annotations

from itertools import pairwise

from dispatchkit.decide.deliveries.custody import picked_up_by_another
from dispatchkit.decide.deliveries.model import Scene, closed
from dispatchkit.kernel.feature import Answer, refused
from dispatchkit.kernel.group import Values
from dispatchkit.kernel.states import CHAIN, DELIVERY, TO_PICKUP

STEPS = {  # act -> the state it leads to, the column that keeps its time, and the event it is told by
    "start": ("EN_ROUTE_PICKUP", "started_at", "delivery_started"),
    "arrive-pickup": ("ARRIVED_PICKUP", "arrived_pickup_at", "delivery_at_pickup"),
    "pickup": ("PICKED_UP", "picked_up_at", "delivery_picked_up"),
    "depart": ("EN_ROUTE_DROPOFF", None, "delivery_departed"),
    "arrive-dropoff": ("ARRIVED_DROPOFF", "arrived_dropoff_at", "delivery_at_dropoff"),
    "deliver": ("DELIVERED", "ended_at", "delivery_delivered"),
}
STAMPS = ("assigned_at", *(column for _, column, _ in STEPS.values() if column))


def step(scene: Scene) -> Answer:
    """Return what a step comes to; the same step again is a replay. Others than the holder learn nothing.

    Refused if it is not ahead (ILLEGAL_TRANSITION), or was before a step that is known to be earlier (CLOCK_SKEW).
    """
    delivery, told_by = scene.delivery, scene.event.driver_id
    to, column, _ = STEPS[scene.event.name]
    if told_by and told_by != delivery.driver_id:
        return picked_up_by_another(scene) if to == "PICKED_UP" else scene.not_his()
    if delivery.driver_id is None:
        return closed(delivery)
    if delivery.state == to or (column not in (None, "ended_at") and getattr(delivery, str(column)) is not None):
        return Answer("OK_REPLAY")
    over_pickup = delivery.state in TO_PICKUP and CHAIN.index(to) > CHAIN.index("PICKED_UP")
    if DELIVERY.allows(delivery.state, to) and not over_pickup:
        return _ahead(scene)
    told_late = delivery.state in CHAIN and scene.event.args.get("at") and column
    return _between(scene, str(column)) if told_late else closed(delivery)


def _ahead(scene: Scene) -> Answer:
    """Move the delivery on."""
    delivery, (to, column, event) = scene.delivery, STEPS[scene.event.name]
    if not _in_order(scene, column):
        return refused("CLOCK_SKEW")
    after: Values = {"state": to, **({column: scene.at} if column else {})}
    if to == "DELIVERED":
        after |= {"ended_by": scene.by, "slot": None}
    implied = CHAIN[CHAIN.index(delivery.state) + 1 : CHAIN.index(to)]
    told = {"deliveryId": delivery.id, "driverId": delivery.driver_id, "at": scene.at, "implied": implied}
    group = scene.group()
    group.change("delivery", delivery, event, _reason(scene), after, payload=told)
    return Answer("OK", tuple(group.changes))


def _between(scene: Scene, column: str) -> Answer:
    """Add the time of a step that the delivery is past: it was told out of order."""
    delivery = scene.delivery
    if not _in_order(scene, column):
        return refused("CLOCK_SKEW")
    told = {"deliveryId": delivery.id, "driverId": delivery.driver_id, "at": scene.at}
    group = scene.group()
    group.change("delivery", delivery, "delivery_corrected", "OUT_OF_ORDER", {column: scene.at}, payload=told)
    return Answer("OK", tuple(group.changes))


def _in_order(scene: Scene, column: str | None) -> bool:
    """Return whether the times of all steps would still rise with this one among them; `depart` keeps none."""
    known = {name: getattr(scene.delivery, name) for name in STAMPS}
    if column is None:
        return all(at is None or at <= scene.at for at in known.values())
    times = [at for at in (known | {column: scene.at}).values() if at is not None]
    return all(earlier <= later for earlier, later in pairwise(times))


def _reason(scene: Scene) -> str:
    return "DRIVER_EVENT" if scene.event.driver_id else "OPS"

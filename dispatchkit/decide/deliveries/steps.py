"""A driver's steps along the chain, each told once, perhaps late or out of order: they are ordered by when they were.

A step that was skipped is implied and has no time. A live act never implies the pickup: who has the goods is not
guessed.
"""

from __future__ import annotations

from dataclasses import replace

from dispatchkit.decide.deliveries.custody import picked_up_by_another
from dispatchkit.decide.deliveries.model import Scene, closed
from dispatchkit.domain.change_set import Values
from dispatchkit.domain.feature import Answer, refused
from dispatchkit.domain.states import CHAIN

STEPS = {  # act -> the state it leads to, the column that keeps its time, and the event it is told by
    "start": ("EN_ROUTE_PICKUP", "started_at", "delivery_started"),
    "arrive-pickup": ("ARRIVED_PICKUP", "arrived_pickup_at", "delivery_at_pickup"),
    "pickup": ("PICKED_UP", "picked_up_at", "delivery_picked_up"),
    "depart": ("EN_ROUTE_DROPOFF", None, "delivery_departed"),
    "arrive-dropoff": ("ARRIVED_DROPOFF", "arrived_dropoff_at", "delivery_at_dropoff"),
    "deliver": ("DELIVERED", "ended_at", "delivery_delivered"),
}
STAMPS = ("assigned_at", *(column for _, column, _ in STEPS.values() if column))
PICKUP = CHAIN.index("PICKED_UP")


def step(scene: Scene) -> Answer:
    """Return what a step comes to; the same step again is a replay. Others than the holder learn nothing.

    A step behind the present one needs a time, which it adds. Refused if it is neither behind nor ahead, or ahead over
    the pickup (ILLEGAL_TRANSITION), or if it was before a step that is known to be earlier, by more than a phone may be
    slow, or after one known to be later (CLOCK_SKEW).
    """
    delivery, told_by = scene.delivery, scene.event.driver_id
    to, column, _ = STEPS[scene.event.name]
    if told_by and told_by != delivery.driver_id:
        return picked_up_by_another(scene) if to == "PICKED_UP" else scene.not_his()
    if delivery.driver_id is None:
        return closed(delivery)
    if delivery.state == to or (
        column not in (None, "ended_at") and getattr(delivery, str(column)) is not None
    ):
        return Answer("OK_REPLAY")
    if delivery.state not in CHAIN:
        return closed(delivery)
    here, there = CHAIN.index(delivery.state), CHAIN.index(to)
    ahead = here < there and not here < PICKUP < there
    if not ahead and (here < there or column is None or not scene.event.args.get("at")):
        return closed(delivery)
    timed = _in_order(scene, column)
    if timed is None:
        return refused("CLOCK_SKEW")
    return _ahead(timed) if ahead else _between(timed, str(column))


def _in_order(scene: Scene, column: str | None) -> Scene | None:
    """Return the scene at a time that rises with those known, None if there is none; `depart` keeps none itself."""
    place = STAMPS.index(column) if column else len(STAMPS)
    earlier, later = (
        [getattr(scene.delivery, name) for name in of]
        for of in (STAMPS[:place], STAMPS[place + 1 :])
    )
    at = scene.no_earlier_than(*earlier)
    if at is None or any(known is not None and known < at for known in later):
        return None
    return replace(scene, at=at)


def _ahead(scene: Scene) -> Answer:
    """Move the delivery on."""
    delivery, (to, column, event) = scene.delivery, STEPS[scene.event.name]
    after: Values = {"state": to, **({column: scene.at} if column else {})}
    if to == "DELIVERED":
        after |= {"ended_by": scene.by, "slot": None}
    implied = CHAIN[CHAIN.index(delivery.state) + 1 : CHAIN.index(to)]
    told = {
        "deliveryId": delivery.id,
        "driverId": delivery.driver_id,
        "at": scene.at,
        "implied": implied,
    }
    group = scene.group()
    group.change("delivery", delivery, event, _reason(scene), after, payload=told)
    return Answer("OK", tuple(group.changes))


def _between(scene: Scene, column: str) -> Answer:
    """Add the time of a step that the delivery is past: it was told out of order."""
    delivery, group = scene.delivery, scene.group()
    told = {"deliveryId": delivery.id, "driverId": delivery.driver_id, "at": scene.at}
    group.change(
        "delivery", delivery, "delivery_corrected", "OUT_OF_ORDER", {column: scene.at}, payload=told
    )
    return Answer("OK", tuple(group.changes))


def _reason(scene: Scene) -> str:
    return "DRIVER_EVENT" if scene.event.driver_id else "OPS"

"""How a delivery ends without reaching its door: cancelled, given up, or brought back."""

from __future__ import annotations

from dispatchkit.decide.deliveries.model import Scene, closed
from dispatchkit.domain.change_set import ChangeSet, Values
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Answer, refused
from dispatchkit.domain.search import Episode, Offer, close_search, withdraw
from dispatchkit.domain.states import HOLDS_GOODS, OPEN, TO_PICKUP


def cancel(scene: Scene) -> Answer:
    """Return what a cancellation comes to. Goods that somebody holds go back (RETURNING): they are never CANCELLED.

    The stage, the party who cancelled and the party who answers for it (`liable`, the same if nobody else is named)
    are kept. A driver on his way is let go and has cancellation pay due. Open cases are left to the next sweep.
    """
    delivery, by = scene.delivery, str(scene.event.args["by"])
    if delivery.state in ("CANCELLED", "RETURNING", "RETURNED"):
        return Answer("OK_REPLAY")
    if delivery.state in HOLDS_GOODS:
        return _bring_back(scene, by, "DELIVERY_CANCELLED")
    if delivery.state not in (*TO_PICKUP, *OPEN, "CREATED", "SCHEDULED"):
        return closed(delivery)
    group = scene.group()
    withdraw(group, rows(scene.frames["offers"], Offer), "DELIVERY_CANCELLED")
    after: Values = {"state": "CANCELLED", "ended_at": scene.at, **_ending(scene, by)}
    if delivery.driver_id:  # who accepted is let go, and with him the episode in which he did
        after |= {"driver_id": None, "slot": None, "episode": delivery.episode + 1}
    told = {
        "deliveryId": delivery.id,
        "driverId": delivery.driver_id,
        "stage": delivery.state,
        "by": by,
    }
    group.change("delivery", delivery, "delivery_cancelled", by.upper(), after, payload=told)
    close_search(group, rows(scene.frames["episode"], Episode), "CANCELLED", "DELIVERY_CANCELLED")
    _pay_for_nothing(group, scene)
    return Answer("OK", tuple(group.changes))


def _pay_for_nothing(group: ChangeSet, scene: Scene) -> None:
    """Tell the driver who was on his way, and whoever pays him."""
    delivery, driver = scene.delivery, scene.driver(scene.delivery.driver_id)
    if driver is None:
        return
    told = {"deliveryId": delivery.id, "driverId": driver.id, "stage": delivery.state}
    group.change(
        "driver",
        driver,
        "cancellation_pay_due",
        "DELIVERY_CANCELLED",
        {"timeouts": driver.timeouts},
        payload=told,
    )


def fail(scene: Scene) -> Answer:
    """Return what comes of goods that will reach nobody: lost, spoilt, or not to be brought back."""
    if scene.delivery.state == "FAILED":
        return Answer("OK_REPLAY")
    return (
        _end(scene, "FAILED", "delivery_failed")
        if scene.delivery.state in HOLDS_GOODS
        else closed(scene.delivery)
    )


def bring_back(scene: Scene) -> Answer:
    """Return what comes of goods that cannot be delivered and go back to the merchant."""
    if scene.delivery.state in ("RETURNING", "RETURNED"):
        return Answer("OK_REPLAY")
    reason = str(scene.event.args["reason"])
    return (
        _bring_back(scene, scene.by, reason)
        if scene.delivery.state in HOLDS_GOODS
        else closed(scene.delivery)
    )


def returned(scene: Scene) -> Answer:
    """Return what comes of the goods being back at the merchant's."""
    if scene.delivery.state == "RETURNED":
        return Answer("OK_REPLAY")
    if scene.delivery.state != "RETURNING":
        return closed(scene.delivery)
    return _end(scene, "RETURNED", "delivery_returned")


def _bring_back(scene: Scene, by: str, reason: str) -> Answer:
    delivery, group = scene.delivery, scene.group()
    told = {
        "deliveryId": delivery.id,
        "driverId": delivery.driver_id,
        "stage": delivery.state,
        "by": by,
    }
    after: Values = {"state": "RETURNING", **_ending(scene, by)}
    group.change("delivery", delivery, "delivery_returning", reason, after, payload=told)
    return Answer("OK", tuple(group.changes))


def _end(scene: Scene, state: str, event: str) -> Answer:
    """End a delivery whose goods somebody holds, once; what was said when they turned back stays."""
    delivery, group = scene.delivery, scene.group()
    at = scene.no_earlier_than(delivery.picked_up_at)
    if at is None:
        return refused("CLOCK_SKEW")
    after: Values = {"state": state, "slot": None, "ended_at": at}
    if delivery.ended_while is None:
        after |= _ending(scene, scene.by)
    told = {
        "deliveryId": delivery.id,
        "driverId": delivery.driver_id,
        "stage": delivery.state,
        "by": scene.by,
    }
    reason = str(scene.event.args.get("reason") or state)
    group.change("delivery", delivery, event, reason, after, payload=told)
    return Answer("OK", tuple(group.changes))


def _ending(scene: Scene, by: str) -> Values:
    """Return the columns that say who ended a delivery, at which stage, and who answers for it."""
    liable = str(scene.event.args.get("liable") or by)
    return {"ended_by": by, "ended_while": scene.delivery.state, "liable": liable}

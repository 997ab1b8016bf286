"""How a delivery ends without reaching its door: cancelled, failed, or returned."""

from __future__ import annotations

from typing import Any

from dispatchkit.decide.deliveries.model import DeliveryAct, refuse_state
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ActResult, ChangeReason, EventName
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Answer, refused
from dispatchkit.domain.rows import Episode, Offer
from dispatchkit.domain.search import close_search, withdraw
from dispatchkit.domain.states import HOLDS_GOODS, OPEN, TO_PICKUP, DeliveryState, EpisodeState

BEFORE_PICKUP = (*TO_PICKUP, *OPEN, DeliveryState.CREATED, DeliveryState.SCHEDULED)


def cancel(act: DeliveryAct) -> Answer:
    """Return the answer to a cancellation.

    Goods that a driver holds go back to the merchant (RETURNING): such a delivery is never
    CANCELLED. The row keeps the stage, who cancelled and who answers for it (`liable`; who
    cancelled, if nobody else is named). A driver under way to the pickup is let go and is due
    cancellation pay. The next sweep closes open cases.
    """
    delivery, by = act.delivery, str(act.event.args["by"])
    if delivery.state in (
        DeliveryState.CANCELLED,
        DeliveryState.RETURNING,
        DeliveryState.RETURNED,
    ):
        return Answer(ActResult.OK_REPLAY)
    if delivery.state in HOLDS_GOODS:
        return _start_return(act, by, ChangeReason.DELIVERY_CANCELLED)
    if delivery.state not in BEFORE_PICKUP:
        return refuse_state(delivery)

    changes = act.change_set()
    withdraw(changes, rows(act.frames["offers"], Offer), ChangeReason.DELIVERY_CANCELLED)
    columns: dict[str, Any] = {
        "state": DeliveryState.CANCELLED,
        "ended_at": act.at,
        **_ending(act, by),
    }
    if delivery.driver_id:
        # The driver who accepted is let go; the episode in which they accepted ends with them.
        columns |= {"driver_id": None, "slot": None, "episode": delivery.episode + 1}
    changes.update(
        delivery, EventName.DELIVERY_CANCELLED, by.upper(), payload=_payload(act, by), **columns
    )
    episodes = rows(act.frames["episode"], Episode)
    close_search(changes, episodes, EpisodeState.CANCELLED, ChangeReason.DELIVERY_CANCELLED)
    _announce_cancellation_pay(changes, act)
    return Answer(ActResult.OK, tuple(changes.changes))


def _announce_cancellation_pay(changes: ChangeSet, act: DeliveryAct) -> None:
    """Add the event that tells the driver under way, and payroll, that cancellation pay is due."""
    delivery, driver = act.delivery, act.driver(act.delivery.driver_id)
    if driver is None:
        return
    changes.update(
        driver,
        EventName.CANCELLATION_PAY_DUE,
        ChangeReason.DELIVERY_CANCELLED,
        payload={"deliveryId": delivery.id, "driverId": driver.id, "stage": delivery.state},
        timeouts=driver.timeouts,
    )


def fail(act: DeliveryAct) -> Answer:
    """Return the answer when goods will reach nobody: lost, spoilt, or impossible to return."""
    if act.delivery.state == DeliveryState.FAILED:
        return Answer(ActResult.OK_REPLAY)
    if act.delivery.state not in HOLDS_GOODS:
        return refuse_state(act.delivery)
    return _end(act, DeliveryState.FAILED, EventName.DELIVERY_FAILED)


def bring_back(act: DeliveryAct) -> Answer:
    """Return the answer when goods cannot be delivered and go back to the merchant."""
    if act.delivery.state in (DeliveryState.RETURNING, DeliveryState.RETURNED):
        return Answer(ActResult.OK_REPLAY)
    if act.delivery.state not in HOLDS_GOODS:
        return refuse_state(act.delivery)
    return _start_return(act, act.party, str(act.event.args["reason"]))


def returned(act: DeliveryAct) -> Answer:
    """Return the answer when the goods are back at the merchant."""
    if act.delivery.state == DeliveryState.RETURNED:
        return Answer(ActResult.OK_REPLAY)
    if act.delivery.state != DeliveryState.RETURNING:
        return refuse_state(act.delivery)
    return _end(act, DeliveryState.RETURNED, EventName.DELIVERY_RETURNED)


def _start_return(act: DeliveryAct, by: str, reason: str) -> Answer:
    """Send the goods back; the driver holds them until the merchant has them."""
    changes = act.change_set()
    changes.update(
        act.delivery,
        EventName.DELIVERY_RETURNING,
        reason,
        payload=_payload(act, by),
        state=DeliveryState.RETURNING,
        **_ending(act, by),
    )
    return Answer(ActResult.OK, tuple(changes.changes))


def _end(act: DeliveryAct, state: DeliveryState, event: str) -> Answer:
    """End a delivery whose goods a driver holds; who ended a return is kept from its beginning."""
    delivery = act.delivery
    at = act.not_before(delivery.picked_up_at)
    if at is None:
        return refused(ActResult.CLOCK_SKEW)

    columns: dict[str, Any] = {"state": state, "slot": None, "ended_at": at}
    if delivery.ended_while is None:
        columns |= _ending(act, act.party)
    changes = act.change_set()
    reason = str(act.event.args.get("reason") or state)
    changes.update(delivery, event, reason, payload=_payload(act, act.party), **columns)
    return Answer(ActResult.OK, tuple(changes.changes))


def _ending(act: DeliveryAct, by: str) -> dict[str, Any]:
    """Return the columns that say who ended a delivery, at which stage, and who answers for it."""
    liable = str(act.event.args.get("liable") or by)
    return {"ended_by": by, "ended_while": act.delivery.state, "liable": liable}


def _payload(act: DeliveryAct, by: str) -> dict[str, Any]:
    """Return the payload of an event that ends a delivery or sends its goods back."""
    delivery = act.delivery
    return {
        "deliveryId": delivery.id,
        "driverId": delivery.driver_id,
        "stage": delivery.state,
        "by": by,
    }

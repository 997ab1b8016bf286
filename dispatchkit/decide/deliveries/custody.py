"""Who holds the goods: a pickup by a released driver, and a rescue, which operations alone approve."""

from __future__ import annotations

from dispatchkit.decide.deliveries.model import DeliveryAct, refuse_state
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ActResult, ChangeReason, EventName
from dispatchkit.domain.contract import rows
from dispatchkit.domain.duty import change_duty
from dispatchkit.domain.feature import Answer, refused
from dispatchkit.domain.rows import Driver, DutyInterval, Episode, Offer
from dispatchkit.domain.search import close_search, end_round, touch_driver, withdraw
from dispatchkit.domain.states import (
    AWAY,
    CUSTODY,
    OPEN,
    DeliveryState,
    DutyState,
    EpisodeState,
)
from dispatchkit.domain.tickets import open_ticket, ticket_id

# A driver who holds goods is on duty. One who had gone off duty ends the shift after this delivery.
DUTIES_BACK_TO_WORK = {
    DutyState.ON_BREAK: (DutyState.ON_DUTY,),
    DutyState.OFF_DUTY: (DutyState.ON_DUTY, DutyState.ENDING_SHIFT),
    DutyState.FORCED_OFF: (DutyState.ON_DUTY, DutyState.ENDING_SHIFT),
}


def picked_up_by_another(act: DeliveryAct) -> Answer:
    """Return the answer to a pickup reported by a driver who does not have the delivery.

    A driver who once had it really holds the goods. If no other driver is assigned and the driver
    has a free slot, the delivery returns to them. Otherwise the assignment stays and one ticket
    calls a person. For any other driver the delivery does not exist.
    """
    driver = act.driver(act.event.driver_id)
    cancelled = act.delivery.state == DeliveryState.CANCELLED
    if driver is None or cancelled or not act.had_delivery(driver):
        return act.refuse_other_driver()

    slot = act.free_slot(driver)
    if act.delivery.state in OPEN and slot is not None:
        return _restore_custody(act, driver, slot)
    return _open_conflict(act)


def _restore_custody(act: DeliveryAct, driver: Driver, slot: int) -> Answer:
    """Give the delivery back to the driver who holds the goods, and end its search and its offers."""
    delivery, changes = act.delivery, act.change_set()
    withdraw(changes, rows(act.frames["offers"], Offer), ChangeReason.TAKEN_BY_OTHER)
    changes.update(
        delivery,
        EventName.DELIVERY_PICKED_UP,
        ChangeReason.CUSTODY_RESTORED,
        payload={"deliveryId": delivery.id, "driverId": driver.id, "at": act.at},
        state=DeliveryState.PICKED_UP,
        driver_id=driver.id,
        slot=slot,
        picked_up_at=act.at,
    )
    _put_back_on_duty(changes, act, driver)
    episodes = rows(act.frames["episode"], Episode)
    close_search(changes, episodes, EpisodeState.CUSTODY, ChangeReason.CUSTODY_RESTORED)
    return Answer(ActResult.CUSTODY_RESTORED, tuple(changes.changes))


def _put_back_on_duty(changes: ChangeSet, act: DeliveryAct, driver: Driver) -> None:
    """Write the row of a driver who got a delivery back; one who is away is on duty again."""
    duties = DUTIES_BACK_TO_WORK.get(driver.duty, ())
    if not duties:
        changes.update(driver, EventName.DRIVER_GIVEN, ChangeReason.CUSTODY_RESTORED, timeouts=0)

    intervals = rows(act.frames["duties"], DutyInterval)
    last = next((i for i in intervals if i.driver_id == driver.id and i.until is None), None)
    for duty in duties:
        last = change_duty(
            changes,
            driver,
            last,
            duty,
            ChangeReason.CUSTODY_RESTORED,
            act.now,
            shift_end=driver.shift_end,
        )


def _open_conflict(act: DeliveryAct) -> Answer:
    """Open one ticket, and revoke pending offers: the goods are no longer at the pickup."""
    delivery, changes = act.delivery, act.change_set()
    ticket = ticket_id(delivery.id, delivery.episode, 2, ChangeReason.CUSTODY_CONFLICT)
    if ticket not in act.frames["raised"]["id"]:
        withdraw(changes, rows(act.frames["offers"], Offer), ChangeReason.TAKEN_BY_OTHER)
        if delivery.state == DeliveryState.OFFERING:
            end_round(changes, delivery)
        open_ticket(
            changes, delivery.id, delivery.episode, 2, ChangeReason.CUSTODY_CONFLICT, act.now
        )
    return Answer(ActResult.CUSTODY_CONFLICT, tuple(changes.changes), refused=True)


def rescue(act: DeliveryAct) -> Answer:
    """Return the answer when operations approve that goods under way go to another driver.

    The present driver holds the goods until the handover.
    """
    delivery = act.delivery
    if delivery.state == DeliveryState.RESCUE:
        return Answer(ActResult.OK_REPLAY)
    if delivery.state not in CUSTODY:
        return refuse_state(delivery)

    reason = str(act.event.args["reason"])
    changes = act.change_set()
    changes.update(
        delivery,
        EventName.DELIVERY_RESCUE_APPROVED,
        reason,
        payload={"deliveryId": delivery.id, "driverId": delivery.driver_id, "reason": reason},
        state=DeliveryState.RESCUE,
    )
    return Answer(ActResult.OK, tuple(changes.changes))


def handover(act: DeliveryAct) -> Answer:
    """Return the answer when a rescued delivery's goods reach another driver.

    That driver must be on duty with a free slot (DRIVER_UNAVAILABLE otherwise). The episode ends
    with the driver who had accepted in it. The times stay: the goods were picked up once.
    """
    delivery, driver = act.delivery, act.driver(act.event.driver_id)
    if driver is None:
        return refused(ActResult.NOT_FOUND)
    if delivery.driver_id == driver.id and delivery.state in CUSTODY:
        return Answer(ActResult.OK_REPLAY)
    if delivery.state != DeliveryState.RESCUE:
        return refuse_state(delivery)

    same_driver = delivery.driver_id == driver.id
    slot = delivery.slot if same_driver else act.free_slot(driver)
    if slot is None or driver.duty in (*AWAY, DutyState.SUSPENDED):
        return refused(ActResult.DRIVER_UNAVAILABLE)

    changes = act.change_set()
    changes.update(
        delivery,
        EventName.DELIVERY_HANDED_OVER,
        ChangeReason.RESCUE,
        payload={
            "deliveryId": delivery.id,
            "fromDriverId": delivery.driver_id,
            "driverId": driver.id,
        },
        state=DeliveryState.PICKED_UP,
        driver_id=driver.id,
        slot=slot,
        episode=delivery.episode + (not same_driver),
        arrived_dropoff_at=None,
    )
    touch_driver(changes, driver, ChangeReason.RESCUE)
    return Answer(ActResult.OK, tuple(changes.changes))

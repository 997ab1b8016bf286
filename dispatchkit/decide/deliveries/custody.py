"""Who holds the goods: a pickup by a driver it was taken from, and a rescue, by operations only."""

from __future__ import annotations

from dispatchkit.decide.deliveries.model import Delivery, Scene, closed
from dispatchkit.domain.change_set import ChangeSet, Values
from dispatchkit.domain.contract import rows
from dispatchkit.domain.duty import change_duty
from dispatchkit.domain.feature import Answer, refused
from dispatchkit.domain.rows import Driver, DutyInterval
from dispatchkit.domain.search import (
    Episode,
    Offer,
    close_search,
    end_round,
    touch_driver,
    withdraw,
)
from dispatchkit.domain.states import AWAY, CUSTODY, OPEN, DutyState
from dispatchkit.domain.tickets import CUSTODY_CONFLICT, open_ticket, ticket_id

BACK = {  # nobody rests or is off duty while he holds goods; who had left is not asked for more
    "ON_BREAK": ("ON_DUTY",),
    "OFF_DUTY": ("ON_DUTY", "ENDING_SHIFT"),
    "FORCED_OFF": ("ON_DUTY", "ENDING_SHIFT"),
}


def picked_up_by_another(scene: Scene) -> Answer:
    """Return what it means that a driver who has not got the delivery says that he has picked it up.

    One from whom it was taken really has the goods: while nobody else is assigned and he has a slot for it, custody
    wins. Else it stays whose it is and a person has to look: a ticket, once. To anybody else it is as good as missing.
    """
    driver = scene.driver(scene.event.driver_id)
    if driver is None or not scene.had_it(driver) or scene.delivery.state == "CANCELLED":
        return scene.not_his()
    slot = scene.free_slot(driver)
    if scene.delivery.state in OPEN and slot is not None:
        return _restore(scene, driver, slot)
    return _conflict(scene)


def _restore(scene: Scene, driver: Driver, slot: int) -> Answer:
    """Give the delivery back to the driver who holds the goods; its search and every offer for it are over."""
    delivery, group = scene.delivery, scene.group()
    withdraw(group, rows(scene.frames["offers"], Offer), "TAKEN_BY_OTHER")
    after: Values = {
        "state": "PICKED_UP",
        "driver_id": driver.id,
        "slot": slot,
        "picked_up_at": scene.at,
    }
    told = {"deliveryId": delivery.id, "driverId": driver.id, "at": scene.at}
    group.change(
        "delivery", delivery, "delivery_picked_up", "CUSTODY_RESTORED", after, payload=told
    )
    _back_on_duty(group, scene, driver)
    close_search(group, rows(scene.frames["episode"], Episode), "CUSTODY", "CUSTODY_RESTORED")
    return Answer("CUSTODY_RESTORED", tuple(group.changes))


def _back_on_duty(group: ChangeSet, scene: Scene, driver: Driver) -> None:
    """Write the row of a driver who was given goods; one who had left or rests is back until he has delivered them."""
    if driver.duty not in BACK:
        group.change("driver", driver, "driver_given", "CUSTODY_RESTORED", {"timeouts": 0})
    last = next(
        (
            d
            for d in rows(scene.frames["duties"], DutyInterval)
            if d.driver_id == driver.id and d.until is None
        ),
        None,
    )
    for duty in map(DutyState, BACK.get(driver.duty, ())):
        last = change_duty(
            group, driver, last, duty, "CUSTODY_RESTORED", scene.now, shift_end=driver.shift_end
        )


def _conflict(scene: Scene) -> Answer:
    """Call a person, once; whoever is being asked to fetch the goods just then is let go, as they are gone."""
    delivery, group = scene.delivery, scene.group()
    raised = ticket_id(delivery.id, delivery.episode, 2, CUSTODY_CONFLICT)
    if raised not in scene.frames["raised"]["id"]:
        withdraw(group, rows(scene.frames["offers"], Offer), "TAKEN_BY_OTHER")
        if delivery.state == "OFFERING":
            end_round(group, delivery)
        open_ticket(group, delivery.id, delivery.episode, 2, CUSTODY_CONFLICT, scene.now)
    return Answer("CUSTODY_CONFLICT", tuple(group.changes), refused=True)


def rescue(scene: Scene) -> Answer:
    """Return what comes of operations approving that goods under way change hands; the driver holds them till then."""
    delivery = scene.delivery
    if delivery.state == "RESCUE":
        return Answer("OK_REPLAY")
    if delivery.state not in CUSTODY:
        return closed(delivery)
    reason = str(scene.event.args["reason"])
    told = {"deliveryId": delivery.id, "driverId": delivery.driver_id, "reason": reason}
    group = scene.group()
    group.change(
        "delivery", delivery, "delivery_rescue_approved", reason, {"state": "RESCUE"}, payload=told
    )
    return Answer("OK", tuple(group.changes))


def handover(scene: Scene) -> Answer:
    """Return what comes of a rescued delivery's goods reaching another driver, who must be on duty with a free slot.

    The delivery's episode ends with the driver who had accepted in it. Its times stay: the goods were picked up once.
    """
    delivery, driver = scene.delivery, scene.driver(scene.event.driver_id)
    if driver is None:
        return refused("NOT_FOUND")
    if delivery.driver_id == driver.id and delivery.state in CUSTODY:
        return Answer("OK_REPLAY")
    if delivery.state != "RESCUE":
        return closed(delivery)
    slot = delivery.slot if delivery.driver_id == driver.id else scene.free_slot(driver)
    if slot is None or driver.duty in (*AWAY, "SUSPENDED"):
        return refused("DRIVER_UNAVAILABLE")
    return _hand(scene, delivery, driver, slot)


def _hand(scene: Scene, delivery: Delivery, driver: Driver, slot: int) -> Answer:
    group = scene.group()
    another = delivery.driver_id != driver.id
    told = {"deliveryId": delivery.id, "fromDriverId": delivery.driver_id, "driverId": driver.id}
    group.change(
        "delivery",
        delivery,
        "delivery_handed_over",
        "RESCUE",
        {
            "state": "PICKED_UP",
            "driver_id": driver.id,
            "slot": slot,
            "episode": delivery.episode + another,
            "arrived_dropoff_at": None,
        },
        payload=told,
    )
    touch_driver(group, driver, "RESCUE")
    return Answer("OK", tuple(group.changes))

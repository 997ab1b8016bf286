"""Parameters of the acts on a delivery, and one act with the locked rows around its delivery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ActResult
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import Dispatch, free_slot
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.domain.rows import Case, Delivery, Driver, Offer
from dispatchkit.domain.states import DeliveryState, OfferState


@dataclass(frozen=True, kw_only=True)
class Params(Dispatch):
    """The shared dispatch parameters; acts on deliveries need no others."""


@dataclass(frozen=True, slots=True)
class DeliveryAct:
    """One act on one delivery.

    at: when it happened, by the driver's clock if the driver sent a time, never later than `now`.
    max_skew: how far that clock may differ from ours.
    """

    frames: Frames
    event: Event
    delivery: Delivery
    at: datetime
    now: datetime
    max_skew: timedelta

    @property
    def party(self) -> str:
        """Return which party acts."""
        return "driver" if self.event.driver_id else "ops"

    def not_before(self, *earlier: datetime | None) -> datetime | None:
        """Return when the act happened, moved to the last of these times if it is before that.

        A phone may be slow by up to `max_skew`; None if the act is before by more.
        """
        last = max((at for at in earlier if at is not None), default=self.at)
        return None if last - self.at > self.max_skew else max(last, self.at)

    def change_set(self) -> ChangeSet:
        return ChangeSet(("delivery", self.delivery.id), self.now)

    def driver(self, id: int | None) -> Driver | None:
        return next((d for d in rows(self.frames["drivers"], Driver) if d.id == id), None)

    def free_slot(self, driver: Driver) -> int | None:
        """Return the lowest slot of a driver that no active delivery occupies, or None."""
        return free_slot(self.frames["held"], driver.id, driver.max_stack)

    def had_delivery(self, driver: Driver) -> bool:
        """Return whether a driver once had this delivery: accepted it, or was released from it."""
        accepted = {
            offer.driver_id
            for offer in rows(self.frames["offers"], Offer)
            if offer.state == OfferState.ACCEPTED
        }
        released = {
            case.driver_id
            for case in rows(self.frames["cases"], Case)
            if case.released_at is not None
        }
        return driver.id in accepted | released

    def refuse_other_driver(self) -> Answer:
        """Return the refusal for a driver who does not have the delivery.

        Only a driver who once had it learns that it is cancelled; for others it does not exist.
        """
        driver = self.driver(self.event.driver_id)
        if (
            driver is not None
            and self.delivery.state == DeliveryState.CANCELLED
            and self.had_delivery(driver)
        ):
            return refused(ActResult.DELIVERY_CANCELLED)
        return refused(ActResult.NOT_FOUND)


def refuse_state(delivery: Delivery) -> Answer:
    """Return the refusal of an act that a delivery's state does not allow."""
    cancelled = delivery.state == DeliveryState.CANCELLED
    return refused(ActResult.DELIVERY_CANCELLED if cancelled else ActResult.ILLEGAL_TRANSITION)

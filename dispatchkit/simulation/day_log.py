"""Day log: what dispatching made of each order, each offer and each driver of one day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dispatchkit.simulation.demand import Demand
from dispatchkit.simulation.roster import Roster
from dispatchkit.simulation.scenario import NEVER, Ints

OFFER_STATES = ("PENDING", "ACCEPTED", "DECLINED", "EXPIRED", "REVOKED")
PENDING, ACCEPTED, DECLINED, EXPIRED, REVOKED = range(5)


class SentOffer(NamedTuple):
    """One offer; times in ms of the day."""

    order: int
    driver_index: int
    episode: int
    attempt: int
    state: int  # index into OFFER_STATES
    sent: int
    answered: int  # NEVER while it is pending
    pay: int  # cents
    travel_m: int  # to the merchant and on to the door
    pickup: int  # estimated arrival at the merchant, as shown to the driver


class DayLog:
    """Lists of one value an order or a driver; times in ms, NEVER for what did not happen.

    `times(name)` gives one of the lists as an array, once the day is done.
    """

    def __init__(self, orders: int, drivers: int) -> None:
        def never() -> list[int]:
            return [NEVER] * orders

        def zeros() -> list[float]:
            return [0.0] * orders

        self.offers: list[SentOffer] = []
        self.breaks: list[tuple[int, int, int, int]] = []  # driver_index, asked, from, until

        # By order: the current assignment (-1 or NEVER if there is none).
        self.driver_index = [-1] * orders
        self.slot = [0] * orders
        self.pay = [0] * orders  # cents
        self.stacked = [0] * orders  # 1 if accepted while busy with another delivery
        self.expected_arrival = never()  # at the merchant, as expected at the acceptance

        # By order: the stages of the trip.
        self.assigned = never()
        self.started = never()
        self.arrived = never()  # at the merchant
        self.picked_up = never()
        self.at_door = never()
        self.turned_back = never()  # refused at the door, on the way back to the merchant
        self.ended = never()
        self.end_state = [""] * orders

        # By order: where the way to the merchant, and where and when the way to the door, begin.
        self.from_x, self.from_y = zeros(), zeros()
        self.leg_start, self.leg_x, self.leg_y = never(), zeros(), zeros()

        # By order: the search for a driver.
        self.episode = [1] * orders
        self.attempt = [0] * orders
        self.seeking_since = never()  # start of the second episode
        self.first_assigned = never()
        self.released = never()  # taken away from a driver who did nothing
        self.stalled_driver = [-1] * orders  # who accepted first and started late or never
        self.stall_x, self.stall_y = zeros(), zeros()

        # By driver.
        self.busy_until = [0] * drivers  # end of the last accepted delivery
        self.available_at = [0] * drivers  # when the driver is next considered for an offer
        self.blocked_until = [0] * drivers  # answering an offer, or cooling down after one
        self.forced_off = [NEVER] * drivers
        self.timeouts = [0] * drivers  # in a row

        self._arrays: dict[str, Ints] = {}

    def times(self, name: str) -> Ints:
        """Return one list of whole numbers as an array; call it only once the day is done."""
        if name not in self._arrays:
            self._arrays[name] = np.array(getattr(self, name), dtype=np.int64)
        return self._arrays[name]


@dataclass(frozen=True)
class Day:
    """One simulated day and the instant (ms) at which it is looked at."""

    index: int
    demand: Demand
    roster: Roster
    log: DayLog
    now: int

"""The book that a day's dispatching leaves: what became of each order, each offer and each driver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dispatchkit.simulation.crew import Crew
from dispatchkit.simulation.demand import Demand
from dispatchkit.simulation.plan import NEVER, Ints

DELIVERED, FAILED, RETURNED, CANCELLED, UNFULFILLED = (
    "DELIVERED",
    "FAILED",
    "RETURNED",
    "CANCELLED",
    "UNFULFILLED",
)


class Asked(NamedTuple):
    """One offer: indexes, round, times in ms of the day; `answered` is NEVER while it is pending."""

    order: int
    seat: int  # index into the crew
    episode: int
    attempt: int
    state: int  # index into OFFER_STATES
    sent: int
    answered: int
    pay: int
    way_m: int
    pickup: int  # when the driver was told to be there


OFFER_STATES = ("PENDING", "ACCEPTED", "DECLINED", "EXPIRED", "REVOKED")
PENDING, ACCEPTED, DECLINED, EXPIRED, REVOKED = range(5)


@dataclass
class Book:
    """Lists indexed by order, unless said otherwise; NEVER is a time that did not come, -1 a driver who did not."""

    orders: int
    seats: int
    offers: list[Asked] = field(default_factory=list)
    breaks: list[tuple[int, int, int, int]] = field(
        default_factory=list
    )  # seat, asked, from, until
    arrays: dict[str, Ints] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def never(count: int) -> list[int]:
            return [NEVER] * count

        n = self.orders
        self.assigned, self.started, self.arrived, self.picked = (
            never(n),
            never(n),
            never(n),
            never(n),
        )
        self.door, self.turned, self.ended = never(n), never(n), never(n)
        self.end_state: list[str] = [""] * n
        self.seat, self.slot, self.pay = [-1] * n, [0] * n, [0] * n
        self.episode, self.attempt = [1] * n, [0] * n
        self.seeking_since = never(n)  # when the current episode opened, if it is not the first
        self.first_assigned, self.released = never(n), never(n)
        self.stalled_seat = [-1] * n  # whose first acceptance came to nothing, or late
        self.stall_x, self.stall_y = [0.0] * n, [0.0] * n
        self.hopeful = never(n)  # arrival at the kitchen as expected at acceptance
        self.from_x, self.from_y = [0.0] * n, [0.0] * n  # where the way to the merchant begins
        self.stacked = [0] * n  # 1 if accepted while busy with another
        self.leaves, self.leg_x, self.leg_y = (
            never(n),
            [0.0] * n,
            [0.0] * n,
        )  # where and when the way to the door begins
        self.free_at = [0] * self.seats  # when the last job of a driver ends
        self.ready_at = [0] * self.seats  # when the driver may be asked again
        self.forced_off = never(self.seats)
        self.cooled = [0] * self.seats
        self.timeouts = [0] * self.seats

    def times(self, name: str) -> Ints:
        """Return one list as an array; asked for only once the day is done."""
        if name not in self.arrays:
            self.arrays[name] = np.array(getattr(self, name), dtype=np.int64)
        return self.arrays[name]


@dataclass(frozen=True)
class Day:
    """One day as it was: demand, crew, book, and the instant (ms) at which it is looked at."""

    index: int
    demand: Demand
    crew: Crew
    book: Book
    now: int

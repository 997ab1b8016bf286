"""What the dispatcher of the made-up city knows of orders and drivers, and the queue of events.

Plain lists, because single values are read and written millions of times.
"""

from __future__ import annotations

from heapq import heappush

from dispatchkit.simulation.day_log import DayLog
from dispatchkit.simulation.demand import Demand
from dispatchkit.simulation.geography import Geography
from dispatchkit.simulation.outcomes import Outcomes
from dispatchkit.simulation.roster import Roster
from dispatchkit.simulation.scenario import MINUTE, NEVER, SECOND

CYCLE = 30 * SECOND  # drivers are searched at multiples of this
TIMEOUT = 60 * SECOND  # of an offer
ANSWER_GRACE = 2 * SECOND  # an answer is still taken this long after the timeout
COOLDOWN = 60 * SECOND  # after an offer that expired
SUSPECT_AFTER = 5 * MINUTE  # without a start
CASE_GRACE = 5 * MINUTE  # from the suspicion to the release
REST = 15 * MINUTE  # after a release, before the driver is asked again
LAST_CALL = 12 * MINUTE  # no offers this shortly before the end of a shift

# Before the live instant, so that the live sweeps find work to do:
QUIET = 5 * MINUTE  # offers are not answered any more, and a third of the searches wait
UNWATCHED = 25 * MINUTE  # stalled drivers are not looked after any more

# Kinds of events. At one instant drivers become available before offers are made.
AVAILABLE, RELEASE, SEARCH = 0, 1, 2


class DispatcherState:
    """Lists by order, by driver_index or by zone; the log being written; a heap of events."""

    def __init__(
        self, demand: Demand, roster: Roster, outcomes: Outcomes, geography: Geography, now: int
    ) -> None:
        self.outcomes, self.now = outcomes, now
        self.live = now < NEVER - 1  # the day stops at a live instant
        self.log = DayLog(orders=len(demand), drivers=len(roster))

        # By order; meaning and units as in Demand.
        self.dispatch, self.cancel = demand.dispatch.tolist(), demand.cancel.tolist()
        self.ready, self.ready_estimate = demand.ready.tolist(), demand.ready_estimate.tolist()
        self.merchant = demand.merchant.tolist()
        self.merchant_zone = geography.merchants.zone[demand.merchant].tolist()
        self.merchant_x = geography.merchants.x[demand.merchant].tolist()
        self.merchant_y = geography.merchants.y[demand.merchant].tolist()
        self.door_x, self.door_y = demand.x.tolist(), demand.y.tolist()
        self.door_zone = geography.cell(demand.x, demand.y).tolist()
        self.way_m = demand.way_m.tolist()
        self.propensity, self.fate = demand.propensity.tolist(), demand.fate.tolist()
        self.patience = demand.patience.tolist()
        self.asked: dict[int, list[int]] = {}  # order -> drivers with an offer for it, ever

        # By driver_index.
        self.x, self.y, self.speed = roster.x.tolist(), roster.y.tolist(), roster.speed.tolist()
        self.driver_zone = geography.cell(roster.x, roster.y).tolist()
        self.shift_end, self.break_at = roster.end.tolist(), roster.break_at.tolist()
        self.break_for = (roster.break_for + roster.overstay).tolist()
        self.stack, self.reach_m = roster.stack.tolist(), roster.reach_m.tolist()
        self.last_order = [-1] * len(roster)  # accepted most recently
        self.order_before = [-1] * len(roster)  # the one before it
        self.log.available_at = roster.start.tolist()
        self.log.busy_until = roster.start.tolist()

        # By zone.
        zones = range(len(geography.rings))
        self.near = [geography.near(zone) for zone in zones]
        self.idle: list[list[int]] = [[] for _ in zones]  # longest idle first
        self.finishing: list[list[tuple[int, int]]] = [[] for _ in zones]  # heap: end, driver
        self.no_driver_at = [-1] * len(zones)  # the last cycle in which nobody was found

        # Merchant -> the latest order that a driver with room for another one picks up there.
        self.pickups: dict[int, int] = {}
        self.heap = sorted((at, AVAILABLE, i) for i, at in enumerate(self.log.available_at))

    def make_available(self, driver_index: int, at: int) -> None:
        """Event: the driver is idle from now on, unless blocked, due for a break or off duty."""
        log = self.log
        superseded = log.available_at[driver_index] != at
        off_duty = at >= self.shift_end[driver_index] or log.forced_off[driver_index] != NEVER
        if superseded or off_duty:
            return

        break_at = self.break_at[driver_index]
        if log.blocked_until[driver_index] > at:
            self.wake(driver_index, log.blocked_until[driver_index])
        elif break_at <= at:
            asked = break_at if log.busy_until[driver_index] == at else at
            self.take_break(driver_index, asked, at)
        else:
            self.idle[self.driver_zone[driver_index]].append(driver_index)

    def take_break(self, driver_index: int, asked: int, at: int) -> None:
        """Start the driver's break at `at`, requested at `asked`."""
        until = at + self.break_for[driver_index]
        self.log.breaks.append((driver_index, asked, at, until))
        self.break_at[driver_index] = NEVER
        self.wake(driver_index, until)

    def wake(self, driver_index: int, at: int) -> None:
        """Schedule when the driver becomes available; once an instant, or they would be idle twice."""
        if at < NEVER and at != self.log.available_at[driver_index]:
            heappush(self.heap, (at, AVAILABLE, driver_index))
        self.log.available_at[driver_index] = at

    def close(self, order: int, at: int, state: str) -> None:
        """Log the end of an order."""
        self.log.ended[order], self.log.end_state[order] = at, state


def cycle(at: int) -> int:
    """Return the first dispatch cycle at or after an instant."""
    return -(-at // CYCLE) * CYCLE

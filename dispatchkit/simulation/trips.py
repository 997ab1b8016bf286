"""Trips: what becomes of an accepted offer, from the way to the merchant to the door.

All times of a trip are known once the offer is accepted; later events may still move them.
"""

from __future__ import annotations

from heapq import heappush

from dispatchkit.simulation.demand import BROUGHT_BACK, CIRCUITY, NOBODY_HOME
from dispatchkit.simulation.dispatcher_state import (
    CASE_GRACE,
    RELEASE,
    REST,
    SUSPECT_AFTER,
    UNWATCHED,
    DispatcherState,
    cycle,
)
from dispatchkit.simulation.outcomes import NO_SHOW, ON_TIME, SLOW_START
from dispatchkit.simulation.scenario import MINUTE, NEVER, SECOND


class Trips(DispatcherState):
    """The part of the dispatcher that plans the trips of accepted offers."""

    def accept(
        self, order: int, driver_index: int, at: int, to_merchant_m: float, pay: int
    ) -> None:
        """Assign the order and plan its trip."""
        log, outcomes = self.log, self.outcomes
        busy = log.busy_until[driver_index] > at
        other = self.last_order[driver_index] if busy else -1  # the delivery in progress

        log.assigned[order], log.driver_index[order], log.pay[order] = at, driver_index, pay
        log.first_assigned[order] = min(log.first_assigned[order], at)
        log.stacked[order] = int(busy)
        log.slot[order] = 3 - log.slot[other] if busy else 1
        log.from_x[order], log.from_y[order] = self.x[driver_index], self.y[driver_index]
        self.order_before[driver_index] = self.last_order[driver_index]
        self.last_order[driver_index] = order

        stall = ON_TIME if busy else self.stall_of(order, at)
        if stall != ON_TIME:
            log.stalled_driver[order] = driver_index
            log.stall_x[order], log.stall_y[order] = self.x[driver_index], self.y[driver_index]
        if stall == NO_SHOW:
            return self.plan_no_show(order, driver_index, at)
        if busy and log.picked_up[other] > at:
            return self.plan_bundle(order, other, driver_index, at)

        start = max(at, log.busy_until[driver_index])
        if not busy:
            start += outcomes.start_after[order]
        ride = to_merchant_m / self.speed[driver_index] * SECOND
        log.expected_arrival[order] = int(start + ride)
        if stall == SLOW_START:
            start = at + SUSPECT_AFTER + outcomes.grace_used[order]
        log.started[order] = start
        log.arrived[order] = int(start + ride * outcomes.first_leg[order])
        ready = max(log.arrived[order] + 20 * SECOND, self.ready[order])
        return self.pick_up(order, driver_index, ready + outcomes.handover[order])

    def stall_of(self, order: int, at: int) -> int:
        """Return whether the driver who accepts the order starts ON_TIME, late or never."""
        if self.log.episode[order] > 1 or self.cancel[order] < NEVER:
            return ON_TIME
        if self.live and at > self.now - UNWATCHED:
            stalls = self.outcomes.live_stall[order] and at < self.now - UNWATCHED / 2
            return NO_SHOW if stalls else ON_TIME
        return self.outcomes.stall[order]

    def plan_no_show(self, order: int, driver_index: int, at: int) -> None:
        """Plan the release after suspicion and grace; shortly before the live instant there is none."""
        log = self.log
        log.expected_arrival[order] = at + 6 * MINUTE
        if self.live and at > self.now - UNWATCHED:
            log.busy_until[driver_index] = log.blocked_until[driver_index] = NEVER
            return self.wake(driver_index, NEVER)

        released = cycle(at + SUSPECT_AFTER + CASE_GRACE)
        log.busy_until[driver_index] = released
        log.blocked_until[driver_index] = released + REST
        heappush(self.heap, (released, RELEASE, order))
        return self.wake(driver_index, released + REST)

    def plan_bundle(self, order: int, other: int, driver_index: int, at: int) -> None:
        """Plan two orders of one merchant: both are picked up, then `other` is delivered first."""
        log = self.log
        log.started[order] = max(at, log.started[other])
        log.arrived[order] = max(at, log.arrived[other])
        log.expected_arrival[order] = max(at, log.expected_arrival[other])
        ready = self.ready[order] + self.outcomes.handover[order] // 2
        picked_up = max(log.picked_up[other], ready, at + 20 * SECOND)
        if self.cancel[order] < picked_up:
            return self.close(order, self.cancel[order], "CANCELLED")

        delay = picked_up - log.picked_up[other]
        for stage in (log.at_door, log.turned_back, log.ended):
            stage[other] += delay if stage[other] < NEVER else 0
        log.leg_start[other] += delay
        log.busy_until[driver_index] += delay
        log.picked_up[order] = picked_up
        return self.deliver(order, driver_index, log.busy_until[driver_index])

    def pick_up(self, order: int, driver_index: int, at: int) -> None:
        """Plan the pickup at `at`, unless the customer cancels before it."""
        log = self.log
        if self.cancel[order] < at:
            busy_until = max(log.busy_until[driver_index], self.cancel[order])
            log.busy_until[driver_index] = busy_until
            self.wake(driver_index, busy_until)
            return self.close(order, self.cancel[order], "CANCELLED")

        log.picked_up[order] = at
        self.x[driver_index], self.y[driver_index] = self.merchant_x[order], self.merchant_y[order]
        if self.stack[driver_index] > 1 and self.cancel[order] == NEVER:
            self.pickups[self.merchant[order]] = order
        return self.deliver(order, driver_index, at)

    def deliver(self, order: int, driver_index: int, leg_start: int) -> None:
        """Plan the way to the door, from the merchant or the door before; the driver ends there."""
        log, outcomes, speed = self.log, self.outcomes, self.speed[driver_index]
        x, y = log.leg_x[order], log.leg_y[order] = self.x[driver_index], self.y[driver_index]
        log.leg_start[order] = leg_start
        straight_m = ((x - self.door_x[order]) ** 2 + (y - self.door_y[order]) ** 2) ** 0.5
        way_m = CIRCUITY * straight_m + 60
        door = leg_start + int(way_m / speed * outcomes.last_leg[order] * SECOND)
        log.at_door[order] = door

        ended, state = door + outcomes.service[order], "DELIVERED"
        if self.fate[order] == NOBODY_HOME:
            ended, state = door + 8 * MINUTE, "FAILED"
        elif self.fate[order] == BROUGHT_BACK:
            log.turned_back[order] = door + 5 * MINUTE
            ended, state = log.turned_back[order] + int(way_m / speed * SECOND), "RETURNED"
        self.close(order, ended, state)

        zone = self.door_zone[order]
        self.x[driver_index], self.y[driver_index] = self.door_x[order], self.door_y[order]
        self.driver_zone[driver_index] = zone
        log.busy_until[driver_index] = ended
        heappush(self.finishing[zone], (ended, driver_index))
        self.wake(driver_index, ended)

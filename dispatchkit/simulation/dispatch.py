"""Dispatch of one day, event by event: who is asked, what they answer, and when it all happens.

A plain nearest-driver cascade with bundles of one merchant and back-to-back deliveries: the history
that better policies are compared with. Events are handled in order of time, so that nothing
depends on what comes later.
"""

from __future__ import annotations

from heapq import heappop, heappush

from dispatchkit.simulation.day_log import (
    ACCEPTED,
    DECLINED,
    EXPIRED,
    PENDING,
    REVOKED,
    DayLog,
    SentOffer,
)
from dispatchkit.simulation.demand import CIRCUITY, MAX_OFFERS, Demand
from dispatchkit.simulation.dispatcher_state import (
    ANSWER_GRACE,
    COOLDOWN,
    CYCLE,
    LAST_CALL,
    QUIET,
    SEARCH,
    TIMEOUT,
    cycle,
)
from dispatchkit.simulation.geography import Geography
from dispatchkit.simulation.outcomes import DRAWN, SILENT, Outcomes
from dispatchkit.simulation.roster import Roster
from dispatchkit.simulation.scenario import MINUTE, NEVER, SECOND
from dispatchkit.simulation.trips import Trips

UNFULFILLED_AFTER = 45 * MINUTE
TIMEOUTS_TO_OFFLINE = 3
NOBODY = -1

Drivers = list[int] | tuple[()]


def run(
    demand: Demand, roster: Roster, outcomes: Outcomes, geography: Geography, now: int
) -> DayLog:
    """Return the log of a day: all events before `now` (ms) are handled, and none after."""
    return _Dispatcher(demand, roster, outcomes, geography, now).run()


class _Dispatcher(Trips):
    """Handles events: orders come due, drivers are asked one after the other, answers are taken."""

    def run(self) -> DayLog:
        heap, handlers = self.heap, (self.make_available, self.release, self.search)
        # First searches stay out of the heap, which keeps it small.
        due = [(cycle(at), SEARCH, order) for order, at in enumerate(self.dispatch)]
        due.sort(reverse=True)
        while heap or due:
            from_heap = not due or (heap and heap[0] < due[-1])
            at, kind, index = heappop(heap) if from_heap else due.pop()
            if at >= self.now:
                break
            handlers[kind](index, at)

        # Customers who left while their order was waiting for the next search.
        for order, cancel in enumerate(self.cancel):
            waiting = self.log.assigned[order] == NEVER and self.log.ended[order] == NEVER
            if waiting and cancel <= self.now:
                self.close(order, cancel, "CANCELLED")
        return self.log

    def release(self, order: int, at: int) -> None:
        """Event: take an order away from a driver who did nothing; a second episode begins."""
        log = self.log
        log.released[order] = log.seeking_since[order] = at
        log.assigned[order] = log.expected_arrival[order] = log.ended[order] = NEVER
        log.driver_index[order], log.episode[order], log.attempt[order] = NOBODY, 2, 0
        heappush(self.heap, (at, SEARCH, order))

    def search(self, order: int, at: int) -> None:
        """Event: search a driver once and make an offer, give the order up, or search again later."""
        log = self.log
        if self.cancel[order] <= at:
            return self.close(order, self.cancel[order], "CANCELLED")

        since = self.dispatch[order] if log.episode[order] == 1 else log.seeking_since[order]
        unfulfilled_at = since + UNFULFILLED_AFTER
        give_up = min(max(self.patience[order], since + CYCLE), unfulfilled_at)
        if at >= give_up:
            customer_left = give_up < unfulfilled_at
            return self.close(order, give_up, "CANCELLED" if customer_left else "UNFULFILLED")

        if log.attempt[order] >= MAX_OFFERS or len(self.asked.get(order, ())) >= DRAWN:
            return heappush(self.heap, (give_up, SEARCH, order))
        if self.live and at > self.now - QUIET and order % 3 == 0:
            return None

        driver_index = self.choose(order, at)
        if driver_index == NOBODY:
            again = at + (CYCLE if at < since + 2 * MINUTE else 2 * CYCLE)
            return heappush(self.heap, (min(again, give_up), SEARCH, order))
        return self.offer(order, driver_index, at)

    def choose(self, order: int, at: int) -> int:
        """Return the driver to ask, or NOBODY.

        In this order: who picks up at that merchant anyway, the nearest idle driver, a driver who
        is about to finish nearby.
        """
        asked = self.asked.get(order, ())
        driver_index = self.bundle_driver(order, at)
        if driver_index != NOBODY and driver_index not in asked:
            return driver_index

        zone = self.merchant_zone[order]
        if self.no_driver_at[zone] == at:
            return NOBODY
        for near in self.near[zone]:
            if self.idle[near]:
                driver_index = self.nearest_idle(order, at, self.idle[near], asked)
                if driver_index != NOBODY:
                    return driver_index
        for near in self.near[zone][:5]:
            if self.finishing[near]:
                driver_index = self.finishing_driver(at, self.finishing[near], asked)
                if driver_index != NOBODY:
                    return driver_index
        self.no_driver_at[zone] = at
        return NOBODY

    def bundle_driver(self, order: int, at: int) -> int:
        """Return the driver who will pick up one other order at this merchant, if both fit."""
        log = self.log
        other = self.pickups.get(self.merchant[order], -1)
        if other < 0 or not at + TIMEOUT + ANSWER_GRACE < log.picked_up[other] < NEVER:
            return NOBODY
        driver_index = log.driver_index[other]
        before = self.order_before[driver_index]
        only_order = self.last_order[driver_index] == other and (
            before < 0 or log.ended[before] <= at
        )
        apart = abs(self.ready_estimate[order] - self.ready_estimate[other])
        fits = apart <= 8 * MINUTE and self.cancel[other] == NEVER
        return driver_index if only_order and fits and self.has_room(driver_index, at) else NOBODY

    def has_room(self, driver_index: int, at: int) -> bool:
        """Return whether a busy driver may be asked for a second delivery."""
        stacks = self.stack[driver_index] > 1 and self.log.blocked_until[driver_index] <= at
        no_break = self.break_at[driver_index] > at + TIMEOUT + ANSWER_GRACE
        return stacks and no_break and self.shift_end[driver_index] > at + LAST_CALL

    def nearest_idle(self, order: int, at: int, idle: list[int], asked: Drivers) -> int:
        """Return the nearest of the twelve who have been idle longest and take them off the list.

        Drivers whose break or end of shift has come are taken off the list too.
        """
        x, y, way_m = self.merchant_x[order], self.merchant_y[order], self.way_m[order]
        break_at, shift_end, last_call = self.break_at, self.shift_end, at + LAST_CALL
        best, nearest, leaving = 1e18, NOBODY, []
        for driver_index in idle[:12]:
            if break_at[driver_index] <= at or shift_end[driver_index] <= last_call:
                leaving.append(driver_index)
            elif way_m <= self.reach_m[driver_index] and driver_index not in asked:
                east, north = self.x[driver_index] - x, self.y[driver_index] - y
                distance = east * east + north * north
                if distance < best:
                    best, nearest = distance, driver_index

        if nearest != NOBODY:
            idle.remove(nearest)
        for driver_index in leaving:
            idle.remove(driver_index)
            if break_at[driver_index] <= at:
                start = max(break_at[driver_index], self.log.available_at[driver_index])
                self.take_break(driver_index, start, start)
        return nearest

    def finishing_driver(self, at: int, finishing: list[tuple[int, int]], asked: Drivers) -> int:
        """Return a driver whose only delivery is picked up and ends within ten minutes."""
        log = self.log
        while finishing and finishing[0][0] <= at:
            heappop(finishing)
        for ends, driver_index in finishing[:4]:
            order, before = self.last_order[driver_index], self.order_before[driver_index]
            only_order = log.busy_until[driver_index] == ends and (
                before < 0 or log.ended[before] <= at
            )
            on_the_way = log.picked_up[order] <= at and ends <= at + 10 * MINUTE
            if (
                only_order
                and on_the_way
                and self.fate[order] == 0
                and driver_index not in asked
                and self.has_room(driver_index, at)
            ):
                return driver_index
        return NOBODY

    def offer(self, order: int, driver_index: int, at: int) -> None:
        """Log an offer and its answer, and schedule what follows when the answer comes."""
        log = self.log
        asked = self.asked.setdefault(order, [])
        draw = order * DRAWN + len(asked)
        asked.append(driver_index)

        east = abs(self.x[driver_index] - self.merchant_x[order])
        north = abs(self.y[driver_index] - self.merchant_y[order])
        to_merchant_m = CIRCUITY * (east**2 + north**2) ** 0.5
        travel_m = int(to_merchant_m + self.way_m[order])
        pay = 480 + travel_m * 9 // 100
        busy = log.busy_until[driver_index] > at
        start = log.busy_until[driver_index] if busy else at
        pickup = start + int(to_merchant_m / self.speed[driver_index] * SECOND)

        answered, state = self.answer(order, draw, at)
        attempt = log.attempt[order] + 1
        log.offers.append(
            SentOffer(
                order=order,
                driver_index=driver_index,
                episode=log.episode[order],
                attempt=attempt,
                state=state,
                sent=at,
                answered=answered,
                pay=pay,
                travel_m=travel_m,
                pickup=pickup,
            )
        )
        if state == ACCEPTED:
            log.timeouts[driver_index], log.blocked_until[driver_index] = 0, answered
            return self.accept(order, driver_index, answered, to_merchant_m, pay)

        blocked_until = answered
        if state == DECLINED:
            log.timeouts[driver_index] = 0
        elif state == EXPIRED:
            blocked_until += COOLDOWN
            log.timeouts[driver_index] += 1
            if log.timeouts[driver_index] >= TIMEOUTS_TO_OFFLINE and not busy:
                log.forced_off[driver_index] = answered
        log.blocked_until[driver_index] = blocked_until
        if not busy:
            self.wake(driver_index, blocked_until)

        if state == REVOKED:
            self.close(order, answered, "CANCELLED")
        elif state != PENDING:
            log.attempt[order] = attempt
            heappush(self.heap, (cycle(answered), SEARCH, order))
        return None

    def answer(self, order: int, draw: int, at: int) -> tuple[int, int]:
        """Return (when, state) of the answer to an offer sent at `at`."""
        chance, deadline = self.outcomes.answer[draw], at + TIMEOUT + ANSWER_GRACE
        answered, state = at + self.outcomes.reply[draw], ACCEPTED
        if chance >= 1 - SILENT or answered >= deadline:
            answered, state = cycle(deadline), EXPIRED
        elif chance < self.propensity[order] * (1 - SILENT):
            state = DECLINED
        if self.live and at > self.now - QUIET:
            answered, state = NEVER, PENDING
        if self.cancel[order] <= min(answered, self.now):
            answered, state = self.cancel[order], REVOKED
        return answered, state

"""What an accepted job comes to: the ride, the wait, the door; bundles, no-shows, and customers who call it off."""

from __future__ import annotations

from heapq import heappush

from dispatchkit.simulation.book import CANCELLED, DELIVERED, FAILED, RETURNED
from dispatchkit.simulation.demand import CIRCUITY
from dispatchkit.simulation.desk import BLIND, CASE_GRACE, RELEASE, REST, SUSPECT_AFTER, Desk, cycle
from dispatchkit.simulation.luck import NO_SHOW, ON_TIME, SLOW_START
from dispatchkit.simulation.plan import MINUTE, NEVER, SECOND


class Road(Desk):
    """The part of the desk that follows drivers on their way: all times of a job are known once it is accepted."""

    def accept(self, order: int, seat: int, at: int, away: float, pay: int) -> None:
        book, luck = self.book, self.luck
        other = self.last[seat] if book.free_at[seat] > at else -1
        book.assigned[order], book.seat[order], book.pay[order] = at, seat, pay
        book.first_assigned[order] = min(book.first_assigned[order], at)
        book.stacked[order] = int(other >= 0)
        book.slot[order] = 3 - book.slot[other] if other >= 0 else 1
        book.from_x[order], book.from_y[order] = self.x[seat], self.y[seat]
        self.before[seat], self.last[seat] = self.last[seat], order
        stall = self.stalls(order, at) if other < 0 else ON_TIME
        if stall != ON_TIME:
            book.stalled_seat[order] = seat
            book.stall_x[order], book.stall_y[order] = self.x[seat], self.y[seat]
        if stall == NO_SHOW:
            return self.no_show(order, seat, at)
        if other >= 0 and book.picked[other] > at:
            return self.fetch_both(order, other, seat, at)
        begin = max(at, book.free_at[seat])
        start = begin + (luck.start_after[order] if other < 0 else 0)
        ride = away / self.speed[seat] * SECOND
        book.hopeful[order] = int(start + ride)
        if stall == SLOW_START:
            start = at + SUSPECT_AFTER + luck.grace_used[order]
        book.started[order] = start
        book.arrived[order] = int(start + ride * luck.first_leg[order])
        picked = max(book.arrived[order] + 20 * SECOND, self.ready[order]) + luck.handover[order]
        return self.carry(order, seat, picked)

    def stalls(self, order: int, at: int) -> int:
        if self.book.episode[order] > 1 or self.cancel[order] < NEVER:
            return ON_TIME
        if self.live and at > self.now - BLIND:
            return NO_SHOW if self.luck.live_stall[order] and at < self.now - BLIND / 2 else ON_TIME
        return self.luck.stall[order]

    def no_show(self, order: int, seat: int, at: int) -> None:
        """The driver accepted and does nothing: after suspicion and grace the delivery is taken away."""
        book = self.book
        book.hopeful[order] = at + 6 * MINUTE
        until = cycle(at + SUSPECT_AFTER + CASE_GRACE)
        if self.live and at > self.now - BLIND:
            until = NEVER  # the sweep that would see it has not run
        book.free_at[seat] = book.cooled[seat] = until
        if until < NEVER:
            book.cooled[seat] = until + REST
            heappush(self.heap, (until, RELEASE, order))
        self.wake(seat, until + REST if until < NEVER else NEVER)

    def fetch_both(self, order: int, other: int, seat: int, at: int) -> None:
        """A second order from the same merchant: both are picked up, the first is delivered first."""
        book = self.book
        book.started[order] = max(at, book.started[other])
        book.arrived[order] = max(at, book.arrived[other])
        book.hopeful[order] = max(at, book.hopeful[other])
        picked = max(
            book.picked[other], self.ready[order] + self.luck.handover[order] // 2, at + 20 * SECOND
        )
        if self.cancel[order] < picked:
            return self.close(order, self.cancel[order], CANCELLED)
        later = picked - book.picked[other]
        for moment in (book.door, book.turned, book.ended):
            moment[other] += later if moment[other] < NEVER else 0
        book.leaves[other] += later
        book.free_at[seat] += later
        book.picked[order] = picked
        return self.bring(order, seat, book.free_at[seat])

    def carry(self, order: int, seat: int, picked: int) -> None:
        book = self.book
        if self.cancel[order] < picked:
            book.free_at[seat] = max(book.free_at[seat], self.cancel[order])
            self.wake(seat, book.free_at[seat])
            return self.close(order, self.cancel[order], CANCELLED)
        book.picked[order] = picked
        self.x[seat], self.y[seat] = self.mx[order], self.my[order]
        if self.stack[seat] > 1 and self.cancel[order] == NEVER:
            self.waiting[self.merchant[order]] = order
        return self.bring(order, seat, picked)

    def bring(self, order: int, seat: int, leaves: int) -> None:
        """The way from the merchant, or from the door before, to the door; then the driver is free there."""
        book, luck = self.book, self.luck
        x, y = book.leg_x[order], book.leg_y[order] = self.x[seat], self.y[seat]
        book.leaves[order] = leaves
        way = CIRCUITY * ((x - self.dx[order]) ** 2 + (y - self.dy[order]) ** 2) ** 0.5 + 60
        door = leaves + int(way / self.speed[seat] * luck.last_leg[order] * SECOND)
        book.door[order], ends = door, door + luck.service[order]
        state = DELIVERED
        if self.fate[order] == 1:
            ends, state = door + 8 * MINUTE, FAILED
        elif self.fate[order] == 2:
            book.turned[order] = door + 5 * MINUTE
            ends, state = book.turned[order] + int(way / self.speed[seat] * SECOND), RETURNED
        self.close(order, ends, state)
        self.x[seat], self.y[seat] = self.dx[order], self.dy[order]
        self.at_zone[seat] = self.door_zone[order]
        book.free_at[seat] = ends
        heappush(self.finishing[self.door_zone[order]], (ends, seat))
        self.wake(seat, ends)

"""Who is asked: a driver already fetching at that merchant, the nearest idle one, or one about to finish nearby."""

from __future__ import annotations

from heapq import heappop

from dispatchkit.simulation.desk import ANSWER_GRACE, LAST_CALL, TIMEOUT, Desk
from dispatchkit.simulation.plan import MINUTE, NEVER

Seats = list[int] | tuple[()]


class Search(Desk):
    """The part of the desk that looks for a driver; -1 means that there is none."""

    def choose(self, order: int, at: int) -> int:
        """Return the driver to ask: one already fetching there, the nearest idle one, or one about to finish; or -1."""
        asked = self.asked.get(order, ())
        fetching = self.bundle(order, at)
        if fetching >= 0 and fetching not in asked:
            return fetching
        here = self.zone[order]
        if self.dry[here] == at:
            return -1
        zones = self.near[here]
        for zone in zones:
            seat = self.nearest(order, at, self.idle[zone], asked) if self.idle[zone] else -1
            if seat >= 0:
                return seat
        for zone in zones[:5]:
            seat = self.finisher(at, self.finishing[zone], asked) if self.finishing[zone] else -1
            if seat >= 0:
                return seat
        self.dry[here] = at  # nobody left for anyone of this zone in this cycle
        return -1

    def bundle(self, order: int, at: int) -> int:
        other = self.waiting.get(self.merchant[order], -1)
        if (
            other < 0
            or self.book.picked[other] <= at + TIMEOUT + ANSWER_GRACE
            or self.book.picked[other] == NEVER
        ):
            return -1
        seat = self.book.seat[other]
        alone = self.last[seat] == other and (
            self.before[seat] < 0 or self.book.ended[self.before[seat]] <= at
        )
        together = (
            abs(self.said[order] - self.said[other]) <= 8 * MINUTE and self.cancel[other] == NEVER
        )
        return seat if alone and together and self.open(seat, at) else -1

    def open(self, seat: int, at: int) -> bool:
        """Return whether a busy driver may be asked for a second job."""
        soon = at + TIMEOUT + ANSWER_GRACE
        here = self.stack[seat] > 1 and self.book.cooled[seat] <= at
        return here and self.break_at[seat] > soon and self.end[seat] > at + LAST_CALL

    def nearest(self, order: int, at: int, idle: list[int], asked: Seats) -> int:
        """Return the nearest of the dozen who have been idle longest in a zone, no longer idle; -1 if there is none."""
        x, y, break_at, end, last_call = (
            self.mx[order],
            self.my[order],
            self.break_at,
            self.end,
            at + LAST_CALL,
        )
        best, found, gone, way, reach = 1e18, -1, None, self.way[order], self.reach
        for seat in idle[:12]:
            if break_at[seat] <= at or end[seat] <= last_call:
                gone = [*(gone or ()), seat]
            elif way <= reach[seat] and seat not in asked:
                east, north = self.x[seat] - x, self.y[seat] - y
                away = east * east + north * north
                if away < best:
                    best, found = away, seat
        if found >= 0:
            idle.remove(found)
        for seat in gone or ():  # whose break or end of shift has come, as is only seen now
            idle.remove(seat)
            if break_at[seat] <= at:
                asked_at = max(break_at[seat], self.book.ready_at[seat])
                self.rest(seat, asked_at, asked_at)
        return found

    def finisher(self, at: int, finishing: list[tuple[int, int]], asked: Seats) -> int:
        """Return a driver with one job in custody that ends within ten minutes."""
        while finishing and finishing[0][0] <= at:
            heappop(finishing)
        for ends, seat in finishing[:4]:
            other, earlier = self.last[seat], self.before[seat]
            alone = self.book.free_at[seat] == ends and (
                earlier < 0 or self.book.ended[earlier] <= at
            )
            carried = (
                self.book.picked[other] <= at and ends <= at + 10 * MINUTE and self.fate[other] == 0
            )
            if alone and carried and seat not in asked and self.open(seat, at):
                return seat
        return -1

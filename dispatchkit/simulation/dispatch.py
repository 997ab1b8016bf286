"""One day of dispatching, event by event: who is asked, who answers what, and when everything happens.

A plain nearest-driver cascade with same-merchant bundles and back-to-back jobs: the history that better policies are
compared with. Events are handled in order of time, so nothing depends on what comes later.
"""

from __future__ import annotations

from heapq import heappop, heappush

from dispatchkit.simulation.book import (
    ACCEPTED,
    CANCELLED,
    DECLINED,
    EXPIRED,
    PENDING,
    REVOKED,
    UNFULFILLED,
    Asked,
    Book,
)
from dispatchkit.simulation.crew import Crew
from dispatchkit.simulation.demand import ASKS, CIRCUITY, Demand
from dispatchkit.simulation.desk import ANSWER_GRACE, ASK, COOLDOWN, CYCLE, QUIET, TIMEOUT, cycle
from dispatchkit.simulation.ground import Ground
from dispatchkit.simulation.luck import DRAWN, SILENT, Luck
from dispatchkit.simulation.plan import MINUTE, NEVER, SECOND
from dispatchkit.simulation.road import Road
from dispatchkit.simulation.search import Search

UNFULFILLED_AFTER = 45 * MINUTE
TIMEOUTS_TO_OFFLINE = 3


def run(demand: Demand, crew: Crew, luck: Luck, ground: Ground, now: int) -> Book:
    """Return the book of a day, all events before `now` handled and none after."""
    return _Dispatch(demand, crew, luck, ground, now).work()


class _Dispatch(Search, Road):
    """The desk at work: orders come due, drivers are asked one after the other, answers are taken."""

    def work(self) -> Book:
        heap, handle = self.heap, (self.free, self.release, self.ask)
        due = sorted(
            ((cycle(at), ASK, order) for order, at in enumerate(self.dispatch)), reverse=True
        )
        while heap or due:  # first asks stay out of the heap, so that it is small
            at, kind, index = (
                heappop(heap) if not due or (heap and heap[0] < due[-1]) else due.pop()
            )
            if at >= self.now:
                break
            handle[kind](index, at)
        for order, cancel in enumerate(
            self.cancel
        ):  # customers who left while their order lay on the desk
            if (
                cancel <= self.now
                and self.book.assigned[order] == NEVER
                and self.book.ended[order] == NEVER
            ):
                self.close(order, cancel, CANCELLED)
        return self.book

    def release(self, order: int, at: int) -> None:
        book = self.book
        book.released[order] = book.seeking_since[order] = at
        book.assigned[order] = book.hopeful[order] = book.ended[order] = NEVER
        book.seat[order], book.episode[order], book.attempt[order] = -1, 2, 0
        heappush(self.heap, (at, ASK, order))

    def ask(self, order: int, at: int) -> None:
        """Search a driver for an order once; whatever comes of it is known at once, but happens in its time."""
        book = self.book
        if self.cancel[order] <= at:
            return self.close(order, self.cancel[order], CANCELLED)
        since = self.dispatch[order] if book.episode[order] == 1 else book.seeking_since[order]
        give_up = min(max(self.patience[order], since + CYCLE), since + UNFULFILLED_AFTER)
        if at >= give_up:
            left = give_up < since + UNFULFILLED_AFTER
            return self.close(order, give_up, CANCELLED if left else UNFULFILLED)
        if book.attempt[order] >= ASKS or len(self.asked.get(order, ())) >= DRAWN:
            return heappush(self.heap, (give_up, ASK, order))
        if self.live and at > self.now - QUIET and order % 3 == 0:
            return None
        seat = self.choose(order, at)
        if seat < 0:
            again = at + (CYCLE if at < since + 2 * MINUTE else 2 * CYCLE)
            return heappush(self.heap, (min(again, give_up), ASK, order))
        return self.offer(order, seat, at)

    def offer(self, order: int, seat: int, at: int) -> None:
        book = self.book
        asked = self.asked.setdefault(order, [])
        draw = order * DRAWN + len(asked)
        asked.append(seat)
        away = (
            CIRCUITY
            * (abs(self.x[seat] - self.mx[order]) ** 2 + abs(self.y[seat] - self.my[order]) ** 2)
            ** 0.5
        )
        way = int(away + self.way[order])
        pay = 480 + way * 9 // 100
        busy = book.free_at[seat] > at
        answered, state = self.answer(order, draw, at)
        round_ = book.attempt[order] + 1
        pickup = (book.free_at[seat] if busy else at) + int(away / self.speed[seat] * SECOND)
        book.offers.append(
            Asked(order, seat, book.episode[order], round_, state, at, answered, pay, way, pickup)
        )
        if state == ACCEPTED:
            book.timeouts[seat], book.cooled[seat] = 0, answered
            return self.accept(order, seat, answered, away, pay)
        if state == DECLINED:
            book.timeouts[seat] = 0
        rest_until = answered
        if state == EXPIRED:
            book.timeouts[seat] += 1
            rest_until += COOLDOWN
            if book.timeouts[seat] >= TIMEOUTS_TO_OFFLINE and not busy:
                book.forced_off[seat] = answered
        book.cooled[seat] = rest_until
        if not busy:
            self.wake(seat, rest_until)
        if state == REVOKED:
            self.close(order, answered, CANCELLED)
        elif state != PENDING:
            book.attempt[order] = round_
            heappush(self.heap, (cycle(answered), ASK, order))
        return None

    def answer(self, order: int, draw: int, at: int) -> tuple[int, int]:
        """Return (when, what) of an answer."""
        u, deadline = self.luck.answer[draw], at + TIMEOUT + ANSWER_GRACE
        answered, state = at + self.luck.reply[draw], ACCEPTED
        if u >= 1 - SILENT or answered >= deadline:
            answered, state = cycle(deadline), EXPIRED
        elif u < self.propensity[order] * (1 - SILENT):
            state = DECLINED
        if self.live and at > self.now - QUIET:
            answered, state = NEVER, PENDING
        if self.cancel[order] <= min(answered, self.now):
            answered, state = self.cancel[order], REVOKED
        return answered, state

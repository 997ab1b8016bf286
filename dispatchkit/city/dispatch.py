"""One day of dispatching, event by event: who is asked, who answers what, and when everything happens.

A plain nearest-driver cascade with same-merchant bundles and back-to-back jobs: the history that better policies are
compared with. Events are handled in order of time, so nothing depends on what comes later.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from dispatchkit.city.book import (
    ACCEPTED,
    CANCELLED,
    DECLINED,
    DELIVERED,
    EXPIRED,
    FAILED,
    PENDING,
    RETURNED,
    REVOKED,
    UNFULFILLED,
    Asked,
    Book,
)
from dispatchkit.city.crew import Crew
from dispatchkit.city.demand import ASKS, CIRCUITY, Demand
from dispatchkit.city.ground import Ground
from dispatchkit.city.luck import DRAWN, NO_SHOW, ON_TIME, SILENT, SLOW_START, Luck
from dispatchkit.city.plan import MINUTE, NEVER, SECOND

CYCLE, TIMEOUT, ANSWER_GRACE, COOLDOWN = 30 * SECOND, 60 * SECOND, 2 * SECOND, 60 * SECOND
UNFULFILLED_AFTER, SUSPECT_AFTER, CASE_GRACE, REST = 45 * MINUTE, 5 * MINUTE, 5 * MINUTE, 15 * MINUTE
TIMEOUTS_TO_OFFLINE, LAST_CALL = 3, 12 * MINUTE
QUIET = 5 * MINUTE  # before the live instant: answers have stopped coming in, and a third of the searches wait
BLIND = 25 * MINUTE  # before the live instant: nobody has looked after stalled drivers
FREE, RELEASE, ASK = 0, 1, 2  # at one instant drivers become free before anyone is asked


def run(demand: Demand, crew: Crew, luck: Luck, ground: Ground, now: int) -> Book:
    """Return the book of a day, all events before `now` handled and none after."""
    return _Desk(demand, crew, luck, ground, now).work()


class _Desk:
    """The dispatcher's desk: plain lists, because the loop touches single values millions of times."""

    def __init__(self, demand: Demand, crew: Crew, luck: Luck, ground: Ground, now: int) -> None:
        self.luck, self.now = luck, now
        self.live = now < NEVER - 1
        self.book = Book(orders=len(demand), seats=len(crew))
        self.dispatch, self.cancel = demand.dispatch.tolist(), demand.cancel.tolist()
        self.ready, self.said = demand.ready.tolist(), demand.ready_said.tolist()
        self.merchant = demand.merchant.tolist()
        self.zone = ground.merchants.zone[demand.merchant].tolist()
        self.mx, self.my = ground.merchants.x[demand.merchant].tolist(), ground.merchants.y[demand.merchant].tolist()
        self.dx, self.dy, self.way = demand.x.tolist(), demand.y.tolist(), demand.way_m.tolist()
        self.door_zone = ground.cell(demand.x, demand.y).tolist()
        self.propensity, self.fate = demand.propensity.tolist(), demand.fate.tolist()
        self.patience = demand.patience.tolist()
        self.x, self.y, self.speed = crew.x.tolist(), crew.y.tolist(), crew.speed.tolist()
        self.at_zone = ground.cell(crew.x, crew.y).tolist()
        self.end, self.break_at = crew.end.tolist(), crew.break_at.tolist()
        self.break_for = (crew.break_for + crew.overstay).tolist()
        self.stack, self.reach = crew.stack.tolist(), crew.reach_m.tolist()
        self.last, self.before = [-1] * len(crew), [-1] * len(crew)  # a driver's two latest orders
        self.asked: dict[int, list[int]] = {}
        self.idle: list[list[int]] = [[] for _ in ground.rings]
        self.finishing: list[list[tuple[int, int]]] = [[] for _ in ground.rings]
        self.dry = [-1] * len(ground.rings)
        self.waiting: dict[int, int] = {}  # merchant -> the latest order that a driver with room fetches there
        self.near = [ground.near(zone) for zone in range(len(ground.rings))]
        self.book.ready_at = crew.start.tolist()
        self.book.free_at = crew.start.tolist()
        self.heap = [(at, FREE, seat) for seat, at in enumerate(self.book.ready_at)]
        self.heap += [(_cycle(at), ASK, order) for order, at in enumerate(self.dispatch)]

    def work(self) -> Book:
        heapify(self.heap)
        handle = (self.free, self.release, self.ask)
        while self.heap:
            at, kind, index = heappop(self.heap)
            if at >= self.now:
                break
            handle[kind](index, at)
        for order, cancel in enumerate(self.cancel):  # customers who left while their order lay on the desk
            if cancel <= self.now and self.book.assigned[order] == NEVER and self.book.ended[order] == NEVER:
                self.close(order, cancel, CANCELLED)
        return self.book

    def free(self, seat: int, at: int) -> None:
        book = self.book
        if book.ready_at[seat] != at or at >= self.end[seat] or book.forced_off[seat] != NEVER:
            return
        if book.cooled[seat] > at:  # still to answer an offer, or resting after one
            self.wake(seat, book.cooled[seat])
        elif self.break_at[seat] <= at:
            self.rest(seat, self.break_at[seat] if book.free_at[seat] == at else at, at)
        else:
            self.idle[self.at_zone[seat]].append(seat)

    def rest(self, seat: int, asked: int, at: int) -> None:
        until = at + self.break_for[seat]
        self.book.breaks.append((seat, asked, at, until))
        self.break_at[seat] = NEVER
        self.wake(seat, until)

    def wake(self, seat: int, at: int) -> None:
        if at < NEVER and at != self.book.ready_at[seat]:  # one waking at one instant, or a driver would be idle twice
            heappush(self.heap, (at, FREE, seat))
        self.book.ready_at[seat] = at

    def close(self, order: int, at: int, state: str) -> None:
        self.book.ended[order], self.book.end_state[order] = at, state

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
        if other < 0 or self.book.picked[other] <= at + TIMEOUT + ANSWER_GRACE or self.book.picked[other] == NEVER:
            return -1
        seat = self.book.seat[other]
        alone = self.last[seat] == other and (self.before[seat] < 0 or self.book.ended[self.before[seat]] <= at)
        together = abs(self.said[order] - self.said[other]) <= 8 * MINUTE and self.cancel[other] == NEVER
        return seat if alone and together and self.open(seat, at) else -1

    def open(self, seat: int, at: int) -> bool:
        """Return whether a busy driver may be asked for a second job."""
        soon = at + TIMEOUT + ANSWER_GRACE
        here = self.stack[seat] > 1 and self.book.cooled[seat] <= at
        return here and self.break_at[seat] > soon and self.end[seat] > at + LAST_CALL

    def nearest(self, order: int, at: int, idle: list[int], asked: list[int] | tuple[()]) -> int:
        """Return the nearest of the dozen who have been idle longest in a zone, no longer idle; -1 if there is none."""
        x, y, break_at, end, last_call = self.mx[order], self.my[order], self.break_at, self.end, at + LAST_CALL
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

    def finisher(self, at: int, finishing: list[tuple[int, int]], asked: list[int] | tuple[()]) -> int:
        """Return a driver with one job in custody that ends within ten minutes."""
        while finishing and finishing[0][0] <= at:
            heappop(finishing)
        for ends, seat in finishing[:4]:
            other, earlier = self.last[seat], self.before[seat]
            alone = self.book.free_at[seat] == ends and (earlier < 0 or self.book.ended[earlier] <= at)
            carried = self.book.picked[other] <= at and ends <= at + 10 * MINUTE and self.fate[other] == 0
            if alone and carried and seat not in asked and self.open(seat, at):
                return seat
        return -1

    def offer(self, order: int, seat: int, at: int) -> None:
        book = self.book
        asked = self.asked.setdefault(order, [])
        draw = order * DRAWN + len(asked)
        asked.append(seat)
        away = CIRCUITY * (abs(self.x[seat] - self.mx[order]) ** 2 + abs(self.y[seat] - self.my[order]) ** 2) ** 0.5
        way = int(away + self.way[order])
        pay = 480 + way * 9 // 100
        busy = book.free_at[seat] > at
        answered, state = self.answer(order, draw, at)
        round_ = book.attempt[order] + 1
        book.offers.append(Asked(order, seat, book.episode[order], round_, state, at, answered, pay, way))
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
            heappush(self.heap, (_cycle(answered), ASK, order))
        return None

    def answer(self, order: int, draw: int, at: int) -> tuple[int, int]:
        """Return (when, what) of an answer."""
        u, deadline = self.luck.answer[draw], at + TIMEOUT + ANSWER_GRACE
        answered, state = at + self.luck.reply[draw], ACCEPTED
        if u >= 1 - SILENT or answered >= deadline:
            answered, state = _cycle(deadline), EXPIRED
        elif u < self.propensity[order] * (1 - SILENT):
            state = DECLINED
        if self.live and at > self.now - QUIET:
            answered, state = NEVER, PENDING
        if self.cancel[order] <= min(answered, self.now):
            answered, state = self.cancel[order], REVOKED
        return answered, state

    def accept(self, order: int, seat: int, at: int, away: float, pay: int) -> None:
        book, luck = self.book, self.luck
        other = self.last[seat] if book.free_at[seat] > at else -1
        book.assigned[order], book.seat[order], book.pay[order] = at, seat, pay
        book.first_assigned[order] = min(book.first_assigned[order], at)
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
        until = _cycle(at + SUSPECT_AFTER + CASE_GRACE)
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
        picked = max(book.picked[other], self.ready[order] + self.luck.handover[order] // 2, at + 20 * SECOND)
        if self.cancel[order] < picked:
            return self.close(order, self.cancel[order], CANCELLED)
        later = picked - book.picked[other]
        for moment in (book.door, book.turned, book.ended):
            moment[other] += later if moment[other] < NEVER else 0
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
        x, y = self.x[seat], self.y[seat]
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


def _cycle(at: int) -> int:
    """Return the first dispatch cycle at or after an instant."""
    return -(-at // CYCLE) * CYCLE

"""The dispatcher's desk: what is known of orders and drivers, and the queue of what happens next.

Plain lists, because single values are touched millions of times.
"""

from __future__ import annotations

from heapq import heappush

from dispatchkit.simulation.book import Book
from dispatchkit.simulation.crew import Crew
from dispatchkit.simulation.demand import Demand
from dispatchkit.simulation.ground import Ground
from dispatchkit.simulation.luck import Luck
from dispatchkit.simulation.plan import MINUTE, NEVER, SECOND

CYCLE, TIMEOUT, ANSWER_GRACE, COOLDOWN = 30 * SECOND, 60 * SECOND, 2 * SECOND, 60 * SECOND
SUSPECT_AFTER, CASE_GRACE, REST = 5 * MINUTE, 5 * MINUTE, 15 * MINUTE
LAST_CALL = 12 * MINUTE  # nobody is asked so shortly before the end of a shift
QUIET = (
    5 * MINUTE
)  # before the live instant: answers have stopped coming in, and a third of the searches wait
BLIND = 25 * MINUTE  # before the live instant: nobody has looked after stalled drivers
FREE, RELEASE, ASK = 0, 1, 2  # at one instant drivers become free before anyone is asked


class Desk:
    """Lists by order or by seat (index into the crew), the book that is being written, and a heap of events."""

    def __init__(self, demand: Demand, crew: Crew, luck: Luck, ground: Ground, now: int) -> None:
        self.luck, self.now = luck, now
        self.live = now < NEVER - 1
        self.book = Book(orders=len(demand), seats=len(crew))
        self.dispatch, self.cancel = demand.dispatch.tolist(), demand.cancel.tolist()
        self.ready, self.said = demand.ready.tolist(), demand.ready_said.tolist()
        self.merchant = demand.merchant.tolist()
        self.zone = ground.merchants.zone[demand.merchant].tolist()
        self.mx, self.my = (
            ground.merchants.x[demand.merchant].tolist(),
            ground.merchants.y[demand.merchant].tolist(),
        )
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
        self.waiting: dict[
            int, int
        ] = {}  # merchant -> the latest order that a driver with room fetches there
        self.near = [ground.near(zone) for zone in range(len(ground.rings))]
        self.book.ready_at = crew.start.tolist()
        self.book.free_at = crew.start.tolist()
        self.heap = sorted((at, FREE, seat) for seat, at in enumerate(self.book.ready_at))

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
        if (
            at < NEVER and at != self.book.ready_at[seat]
        ):  # one waking at one instant, or a driver would be idle twice
            heappush(self.heap, (at, FREE, seat))
        self.book.ready_at[seat] = at

    def close(self, order: int, at: int, state: str) -> None:
        self.book.ended[order], self.book.end_state[order] = at, state


def cycle(at: int) -> int:
    """Return the first dispatch cycle at or after an instant."""
    return -(-at // CYCLE) * CYCLE

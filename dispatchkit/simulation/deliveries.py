"""The tables of orders and of what became of them: orders, deliveries, search episodes, reassignment cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from dispatchkit.domain.states import ACTIVE
from dispatchkit.simulation.book import Day
from dispatchkit.simulation.desk import CASE_GRACE, SUSPECT_AFTER
from dispatchkit.simulation.ground import Ground, degrees
from dispatchkit.simulation.luck import STALLS, Luck
from dispatchkit.simulation.plan import MINUTE, NEVER, SECOND, Ints

DELIVERY_ID = (
    10_000_000  # added to an order's id, so that no join on the wrong column goes unnoticed
)
NOTHING = np.array(None, dtype=object)
HANDING_OVER = 30 * SECOND
STAGES = ("assigned", "started", "arrived", "picked", "door", "turned")
WORDS = (
    "ASSIGNED",
    "EN_ROUTE_PICKUP",
    "ARRIVED_PICKUP",
    "PICKED_UP",
    "ARRIVED_DROPOFF",
    "RETURNING",
)


@dataclass(frozen=True)
class Stages:
    """Every order's times (ms of the day) as known at the day's instant: what lies ahead, or never came, is NEVER."""

    day: Day
    times: dict[str, Ints]
    ended: Ints
    pending: npt.NDArray[np.bool_]
    state: npt.NDArray[np.object_]
    state_before_end: npt.NDArray[np.object_]

    def of(self, *words: str) -> npt.NDArray[np.bool_]:
        """Return which orders are in one of the states."""
        return np.isin(self.state, words)


def stages(day: Day) -> Stages:
    """Return where every order stands at the day's instant."""
    book = day.book
    ended = _by(book.times("ended"), day.now)
    last = np.minimum(ended, day.now)  # a stage planned after a cancellation never comes
    times = {name: _by(book.times(name), last) for name in STAGES}
    pending = np.zeros(len(ended), dtype=bool)
    pending[[offer.order for offer in book.offers if offer.answered > day.now]] = True
    before = _state(day, times, pending & (ended == NEVER), np.minimum(last, ended - 1))
    final = np.array(book.end_state, dtype=object)
    return Stages(day, times, ended, pending, np.where(ended < NEVER, final, before), before)


def _state(
    day: Day, times: dict[str, Ints], pending: npt.NDArray[np.bool_], at: Ints
) -> npt.NDArray[np.object_]:
    state = np.where(day.demand.dispatch > at, "SCHEDULED", "UNASSIGNED").astype(object)
    state[pending] = "OFFERING"
    for name, word in zip(STAGES, WORDS, strict=True):
        state[times[name] <= at] = word
        if name == "picked":
            state[times[name] + HANDING_OVER <= at] = "EN_ROUTE_DROPOFF"
    return state


def _by(times: Ints, now: int | Ints) -> Ints:
    return np.where(times <= now, times, NEVER)


def instants(since_us: int, ms: Ints) -> pl.Series:
    """Return milliseconds of a day as UTC instants, NEVER as null."""
    stamps = (since_us + np.where(ms < NEVER, ms, 0) * 1000).astype("datetime64[us]")
    stamps[ms >= NEVER] = np.datetime64("NaT")
    return pl.Series(stamps).dt.replace_time_zone("UTC")


def ids(
    values: Ints, *, offset: int = 1, present: npt.NDArray[np.bool_] | None = None
) -> pl.Series:
    """Return indexes as ids from 1; null where not present."""
    series = pl.Series((values + offset).astype(np.int64))
    return (
        series
        if present is None
        else pl.select(pl.when(pl.Series(present)).then(series)).to_series()
    )


def orders_frame(day: Day, ground: Ground, since_us: int) -> pl.DataFrame:
    """Return the day's orders; `ready_at` is what the kitchen said until the food is ready, then when it was."""
    d = day.demand
    lat, lon = degrees(d.x, d.y)
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(d)), offset=d.first_id),
            "customer_id": ids(d.customer),
            "merchant_id": ids(d.merchant),
            "zone_id": ids(ground.merchants.zone[d.merchant]),
            "placed_at": instants(since_us, d.placed),
            "ready_at": instants(since_us, np.where(d.ready <= day.now, d.ready, d.ready_said)),
            "promised_at": instants(since_us, d.promised),
            "items": d.items,
            "goods_cents": d.goods,
            "fee_cents": d.fee,
            "dropoff_lat": lat,
            "dropoff_lon": lon,
            "source": np.full(len(d), "city"),
        }
    )


def deliveries_frame(st: Stages, since_us: int) -> pl.DataFrame:
    """Return the day's deliveries in the state they have at the day's instant."""
    day, d, book = st.day, st.day.demand, st.day.book
    held = np.isin(st.state, [*ACTIVE, "DELIVERED", "RETURNED", "FAILED"])
    driver = day.crew.driver[np.maximum(book.times("seat"), 0)]
    given_up = st.of("CANCELLED", "UNFULFILLED", "FAILED", "RETURNED")
    by = np.where(
        st.of("CANCELLED", "FAILED", "RETURNED"),
        "customer",
        np.where(st.of("DELIVERED"), "driver", "system"),
    )
    named = {
        "id": ids(np.arange(len(d)), offset=d.first_id + DELIVERY_ID),
        "order_id": ids(np.arange(len(d)), offset=d.first_id),
        "replaces": pl.repeat(None, len(d), dtype=pl.Int64, eager=True),
        "state": _words(st.state),
        "episode": episode_now(st),
        "attempt": np.where(st.of("SCHEDULED"), 0, book.times("attempt")),
        "priority": (book.times("episode") > 1).astype(np.int64),
        "driver_id": ids(driver, present=held),
        "driver_unknown": np.zeros(len(d), dtype=bool),
        "slot": ids(book.times("slot"), offset=0, present=np.isin(st.state, list(ACTIVE))),
        "created_at": instants(since_us, d.placed),
        "dispatch_at": instants(since_us, d.dispatch),
        "assigned_at": instants(since_us, st.times["assigned"]),
        "started_at": instants(since_us, st.times["started"]),
        "arrived_pickup_at": instants(since_us, st.times["arrived"]),
        "picked_up_at": instants(since_us, st.times["picked"]),
        "arrived_dropoff_at": instants(since_us, st.times["door"]),
        "ended_at": instants(since_us, st.ended),
        "ended_by": _words(np.where(st.ended < NEVER, by, NOTHING)),
        "ended_while": _words(np.where(given_up, st.state_before_end, NOTHING)),
        "liable": _words(np.where(given_up, by, NOTHING)),
        "lock_until": pl.repeat(None, len(d), dtype=pl.Datetime("us", "UTC"), eager=True),
        "version": np.ones(len(d), dtype=np.int64),
    }
    return pl.DataFrame(named)


def episode_now(st: Stages) -> Ints:
    """Return the episode number; a cancellation frees the driver, so the episode that the acceptance ended is over."""
    let_go = st.of("CANCELLED") & (st.times["assigned"] < NEVER)
    return np.asarray(st.day.book.times("episode") + let_go, dtype=np.int64)


def _words(values: npt.NDArray[np.object_]) -> pl.Series:
    return pl.Series(values.tolist(), dtype=pl.String)


def episodes_frame(st: Stages, since_us: int, first_id: int) -> pl.DataFrame:
    """Return the day's search episodes with the level that age and attempts had reached (design, semantics 2.4)."""
    day, book = st.day, st.day.book
    released, first = book.times("released"), book.times("first_assigned")
    opened = np.flatnonzero(
        (st.day.demand.dispatch <= day.now) & (st.ended > st.day.demand.dispatch)
    )
    again = np.flatnonzero(released <= day.now)
    order = np.concatenate([opened, again])
    number = np.repeat([1, 2], [len(opened), len(again)])
    since = np.where(number == 1, day.demand.dispatch[order], released[order])
    over = st.times["assigned"][order]
    assigned = np.where((number == 1) & (released[order] < NEVER), first[order], over)
    closed = np.minimum(assigned, st.ended[order])
    state = np.where(
        closed == NEVER, "OPEN", np.where(assigned < NEVER, "ASSIGNED", st.state[order])
    )
    age = np.minimum(closed, day.now) - since
    asked = _unaccepted(day)[number - 1, order]
    level = np.maximum(
        np.searchsorted(np.array([3, 6, 10, 20]) * MINUTE, age, side="right"),
        np.searchsorted([3, 5, 8], asked, side="right"),
    )
    by_age = since + np.array([0, 3, 6, 10, 20])[level] * MINUTE
    due = np.where(level > 0, np.minimum(by_age, np.minimum(closed, day.now)), NEVER)
    cause = np.where(number == 2, "STALL", np.where(asked > 0, "NO_ACCEPTANCE", "NO_SUPPLY"))
    nothing = pl.repeat(None, len(order), dtype=pl.Datetime("us", "UTC"), eager=True)
    rank = np.lexsort((number, order))
    frame = pl.DataFrame(
        {
            "id": ids(np.arange(len(order)), offset=first_id),
            "delivery_id": ids(order[rank], offset=day.demand.first_id + DELIVERY_ID),
            "episode": number[rank],
            "state": _words(state[rank]),
            "opened_at": instants(since_us, since[rank]),
            "closed_at": instants(since_us, closed[rank]),
            "level": level[rank].astype(np.int64),
            "level_due_at": instants(since_us, due[rank]),
            "level_at": instants(since_us, due[rank]),
            "acked_at": nothing,
            "snoozed_until": nothing,
            "reminders": np.zeros(len(order), dtype=np.int64),
            "reminded_at": nothing,
            "cause": _words(np.where(level > 0, cause, NOTHING)[rank]),
            "version": np.ones(len(order), dtype=np.int64),
        }
    )
    return frame


def tickets_frame(episodes: pl.DataFrame) -> pl.DataFrame:
    """Return a ticket for each of the day's episodes that reached level 3, closed with its episode."""
    open_ = pl.col("state") == "OPEN"
    return episodes.filter(pl.col("level") >= 3).select(
        "id",
        "delivery_id",
        "episode",
        pl.lit(3, pl.Int64).alias("level"),
        "cause",
        pl.when(open_).then(pl.lit("OPEN")).otherwise(pl.lit("CLOSED")).alias("state"),
        pl.col("level_at").alias("opened_at"),
        pl.col("level_due_at").alias("due_at"),
        "closed_at",
        pl.when(open_).then(None).otherwise(pl.lit("system:escalation")).alias("closed_by"),
        "version",
    )


def _unaccepted(day: Day) -> Ints:
    """Return how many offers of (episode - 1, order) ended unaccepted."""
    count = np.zeros((2, len(day.demand)), dtype=np.int64)
    done = [
        (o.episode - 1, o.order) for o in day.book.offers if o.state > 1 and o.answered <= day.now
    ]
    np.add.at(count, tuple(np.array(done, dtype=np.int64).reshape(-1, 2).T), 1)
    return count


def cases_frame(
    st: Stages, ground: Ground, luck: Luck, since_us: int, first_id: int
) -> pl.DataFrame:
    """Return the reassignment cases of stalled drivers: cleared in grace, released and what came of it, or still open.

    Of the stalls that nobody has looked after at the live instant every second has a case, in grace that is over.
    """
    day, book = st.day, st.day.book
    stalled, first = book.times("stalled_seat"), book.times("first_assigned")
    released, started = book.times("released"), st.times["started"]
    seen = (stalled >= 0) & (first + SUSPECT_AFTER <= day.now)
    neglected = (released == NEVER) & (started == NEVER)
    who = np.flatnonzero(seen & ~(neglected & (np.arange(len(stalled)) % 2 == 0)))
    suspected = first[who] + SUSPECT_AFTER
    gone, ended, assigned = released[who], st.ended[who], st.times["assigned"][who]
    final = st.state[who]
    state = np.where(started[who] < NEVER, "CLEARED", "GRACE").astype(object)
    state[gone < NEVER] = "REOFFERING"
    state[(gone < NEVER) & (assigned < NEVER)] = "REASSIGNED"
    state[(gone < NEVER) & (final == "DELIVERED")] = "SUCCEEDED"
    state[(gone < NEVER) & np.isin(final, ["UNFULFILLED", "FAILED", "RETURNED"])] = "EXHAUSTED"
    state[(gone < NEVER) & (final == "CANCELLED")] = "ABORTED"
    closed = np.where(state == "CLEARED", started[who], np.where(gone < NEVER, ended, NEVER))
    new = np.isin(state, ["REASSIGNED", "SUCCEEDED"]) & (book.times("seat")[who] >= 0)
    away = _to_merchant(day, ground, who)
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(who)), offset=first_id),
            "delivery_id": ids(who, offset=day.demand.first_id + DELIVERY_ID),
            "driver_id": ids(day.crew.driver[stalled[who]]),
            "episode": np.ones(len(who), dtype=np.int64),
            "trigger": pl.Series([STALLS[luck.stall_kind[i]] for i in who], dtype=pl.String),
            "state": _words(state),
            "suspected_at": instants(since_us, suspected),
            "grace_until": instants(since_us, suspected + CASE_GRACE),
            "confirmed_at": instants(since_us, gone),
            "released_at": instants(since_us, gone),
            "closed_at": instants(since_us, closed),
            "pickup_distance_m": away,
            "new_driver_id": ids(
                day.crew.driver[np.maximum(book.times("seat")[who], 0)], present=new
            ),
            "actor": pl.repeat("system:reassignment", len(who), dtype=pl.String, eager=True),
            "version": np.ones(len(who), dtype=np.int64),
        }
    )


def _to_merchant(day: Day, ground: Ground, who: Ints) -> Ints:
    """Return the straight metres from the stalled driver, who has not moved, to the merchant."""
    merchant = day.demand.merchant[who]
    x, y = np.array(day.book.stall_x)[who], np.array(day.book.stall_y)[who]
    away = np.hypot(ground.merchants.x[merchant] - x, ground.merchants.y[merchant] - y)
    return np.asarray(away, dtype=np.int64)

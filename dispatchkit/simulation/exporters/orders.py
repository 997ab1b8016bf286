"""Tables of orders and what became of them: orders, deliveries, episodes, cases, tickets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from dispatchkit.domain.states import ACTIVE
from dispatchkit.simulation.day_log import DECLINED, Day
from dispatchkit.simulation.dispatcher_state import CASE_GRACE, SUSPECT_AFTER
from dispatchkit.simulation.exporters.columns import (
    Mask,
    delivery_ids,
    ids,
    instants,
    repeated,
    texts,
)
from dispatchkit.simulation.geography import Geography, degrees
from dispatchkit.simulation.outcomes import STALLS, Outcomes
from dispatchkit.simulation.scenario import MINUTE, NEVER, SECOND, Ints

NOTHING = np.array(None, dtype=object)
DEPARTURE = 30 * SECOND  # from the pickup to the way to the door
STAGES = {  # list of the day log -> state from then on
    "assigned": "ASSIGNED",
    "started": "EN_ROUTE_PICKUP",
    "arrived": "ARRIVED_PICKUP",
    "picked_up": "PICKED_UP",
    "at_door": "ARRIVED_DROPOFF",
    "turned_back": "RETURNING",
}
LEVEL_AGES = np.array([0, 3, 6, 10, 20]) * MINUTE  # age at which an episode reaches levels 0 to 4
LEVEL_REFUSALS = [3, 5, 8]  # offers ended without acceptance at which it reaches levels 1 to 3
TICKET_LEVEL = 3


@dataclass(frozen=True)
class Snapshot:
    """All orders as known at the day's instant; arrays by order.

    The log holds planned times too. Here what lies ahead, or was planned and never came, is NEVER.
    """

    day: Day
    times: dict[str, Ints]  # the names of STAGES -> ms of the day
    ended: Ints
    state: npt.NDArray[np.object_]
    state_before_end: npt.NDArray[np.object_]

    def is_in(self, *states: str) -> Mask:
        """Return which orders are in one of the states."""
        return np.isin(self.state, states)


def take_snapshot(day: Day) -> Snapshot:
    """Return all orders as known at the day's instant."""
    log = day.log
    ended = _until(log.times("ended"), day.now)
    last = np.minimum(ended, day.now)  # a stage planned after a cancellation never comes
    times = {name: _until(log.times(name), last) for name in STAGES}
    pending = np.zeros(len(ended), dtype=bool)
    pending[[offer.order for offer in log.offers if offer.answered > day.now]] = True

    before_end = np.minimum(last, ended - 1)
    state = np.where(day.demand.dispatch > before_end, "SCHEDULED", "UNASSIGNED").astype(object)
    state[pending & (ended == NEVER)] = "OFFERING"
    for name, word in STAGES.items():
        state[times[name] <= before_end] = word
        if name == "picked_up":
            state[times[name] + DEPARTURE <= before_end] = "EN_ROUTE_DROPOFF"
    final = np.array(log.end_state, dtype=object)
    return Snapshot(day, times, ended, np.where(ended < NEVER, final, state), state)


def _until(times: Ints, now: int | Ints) -> Ints:
    return np.where(times <= now, times, NEVER)


def orders_frame(day: Day, geography: Geography, since_us: int) -> pl.DataFrame:
    """Return the orders table.

    `ready_at` is the kitchen's estimate until the food is ready, then the time when it was.
    """
    demand = day.demand
    lat, lon = degrees(demand.x, demand.y)
    ready = np.where(demand.ready <= day.now, demand.ready, demand.ready_estimate)
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(demand)), offset=demand.first_id),
            "customer_id": ids(demand.customer),
            "merchant_id": ids(demand.merchant),
            "zone_id": ids(geography.merchants.zone[demand.merchant]),
            "placed_at": instants(since_us, demand.placed),
            "ready_at": instants(since_us, ready),
            "promised_at": instants(since_us, demand.promised),
            "items": demand.items,
            "goods_cents": demand.goods,
            "fee_cents": demand.fee,
            "dropoff_lat": lat,
            "dropoff_lon": lon,
            "source": np.full(len(demand), "city"),
        }
    )


def deliveries_frame(snapshot: Snapshot, since_us: int) -> pl.DataFrame:
    """Return the deliveries table at the day's instant."""
    day, demand, log = snapshot.day, snapshot.day.demand, snapshot.day.log
    count, times = len(demand), snapshot.times
    has_driver = np.isin(snapshot.state, [*ACTIVE, "DELIVERED", "RETURNED", "FAILED"])
    driver = day.roster.driver[np.maximum(log.times("driver_index"), 0)]
    # A cancellation frees the driver, so the episode that the acceptance ended is over.
    freed = snapshot.is_in("CANCELLED") & (times["assigned"] < NEVER)
    not_delivered = snapshot.is_in("CANCELLED", "UNFULFILLED", "FAILED", "RETURNED")
    by_customer = snapshot.is_in("CANCELLED", "FAILED", "RETURNED")
    by_others = np.where(snapshot.is_in("DELIVERED"), "driver", "system")
    ended_by = np.where(by_customer, "customer", by_others)
    return pl.DataFrame(
        {
            "id": delivery_ids(demand, np.arange(count)),
            "order_id": ids(np.arange(count), offset=demand.first_id),
            "replaces": repeated(None, count, pl.Int64),
            "state": texts(snapshot.state),
            "episode": log.times("episode") + freed,
            "attempt": np.where(snapshot.is_in("SCHEDULED"), 0, log.times("attempt")),
            "priority": (log.times("episode") > 1).astype(np.int64),
            "driver_id": ids(driver, present=has_driver),
            "driver_unknown": np.zeros(count, dtype=bool),
            "slot": ids(log.times("slot"), offset=0, present=snapshot.is_in(*ACTIVE)),
            "created_at": instants(since_us, demand.placed),
            "dispatch_at": instants(since_us, demand.dispatch),
            "assigned_at": instants(since_us, times["assigned"]),
            "started_at": instants(since_us, times["started"]),
            "arrived_pickup_at": instants(since_us, times["arrived"]),
            "picked_up_at": instants(since_us, times["picked_up"]),
            "arrived_dropoff_at": instants(since_us, times["at_door"]),
            "ended_at": instants(since_us, snapshot.ended),
            "ended_by": texts(np.where(snapshot.ended < NEVER, ended_by, NOTHING)),
            "ended_while": texts(np.where(not_delivered, snapshot.state_before_end, NOTHING)),
            "liable": texts(np.where(not_delivered, ended_by, NOTHING)),
            "lock_until": repeated(None, count, pl.Datetime("us", "UTC")),
            "version": np.ones(count, dtype=np.int64),
        }
    )


def episodes_frame(snapshot: Snapshot, since_us: int, first_id: int) -> pl.DataFrame:
    """Return the unassigned_orders table: search episodes with the escalation level reached.

    A delivery has a second episode if it was released from a driver who did nothing.
    """
    day, demand, log = snapshot.day, snapshot.day.demand, snapshot.day.log
    released = log.times("released")
    first = np.flatnonzero((demand.dispatch <= day.now) & (snapshot.ended > demand.dispatch))
    second = np.flatnonzero(released <= day.now)
    order = np.concatenate([first, second])
    number = np.repeat([1, 2], [len(first), len(second)])
    by_order = np.lexsort((number, order))
    order, number = order[by_order], number[by_order]

    opened = np.where(number == 1, demand.dispatch[order], released[order])
    reassigned = (number == 1) & (released[order] < NEVER)
    assigned = np.where(
        reassigned, log.times("first_assigned")[order], snapshot.times["assigned"][order]
    )
    closed = np.minimum(assigned, snapshot.ended[order])
    ended_state = np.where(assigned < NEVER, "ASSIGNED", snapshot.state[order])
    state = np.where(closed == NEVER, "OPEN", ended_state)

    until = np.minimum(closed, day.now)
    refusals = _refusals(day)[number - 1, order]
    level = np.maximum(
        np.searchsorted(LEVEL_AGES[1:], until - opened, side="right"),
        np.searchsorted(LEVEL_REFUSALS, refusals, side="right"),
    )
    due = np.where(level > 0, np.minimum(opened + LEVEL_AGES[level], until), NEVER)
    cause = np.where(number == 2, "STALL", np.where(refusals > 0, "NO_ACCEPTANCE", "NO_SUPPLY"))
    count = len(order)
    nothing = repeated(None, count, pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "id": ids(np.arange(count), offset=first_id),
            "delivery_id": delivery_ids(demand, order),
            "episode": number,
            "state": texts(state),
            "opened_at": instants(since_us, opened),
            "closed_at": instants(since_us, closed),
            "level": level.astype(np.int64),
            "level_due_at": instants(since_us, due),
            "level_at": instants(since_us, due),
            "acked_at": nothing,
            "snoozed_until": nothing,
            "reminders": np.zeros(count, dtype=np.int64),
            "reminded_at": nothing,
            "cause": texts(np.where(level > 0, cause, NOTHING)),
            "version": np.ones(count, dtype=np.int64),
        }
    )


def _refusals(day: Day) -> Ints:
    """Return how many offers ended without acceptance, by (episode - 1, order)."""
    count = np.zeros((2, len(day.demand)), dtype=np.int64)
    refused = [
        (offer.episode - 1, offer.order)
        for offer in day.log.offers
        if offer.state >= DECLINED and offer.answered <= day.now
    ]
    np.add.at(count, tuple(np.array(refused, dtype=np.int64).reshape(-1, 2).T), 1)
    return count


def tickets_frame(episodes: pl.DataFrame) -> pl.DataFrame:
    """Return a ticket for each episode that reached level 3; it is closed with its episode."""
    is_open = pl.col("state") == "OPEN"
    return episodes.filter(pl.col("level") >= TICKET_LEVEL).select(
        "id",
        "delivery_id",
        "episode",
        pl.lit(TICKET_LEVEL, pl.Int64).alias("level"),
        "cause",
        pl.when(is_open).then(pl.lit("OPEN")).otherwise(pl.lit("CLOSED")).alias("state"),
        pl.col("level_at").alias("opened_at"),
        pl.col("level_due_at").alias("due_at"),
        "closed_at",
        pl.when(is_open).then(None).otherwise(pl.lit("system:escalation")).alias("closed_by"),
        "version",
    )


def cases_frame(
    snapshot: Snapshot, geography: Geography, outcomes: Outcomes, since_us: int, first_id: int
) -> pl.DataFrame:
    """Return the reassignment cases of stalled drivers: cleared, released with the result, or open.

    Of the stalls that nobody looked after before the live instant, every second one has a case,
    whose grace is over.
    """
    day, log = snapshot.day, snapshot.day.log
    stalled, accepted = log.times("stalled_driver"), log.times("first_assigned")
    released, started = log.times("released"), snapshot.times["started"]
    suspected = (stalled >= 0) & (accepted + SUSPECT_AFTER <= day.now)
    unwatched = (released == NEVER) & (started == NEVER)
    order = np.flatnonzero(suspected & ~(unwatched & (np.arange(len(stalled)) % 2 == 0)))

    suspected_at = accepted[order] + SUSPECT_AFTER
    released, started, ended = released[order], started[order], snapshot.ended[order]
    was_released, final = released < NEVER, snapshot.state[order]
    reassigned = snapshot.times["assigned"][order] < NEVER
    state = np.where(started < NEVER, "CLEARED", "GRACE").astype(object)
    state[was_released] = "REOFFERING"
    state[was_released & reassigned] = "REASSIGNED"
    state[was_released & (final == "DELIVERED")] = "SUCCEEDED"
    state[was_released & np.isin(final, ["UNFULFILLED", "FAILED", "RETURNED"])] = "EXHAUSTED"
    state[was_released & (final == "CANCELLED")] = "ABORTED"
    closed = np.where(state == "CLEARED", started, np.where(was_released, ended, NEVER))

    new_driver = log.times("driver_index")[order]
    has_new = np.isin(state, ["REASSIGNED", "SUCCEEDED"]) & (new_driver >= 0)
    # The stalled driver has not moved since the acceptance.
    merchant = day.demand.merchant[order]
    east = geography.merchants.x[merchant] - np.array(log.stall_x)[order]
    north = geography.merchants.y[merchant] - np.array(log.stall_y)[order]
    count = len(order)
    return pl.DataFrame(
        {
            "id": ids(np.arange(count), offset=first_id),
            "delivery_id": delivery_ids(day.demand, order),
            "driver_id": ids(day.roster.driver[stalled[order]]),
            "episode": np.ones(count, dtype=np.int64),
            "trigger": pl.Series([STALLS[outcomes.stall_kind[i]] for i in order], dtype=pl.String),
            "state": texts(state),
            "suspected_at": instants(since_us, suspected_at),
            "grace_until": instants(since_us, suspected_at + CASE_GRACE),
            "confirmed_at": instants(since_us, released),
            "released_at": instants(since_us, released),
            "closed_at": instants(since_us, closed),
            "pickup_distance_m": np.asarray(np.hypot(east, north), dtype=np.int64),
            "new_driver_id": ids(day.roster.driver[np.maximum(new_driver, 0)], present=has_new),
            "actor": repeated("system:reassignment", count, pl.String),
            "version": np.ones(count, dtype=np.int64),
        }
    )

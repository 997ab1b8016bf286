"""The money of a day in whole cents: delivery_costs and delivery_revenue.

Drivers have a guarantee for each hour on duty; shifts that earned less are topped up.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np
import polars as pl

from dispatchkit.kernel.money import split, to_cents
from dispatchkit.simulation.exporters.columns import Mask, delivery_ids, ids, instants, repeated
from dispatchkit.simulation.exporters.duties import DutySpan
from dispatchkit.simulation.exporters.orders import Snapshot
from dispatchkit.simulation.geography import Geography
from dispatchkit.simulation.scenario import HOUR, MINUTE, NEVER, SECOND, Ints, random_stream

GUARANTEE = 1_500  # cents an hour on duty, as in the public data set grubhub/mdrplib
CANCEL_PAY = 250  # to the driver of a cancelled delivery
CREDIT = 500  # to the customer of an order that found no driver
PAID_DUTY = ("ON_DUTY", "BREAK_PENDING", "ENDING_SHIFT")
RULE = "city-1"
COSTS = ("cancel_pay", "guarantee_topup", "idle_topup", "payment_fee", "piece_pay")
EARNED = (  # side, kind
    ("revenue", "delivery_fee"),
    ("revenue", "merchant_commission"),
    ("revenue", "service_fee"),
    ("pass_through", "tip"),
    ("contra", "refund"),
    ("contra", "credit"),
)
# Order, driver_index, cents, ms, index into COSTS or EARNED; -1 for no order, no driver.
Lines = tuple[Ints, Ints, Ints, Ints, Ints]


def costs_frame(
    snapshot: Snapshot,
    geography: Geography,
    intervals: list[DutySpan],
    since_us: int,
    first_id: int,
) -> pl.DataFrame:
    """Return piece pay, cancellation pay, payment fees and top-ups, by time."""
    day, demand, ended = snapshot.day, snapshot.day.demand, snapshot.ended
    done = snapshot.is_in("DELIVERED", "FAILED", "RETURNED")
    cancelled = snapshot.is_in("CANCELLED") & (snapshot.times["assigned"] < NEVER)
    charged = demand.goods + demand.fee + _service_fee(demand.goods) + demand.tip
    payment_fee = (charged * 29 + 500) // 1000 + 30  # 2.9 % and 30 cents
    drivers, none = day.log.times("driver_index"), np.full(len(demand), -1)
    cancel_pay = np.full(len(demand), CANCEL_PAY)
    lines = [
        _lines(done, COSTS.index("piece_pay"), day.log.times("pay"), drivers, ended),
        _lines(cancelled, COSTS.index("cancel_pay"), cancel_pay, drivers, ended),
        _lines(done, COSTS.index("payment_fee"), payment_fee, none, ended),
        *_topups(snapshot, intervals),
    ]
    order, driver_index, cents, at, kind = _by_time(lines)
    driver = day.roster.driver[np.maximum(driver_index, 0)]
    merchant_zone = geography.merchants.zone[demand.merchant[np.maximum(order, 0)]]
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(order)), offset=first_id),
            "delivery_id": delivery_ids(demand, order, present=order >= 0),
            "driver_id": ids(driver, present=driver_index >= 0),
            "zone_id": ids(np.where(order >= 0, merchant_zone, geography.base[driver])),
            "at": instants(since_us, at),
            "kind": pl.Series(COSTS).gather(kind),
            "direction": np.ones(len(order), dtype=np.int64),
            "amount_cents": cents,
            "rule": repeated(RULE, len(order), pl.String),
            "corrects": repeated(None, len(order), pl.Int64),
        }
    )


def _lines(mask: Mask, kind: int, cents: Ints, driver_index: Ints, at: Ints) -> Lines:
    """Return one line for each order of the mask with an amount."""
    order = np.flatnonzero(mask & (cents > 0))
    return order, driver_index[order], cents[order], at[order], np.full(len(order), kind)


def _by_time(lines: list[Lines]) -> Lines:
    """Return all lines in one, by time, order and kind."""
    order, driver_index, cents, at, kind = (
        np.concatenate(column) for column in zip(*lines, strict=True)
    )
    rank = np.lexsort((kind, order, at))
    return order[rank], driver_index[rank], cents[rank], at[rank], kind[rank]


def _service_fee(goods: Ints) -> Ints:
    return np.asarray((goods * 10 + 50) // 100, dtype=np.int64)


def _topups(snapshot: Snapshot, intervals: list[DutySpan]) -> list[Lines]:
    """Return the top-ups of shifts that have ended, split over deliveries by their engaged seconds.

    A shift without a delivery gives one idle_topup. Paid hours are those of PAID_DUTY; tips never
    count towards the guarantee.
    """
    log, index_of = snapshot.day.log, snapshot.day.roster.index_of()
    paid_ms, shift_end = defaultdict[int, int](int), {}
    for row in intervals:
        index = index_of.get(row.driver, -1)
        if row.duty in PAID_DUTY and row.until < NEVER:
            paid_ms[index] += row.until - row.since
        elif (row.duty, row.reason) == ("OFF_DUTY", "WORK_DONE"):
            shift_end[index] = row.since

    engaged = _engaged_seconds(snapshot)
    rows: list[tuple[int, int, int, int, int]] = []
    for index, at in sorted(shift_end.items()):
        seconds = engaged.get(index, {})
        guarantee = to_cents(Fraction(GUARANTEE * paid_ms[index], HOUR))
        missing = guarantee - sum(log.pay[order] for order in seconds)
        if missing > 0 and seconds:
            kind = COSTS.index("guarantee_topup")
            for order, share in split(missing, seconds).items():
                if share:
                    rows.append((order, index, share, at, kind))
        elif missing > 0:
            rows.append((-1, index, missing, at, COSTS.index("idle_topup")))
    if not rows:
        return []
    orders, drivers, cents, ends, kinds = (np.array(column) for column in zip(*rows, strict=True))
    return [(orders, drivers, cents, ends, kinds)]


def _engaged_seconds(snapshot: Snapshot) -> dict[int, dict[int, int]]:
    """Return driver_index -> order -> whole seconds from the acceptance to the end.

    Where a driver carries two deliveries at once, each counts half of that time.
    """
    done = np.flatnonzero(snapshot.is_in("DELIVERED", "FAILED", "RETURNED"))
    driver_index = snapshot.day.log.times("driver_index")[done]
    accepted, ended = snapshot.times["assigned"][done], snapshot.ended[done]
    seconds: dict[int, dict[int, int]] = defaultdict(dict)
    latest: dict[int, tuple[int, int]] = {}  # driver_index -> (latest order, its end)
    for i in np.lexsort((accepted, driver_index)).tolist():
        order, index, begin, end = (
            int(done[i]),
            int(driver_index[i]),
            int(accepted[i]),
            int(ended[i]),
        )
        seconds[index][order] = (end - begin) // SECOND
        if index in latest and latest[index][1] > begin:
            other, other_end = latest[index]
            half = (min(other_end, end) - begin) // (2 * SECOND)
            seconds[index][order] -= half
            seconds[index][other] -= half
        latest[index] = (order, end)
    return seconds


def revenue_frame(snapshot: Snapshot, seed: int, since_us: int, first_id: int) -> pl.DataFrame:
    """Return fees and commission, tips passed through, refunds and credits, by time."""
    day, demand, ended = snapshot.day, snapshot.day.demand, snapshot.ended
    done, failed = snapshot.is_in("DELIVERED"), snapshot.is_in("FAILED", "RETURNED")
    late = np.where(done, ended - demand.promised, 0)
    complains = random_stream(seed, day.index + 1, "refund").random(len(demand)) < 0.6
    refunded = done & (late > 15 * MINUTE) & complains
    very_late = ~failed & (late > 30 * MINUTE)
    refund = np.where(very_late, demand.fee + demand.goods // 10, demand.fee)
    amounts = [
        (done | failed, "delivery_fee", demand.fee),
        (done | failed, "service_fee", _service_fee(demand.goods)),
        (done | failed, "merchant_commission", (demand.goods * 22 + 50) // 100),
        (done, "tip", demand.tip),
        (refunded | failed, "refund", refund),
        (snapshot.is_in("UNFULFILLED"), "credit", np.full(len(demand), CREDIT)),
    ]
    kinds, nobody = [kind for _, kind in EARNED], np.full(len(demand), -1)
    order, _, cents, at, kind = _by_time(
        [_lines(mask, kinds.index(kind), cents, nobody, ended) for mask, kind, cents in amounts]
    )
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(order)), offset=first_id),
            "delivery_id": delivery_ids(demand, order),
            "at": instants(since_us, at),
            "side": pl.Series([side for side, _ in EARNED]).gather(kind),
            "kind": pl.Series(kinds).gather(kind),
            "direction": np.ones(len(order), dtype=np.int64),
            "amount_cents": cents,
            "rule": repeated(RULE, len(order), pl.String),
            "corrects": repeated(None, len(order), pl.Int64),
        }
    )

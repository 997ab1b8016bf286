"""The money of a day in whole cents: what deliveries cost and earned, and the guarantee that tops up thin shifts."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import polars as pl

from dispatchkit.kernel.money import split, to_cents
from dispatchkit.simulation.deliveries import DELIVERY_ID, Stages, ids, instants
from dispatchkit.simulation.duties import ASKED, ENDING, OFF, ON, Duty
from dispatchkit.simulation.ground import Ground
from dispatchkit.simulation.plan import HOUR, MINUTE, NEVER, SECOND, Ints, draws

GUARANTEE = 1_500  # cents an hour on duty (grubhub/mdrplib)
CANCEL_PAY, SORRY = 250, 500
PAID_DUTY = (ON, ASKED, ENDING)
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
Mask = npt.NDArray[np.bool_]


def costs_frame(
    st: Stages, ground: Ground, duty: list[Duty], since_us: int, first_id: int
) -> pl.DataFrame:
    """Return the delivery_costs lines: piece pay, cancellation pay, payment fees and top-ups, by time."""
    day, d = st.day, st.day.demand
    pay, done = day.book.times("pay"), st.of("DELIVERED", "FAILED", "RETURNED")
    called_off = st.of("CANCELLED") & (st.times["assigned"] < NEVER)
    charged = d.goods + d.fee + _service(d.goods) + d.tip
    fee = (charged * 29 + 500) // 1000 + 30
    seat, none = day.book.times("seat"), np.full(len(d), -1)
    lines = [
        _lines(done, "piece_pay", pay, seat, st.ended),
        _lines(called_off, "cancel_pay", np.full(len(d), CANCEL_PAY), seat, st.ended),
        _lines(done, "payment_fee", fee, none, st.ended),
    ]
    order, who, amount, at, kind = (
        np.concatenate(column) for column in zip(*lines, *_topups(st, duty), strict=True)
    )
    rank = np.lexsort((kind, order, at))
    order, who, amount, at, kind = order[rank], who[rank], amount[rank], at[rank], kind[rank]
    driver = day.crew.driver[np.maximum(who, 0)]
    shop = ground.merchants.zone[d.merchant[np.maximum(order, 0)]]
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(order)), offset=first_id),
            "delivery_id": ids(order, offset=d.first_id + DELIVERY_ID, present=order >= 0),
            "driver_id": ids(driver, present=who >= 0),
            "zone_id": ids(np.where(order >= 0, shop, ground.base[driver])),
            "at": instants(since_us, at),
            "kind": pl.Series(COSTS).gather(kind),
            "direction": np.ones(len(order), dtype=np.int64),
            "amount_cents": amount,
            "rule": pl.repeat(RULE, len(order), eager=True),
            "corrects": pl.repeat(None, len(order), dtype=pl.Int64, eager=True),
        }
    )


Lines = tuple[
    Ints, Ints, Ints, Ints, Ints
]  # order, seat, cents, ms, index into COSTS; -1 for no order, no driver


def _lines(mask: Mask, kind: str, cents: Ints, seat: Ints, at: Ints) -> Lines:
    who = np.flatnonzero(mask & (cents > 0))
    return who, seat[who], cents[who], at[who], np.full(len(who), COSTS.index(kind))


def _service(goods: Ints) -> Ints:
    return np.asarray((goods * 10 + 50) // 100, dtype=np.int64)


def _topups(st: Stages, duty: list[Duty]) -> list[Lines]:
    """Return the top-ups of shifts that have ended, split over their deliveries by engaged seconds.

    A shift without a delivery gives one idle_topup. Hours: ON_DUTY, BREAK_PENDING and ENDING_SHIFT; tips never count.
    """
    day, book = st.day, st.day.book
    seat_of = {int(driver): seat for seat, driver in enumerate(day.crew.driver)}
    paid, over = defaultdict[int, int](int), {}
    for row in duty:
        seat = seat_of.get(row.driver, -1)
        if row.duty in PAID_DUTY and row.until < NEVER:
            paid[seat] += row.until - row.since
        elif (row.duty, row.reason) == (OFF, "WORK_DONE"):
            over[seat] = row.since
    engaged, pay = _engaged(st), book.pay
    found: list[tuple[int, int, int, int, int]] = []
    for seat, at in sorted(over.items()):
        jobs = engaged.get(seat, {})
        guarantee = to_cents(Fraction(GUARANTEE * paid[seat], HOUR))
        short = guarantee - sum(pay[order] for order in jobs)
        if short > 0 and jobs:
            shares = split(short, jobs)
            found += [
                (order, seat, cents, at, COSTS.index("guarantee_topup"))
                for order, cents in shares.items()
                if cents
            ]
        elif short > 0:
            found.append((-1, seat, short, at, COSTS.index("idle_topup")))
    if not found:
        return []
    order, seats, cents, when, kind = zip(*found, strict=True)
    return [(np.array(order), np.array(seats), np.array(cents), np.array(when), np.array(kind))]


def _engaged(st: Stages) -> dict[int, dict[int, int]]:
    """Return seat -> order -> whole seconds from acceptance to the end, time in a stack shared equally."""
    done = np.flatnonzero(st.of("DELIVERED", "FAILED", "RETURNED"))
    seat, since, until = st.day.book.times("seat")[done], st.times["assigned"][done], st.ended[done]
    rank = np.lexsort((since, seat))
    found: dict[int, dict[int, int]] = defaultdict(dict)
    last: dict[int, tuple[int, int]] = {}  # seat -> (latest order, its end)
    for i in rank.tolist():
        order, who, begin, end = int(done[i]), int(seat[i]), int(since[i]), int(until[i])
        found[who][order] = (end - begin) // SECOND
        if (
            who in last and last[who][1] > begin
        ):  # at most two at once, so a shared stretch is halved
            both = (min(last[who][1], end) - begin) // (2 * SECOND)
            found[who][order] -= both
            found[who][last[who][0]] -= both
        last[who] = (order, end)
    return found


def revenue_frame(st: Stages, seed: int, since_us: int, first_id: int) -> pl.DataFrame:
    """Return the delivery_revenue lines: fees and commission, tips passed through, refunds and credits, by time."""
    day, d = st.day, st.day.demand
    done, failed = st.of("DELIVERED"), st.of("FAILED", "RETURNED")
    late = np.where(done, st.ended - d.promised, 0)
    asks = draws(seed, day.index + 1, "refund").random(len(d))
    sorry = done & (late > 15 * MINUTE) & (asks < 0.6)
    refund = np.where(failed, d.fee, np.where(late > 30 * MINUTE, d.fee + d.goods // 10, d.fee))
    lines = [
        _sided(done | failed, "delivery_fee", d.fee, st.ended),
        _sided(done | failed, "service_fee", _service(d.goods), st.ended),
        _sided(done | failed, "merchant_commission", (d.goods * 22 + 50) // 100, st.ended),
        _sided(done, "tip", d.tip, st.ended),
        _sided(sorry | failed, "refund", refund, st.ended),
        _sided(st.of("UNFULFILLED"), "credit", np.full(len(d), SORRY), st.ended),
    ]
    order, amount, at, kind = (np.concatenate(column) for column in zip(*lines, strict=True))
    rank = np.lexsort((kind, order, at))
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(rank)), offset=first_id),
            "delivery_id": ids(order[rank], offset=d.first_id + DELIVERY_ID),
            "at": instants(since_us, at[rank]),
            "side": pl.Series([side for side, _ in EARNED]).gather(kind[rank]),
            "kind": pl.Series([kind for _, kind in EARNED]).gather(kind[rank]),
            "direction": np.ones(len(rank), dtype=np.int64),
            "amount_cents": amount[rank],
            "rule": pl.repeat(RULE, len(rank), eager=True),
            "corrects": pl.repeat(None, len(rank), dtype=pl.Int64, eager=True),
        }
    )


def _sided(mask: Mask, kind: str, cents: Ints, at: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Return (order, cents, ms, index into EARNED) of the lines of one kind."""
    who = np.flatnonzero(mask & (cents > 0))
    code = [name for _, name in EARNED].index(kind)
    return who, cents[who], at[who], np.full(len(who), code)

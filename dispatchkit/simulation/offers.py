"""The offers of a day, with frozen payload and deadline."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import polars as pl

from dispatchkit.domain.states import DECLINE_REASONS
from dispatchkit.simulation.book import (
    ACCEPTED,
    DECLINED,
    EXPIRED,
    OFFER_STATES,
    REVOKED,
    Asked,
    Day,
)
from dispatchkit.simulation.deliveries import DELIVERY_ID, ids, instants
from dispatchkit.simulation.desk import ANSWER_GRACE, TIMEOUT
from dispatchkit.simulation.plan import NEVER, SECOND, Ints, draws

REASON_SHARES = {
    "TOO_FAR": 0.34,
    "LOW_PAY": 0.27,
    "MERCHANT_WAIT": 0.16,
    "OTHER": 0.12,
    "UNSAFE_AREA": 0.04,
}
UNSEEN = 0.15  # of the expired: the push never arrived


def offers_frame(day: Day, seed: int, since_us: int, first_id: int) -> pl.DataFrame:
    """Return every offer of the day; `cause` is the reason of a decline or a revocation."""
    rows = np.array(day.book.offers, dtype=np.int64).reshape(-1, len(Asked._fields))
    rows = rows[np.lexsort((rows[:, 0], rows[:, 5]))]
    order, seat, episode, attempt, state, sent, answered, pay, way, pickup = rows.T
    count, luck = len(rows), draws(seed, day.index + 1, "offers")
    push = luck.integers(300, 2_500, count)
    look = sent + push + luck.integers(SECOND, 6 * SECOND, count)
    unseen = (state == EXPIRED) & (luck.random(count) < UNSEEN)
    deadline = sent + TIMEOUT
    delivered = np.where(unseen, NEVER, np.where(sent + push <= day.now, sent + push, NEVER))
    viewed = np.where(unseen | (look > np.minimum(answered, day.now)), NEVER, look)
    payload = _payloads(instants(since_us, pickup), pay, way)
    return pl.DataFrame(
        {
            "id": ids(np.arange(count), offset=first_id),
            "delivery_id": ids(order, offset=day.demand.first_id + DELIVERY_ID),
            "driver_id": ids(day.crew.driver[seat]),
            "episode": episode,
            "attempt": attempt,
            "ask": np.ones(count, dtype=np.int64),
            "state": pl.Series(np.array(OFFER_STATES)[state]),
            "cause": _causes(state, luck),
            "mode": pl.repeat("cascade", count, dtype=pl.String, eager=True),
            "pay_cents": pay,
            "boost_cents": np.zeros(count, dtype=np.int64),
            "distance_m": way,
            "payload": payload,
            "payload_sha256": pl.Series(
                [sha256(text.encode()).hexdigest() for text in payload], dtype=pl.String
            ),
            "sent_at": instants(since_us, sent),
            "expires_at": instants(since_us, deadline),
            "hard_deadline": instants(since_us, deadline + ANSWER_GRACE),
            "delivered_at": instants(since_us, delivered),
            "viewed_at": instants(since_us, viewed),
            "responded_at": instants(since_us, answered),
            "late": (state == ACCEPTED) & (answered >= deadline),
            "version": np.ones(count, dtype=np.int64),
        }
    )


def _causes(state: Ints, luck: np.random.Generator) -> pl.Series:
    reasons = sorted(DECLINE_REASONS)
    rest = (1 - sum(REASON_SHARES.values())) / (len(reasons) - len(REASON_SHARES))
    drawn = luck.choice(
        np.array(reasons, dtype=object), len(state), p=[REASON_SHARES.get(r, rest) for r in reasons]
    )
    cause = np.full(len(state), None, dtype=object)
    cause[state == DECLINED] = drawn[state == DECLINED]
    cause[state == REVOKED] = "DELIVERY_CANCELLED"
    return pl.Series(cause.tolist(), dtype=pl.String)


def _payloads(pickup: pl.Series, pay: Ints, way: Ints) -> pl.Series:
    """Return canonical JSON of what the driver agreed to: no place and no person, for the offer is audited."""
    frame = pl.DataFrame(
        {"way": way, "pay": pay, "pickup": pickup.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")}
    )
    shape = '<"boost_cents":0,"distance_m":{},"estimated_earning_cents":{},"pay_cents":{},"pickup_eta":"{}">'
    text = pl.format(shape, *[pl.col(name) for name in ("way", "pay", "pay", "pickup")])
    return frame.select(
        text.str.replace("<", "{").str.replace(">", "}").alias("payload")
    ).to_series()

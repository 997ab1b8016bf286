"""The driver_offers table, with frozen payload and deadline."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import polars as pl

from dispatchkit.domain.states import DECLINE_REASONS
from dispatchkit.simulation.day_log import (
    ACCEPTED,
    DECLINED,
    EXPIRED,
    OFFER_STATES,
    REVOKED,
    Day,
    SentOffer,
)
from dispatchkit.simulation.dispatcher_state import ANSWER_GRACE, TIMEOUT
from dispatchkit.simulation.exporters.columns import delivery_ids, ids, instants, repeated, texts
from dispatchkit.simulation.scenario import NEVER, SECOND, Ints, random_stream

REASON_SHARES = {  # the other reasons share the rest
    "TOO_FAR": 0.34,
    "LOW_PAY": 0.27,
    "MERCHANT_WAIT": 0.16,
    "OTHER": 0.12,
    "UNSAFE_AREA": 0.04,
}
UNSEEN = 0.15  # share of the expired offers whose push message never arrived


def offers_frame(day: Day, seed: int, since_us: int, first_id: int) -> pl.DataFrame:
    """Return every offer of the day; `cause` is the reason of a decline or a revocation."""
    rows = np.array(day.log.offers, dtype=np.int64).reshape(-1, len(SentOffer._fields))
    by_time = np.lexsort((rows[:, 0], rows[:, 5]))  # sent, then order
    order, driver_index, episode, attempt, state, sent, answered, pay, travel_m, pickup = rows[
        by_time
    ].T
    count, rng = len(rows), random_stream(seed, day.index + 1, "offers")

    arrival = sent + rng.integers(300, 2_500, count)  # of the push message
    look = arrival + rng.integers(SECOND, 6 * SECOND, count)
    unseen = (state == EXPIRED) & (rng.random(count) < UNSEEN)
    delivered = np.where(unseen | (arrival > day.now), NEVER, arrival)
    viewed = np.where(unseen | (look > np.minimum(answered, day.now)), NEVER, look)
    deadline = sent + TIMEOUT
    payload = _payloads(instants(since_us, pickup), pay, travel_m)
    hashes = [sha256(text.encode()).hexdigest() for text in payload]
    return pl.DataFrame(
        {
            "id": ids(np.arange(count), offset=first_id),
            "delivery_id": delivery_ids(day.demand, order),
            "driver_id": ids(day.roster.driver[driver_index]),
            "episode": episode,
            "attempt": attempt,
            "ask": np.ones(count, dtype=np.int64),
            "state": pl.Series(np.array(OFFER_STATES)[state]),
            "cause": _causes(state, rng),
            "mode": repeated("cascade", count, pl.String),
            "pay_cents": pay,
            "boost_cents": np.zeros(count, dtype=np.int64),
            "distance_m": travel_m,
            "payload": payload,
            "payload_sha256": pl.Series(hashes, dtype=pl.String),
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


def _causes(state: Ints, rng: np.random.Generator) -> pl.Series:
    """Return a drawn reason for each decline, DELIVERY_CANCELLED for each revocation, else null."""
    reasons = sorted(DECLINE_REASONS)
    rest = (1 - sum(REASON_SHARES.values())) / (len(reasons) - len(REASON_SHARES))
    shares = [REASON_SHARES.get(reason, rest) for reason in reasons]
    drawn = rng.choice(np.array(reasons, dtype=object), len(state), p=shares)
    cause = np.full(len(state), None, dtype=object)
    cause[state == DECLINED] = drawn[state == DECLINED]
    cause[state == REVOKED] = "DELIVERY_CANCELLED"
    return texts(cause)


def _payloads(pickup: pl.Series, pay: Ints, travel_m: Ints) -> pl.Series:
    """Return canonical JSON of what was offered.

    It names no place and no person, because offers are audited and the audit is never erased.
    """
    frame = pl.DataFrame(
        {
            "travel_m": travel_m,
            "pay": pay,
            "pickup": pickup.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        }
    )
    # pl.format reads braces as places to fill, so the outer ones are put in afterwards.
    text = pl.format(
        '<"boost_cents":0,"distance_m":{},"estimated_earning_cents":{},"pay_cents":{},'
        '"pickup_eta":"{}">',
        *[pl.col(name) for name in ("travel_m", "pay", "pay", "pickup")],
    )
    payload = text.str.replace("<", "{").str.replace(">", "}").alias("payload")
    return frame.select(payload).to_series()

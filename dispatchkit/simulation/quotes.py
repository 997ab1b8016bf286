"""Predicted delivery times at each quote event, made only from what was known at that moment."""

from __future__ import annotations

import numpy as np
import polars as pl

from dispatchkit.simulation.deliveries import DELIVERY_ID, Stages, ids, instants
from dispatchkit.simulation.plan import MINUTE, NEVER, SECOND, Floats, Ints, draws

EVENTS = ("placement", "accept", "pickup", "near_door")
HANDOVER, DOOR = (
    100 * SECOND,
    125 * SECOND,
)  # what the model reckons for a merchant's counter and a customer's door
NEAR = 10 * MINUTE
INTERVAL = (
    (8.0, 10.0),
    (5.5, 6.5),
    (3.0, 3.6),
    (1.3, 1.6),
)  # minutes below and above, meant to hold 80 % of arrivals


def quotes_frame(st: Stages, seed: int, since_us: int, first_id: int) -> pl.DataFrame:
    """Return the quotes given up to the day's instant, by delivery and event."""
    day, d, book = st.day, st.day.demand, st.day.book
    leg = d.way_m / 4.75 * SECOND
    accept = np.maximum(book.times("hopeful"), d.ready_said) + HANDOVER + leg + DOOR
    picked = book.times("picked")
    from_shop = np.minimum(picked, NEVER) + leg + DOOR
    near, at_door = _near(st, from_shop, seed)
    quoted = np.stack([d.placed, st.times["assigned"], st.times["picked"], near])
    eta = np.stack([d.eta.astype(np.float64), accept, from_shop, at_door])
    given = (quoted < NEVER) & (quoted <= np.minimum(st.ended, day.now))
    order, event = np.nonzero(given.T)
    at = quoted[event, order]
    when = np.maximum(eta[event, order], at + 30 * SECOND).astype(np.int64) // SECOND * SECOND
    below, above = (np.array(INTERVAL).T * MINUTE).astype(np.int64)
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(order)), offset=first_id),
            "delivery_id": ids(order, offset=d.first_id + DELIVERY_ID),
            "event": pl.Series(np.array(EVENTS)[event]),
            "quoted_at": instants(since_us, at),
            "eta_at": instants(since_us, when),
            "low_at": instants(since_us, np.maximum(when - below[event], at)),
            "high_at": instants(since_us, when + above[event]),
            "model": pl.repeat("city", len(order), dtype=pl.String, eager=True),
        }
    )


def _near(st: Stages, from_shop: Floats, seed: int) -> tuple[Ints, Floats]:
    """Return (when, eta) of the last quote: ten minutes before the expected door, from a position nearly right."""
    book = st.day.book
    picked = st.times["picked"]
    when = np.where(picked < NEVER, np.maximum(picked, from_shop - NEAR), NEVER).astype(np.int64)
    left = np.maximum(book.times("door") - when, 0)
    noise = draws(seed, st.day.index + 1, "near").lognormal(0.0, 0.14, len(when))
    arrived = st.times["door"] <= when
    eta = when + np.where(book.times("door") < NEVER, left * noise, 0) + DOOR
    return np.where(arrived, NEVER, when), np.asarray(eta, dtype=np.float64)

"""The eta_quotes table: delivery times predicted from what was known at each event."""

from __future__ import annotations

import numpy as np
import polars as pl

from dispatchkit.simulation.exporters.columns import delivery_ids, ids, instants, repeated
from dispatchkit.simulation.exporters.orders import Snapshot
from dispatchkit.simulation.scenario import MINUTE, NEVER, SECOND, Floats, Ints, random_stream

EVENTS = ("placement", "accept", "pickup", "near_door")
HANDOVER = 100 * SECOND  # expected at the merchant's counter
DOOR = 125 * SECOND  # expected at the customer's door
NEAR = 10 * MINUTE  # the last quote is given this long before the expected door
# Minutes below and above the quote, by event; the interval should hold 80 % of the arrivals.
INTERVAL = ((8.0, 10.0), (5.5, 6.5), (3.0, 3.6), (1.3, 1.6))


def quotes_frame(snapshot: Snapshot, seed: int, since_us: int, first_id: int) -> pl.DataFrame:
    """Return the quotes given up to the day's instant, by delivery and event."""
    day, demand, log = snapshot.day, snapshot.day.demand, snapshot.day.log
    last_leg = demand.way_m / 4.75 * SECOND
    pickup = np.maximum(log.times("expected_arrival"), demand.ready_estimate)
    at_accept = pickup + HANDOVER + last_leg + DOOR
    at_pickup = np.minimum(log.times("picked_up"), NEVER) + last_leg + DOOR
    near, at_near = _near_door(snapshot, at_pickup, seed)
    times = snapshot.times
    quoted = np.stack([demand.placed, times["assigned"], times["picked_up"], near])
    eta = np.stack([demand.eta.astype(np.float64), at_accept, at_pickup, at_near])

    was_given = (quoted < NEVER) & (quoted <= np.minimum(snapshot.ended, day.now))
    order, event = np.nonzero(was_given.T)
    at = quoted[event, order]
    arrival = np.maximum(eta[event, order], at + 30 * SECOND).astype(np.int64) // SECOND * SECOND
    below, above = (np.array(INTERVAL).T * MINUTE).astype(np.int64)
    return pl.DataFrame(
        {
            "id": ids(np.arange(len(order)), offset=first_id),
            "delivery_id": delivery_ids(demand, order),
            "event": pl.Series(np.array(EVENTS)[event]),
            "quoted_at": instants(since_us, at),
            "eta_at": instants(since_us, arrival),
            "low_at": instants(since_us, np.maximum(arrival - below[event], at)),
            "high_at": instants(since_us, arrival + above[event]),
            "model": repeated("city", len(order), pl.String),
        }
    )


def _near_door(snapshot: Snapshot, at_pickup: Floats, seed: int) -> tuple[Ints, Floats]:
    """Return (when, eta) of the last quote, made from a position that is nearly right."""
    picked_up = snapshot.times["picked_up"]
    when = np.where(picked_up < NEVER, np.maximum(picked_up, at_pickup - NEAR), NEVER)
    when = when.astype(np.int64)
    door = snapshot.day.log.times("at_door")
    rng = random_stream(seed, snapshot.day.index + 1, "near")
    remaining = np.maximum(door - when, 0) * rng.lognormal(0.0, 0.14, len(when))
    eta = when + np.where(door < NEVER, remaining, 0) + DOOR
    arrived = snapshot.times["at_door"] <= when
    return np.where(arrived, NEVER, when), np.asarray(eta, dtype=np.float64)

"""The truth about stalls: who accepted a delivery and does nothing. A made-up city knows it; no real export does."""

from __future__ import annotations

import numpy as np
import polars as pl

from dispatchkit.simulation.book import Day
from dispatchkit.simulation.deliveries import DELIVERY_ID, ids, instants, stages
from dispatchkit.simulation.ground import build
from dispatchkit.simulation.luck import STALLS, Luck
from dispatchkit.simulation.plan import NEVER, CityPlan
from dispatchkit.simulation.town import day_of, since_us


def stalls(plan: CityPlan) -> pl.DataFrame:
    """Return delivery_id, driver_id, since and kind of each assignment whose driver, at `plan.as_of`, does nothing.

    since: when he accepted. kind: NO_START and NOT_MOVING stand still, of LOST_PING the phone is silent.
    """
    last = plan.days - 1
    day, luck = day_of(plan, build(plan), last)
    return _stalled(day, luck, since_us(plan, last))


def _stalled(day: Day, luck: Luck, since: int) -> pl.DataFrame:
    st, book = stages(day), day.book
    seat, accepted = book.times("seat"), st.times["assigned"]
    idle = (accepted < NEVER) & (st.ended == NEVER) & (book.times("started") > day.now)
    who = np.flatnonzero(idle & (seat >= 0) & (book.times("stalled_seat") == seat))
    return pl.DataFrame(
        {
            "delivery_id": ids(who, offset=day.demand.first_id + DELIVERY_ID),
            "driver_id": ids(day.crew.driver[seat[who]]),
            "since": instants(since, accepted[who]),
            "kind": pl.Series([STALLS[luck.stall_kind[i]] for i in who], dtype=pl.String),
        }
    )

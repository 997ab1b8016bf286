"""The offers sweep: searches that are due begin, offers whose time is up end, drivers get offers.

Four modes with the same bookkeeping: cascade asks one driver at a time, waves a few and soon a few
more, broadcast everybody in reach, forced assigns without asking.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path

from dispatchkit.decide.offers.model import READS, Params
from dispatchkit.decide.offers.not_offered import explain
from dispatchkit.decide.offers.plan import plan
from dispatchkit.decide.offers.respond import EVENTS, respond
from dispatchkit.domain.feature import Decision, Feature, Frames
from dispatchkit.travel.interface import Travel


def decide(frames: Frames, params: Params, now: datetime, travel: Travel, seed: int) -> Decision:
    """Return the changes at `now` by ascending delivery, and why the other deliveries get no offer."""
    offers_plan = plan(frames, params, now, travel)
    return Decision(offers_plan.changes, partial(explain, offers_plan, params, now, travel))


FEATURE = Feature(
    name="offers",
    flag="offers",
    sql=Path(__file__).with_name("reads.sql"),
    reads=READS,
    units={"deliveries": "id"},
    params=Params,
    decide=decide,
    respond=respond,
    explains=True,
    events=EVENTS,
)

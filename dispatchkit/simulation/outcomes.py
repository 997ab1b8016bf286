"""Outcomes: what each driver will answer and how each trip will go, drawn before the day is run.

They are drawn beforehand so that a change in dispatching does not change the chances of an order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatchkit.domain.states import CaseTrigger
from dispatchkit.simulation.demand import MAX_OFFERS
from dispatchkit.simulation.scenario import NEVER, SECOND, Scenario, random_stream

DRAWN = MAX_OFFERS + 4  # offers of all episodes of one order together
SILENT = 0.02  # share of offers that nobody answers
ON_TIME, SLOW_START, NO_SHOW = 0, 1, 2  # what a driver does after accepting
STALLS = (CaseTrigger.NO_START, CaseTrigger.NOT_MOVING, CaseTrigger.LOST_PING)


@dataclass(frozen=True)
class Outcomes:
    """The drawn outcomes of one day; lists, because the dispatch loop reads single values.

    Indexed by order, or by order * DRAWN + number of the offer; times in ms.
    """

    answer: list[float]  # by offer: 0 to 1, low values decline, the highest stay silent
    reply: list[int]  # by offer: time until the answer
    first_leg: list[float]  # actual / expected time to the merchant
    last_leg: list[float]  # actual / expected time to the door
    start_after: list[int]  # from the acceptance to the departure
    handover: list[int]  # at the merchant's counter
    service: list[int]  # at the customer's door
    stall: list[int]  # ON_TIME, SLOW_START or NO_SHOW
    stall_kind: list[int]  # index into STALLS
    grace_used: list[int]  # a slow starter departs this long after the suspicion
    live_stall: list[bool]  # a no-show if accepted shortly before the live instant


def day_outcomes(scenario: Scenario, day: int, count: int) -> Outcomes:
    """Return the outcomes of a day's `count` orders; the sizes are assumptions."""

    def rng(name: str) -> np.random.Generator:
        return random_stream(scenario.seed, day + 1, name)

    stall = rng("stall").random(count)
    kinds = np.where(stall < 0.008, NO_SHOW, np.where(stall < 0.016, SLOW_START, ON_TIME))
    reply = rng("reply").lognormal(np.log(12.0), 0.8, count * DRAWN) * SECOND
    return Outcomes(
        answer=rng("answer").random(count * DRAWN).tolist(),
        reply=np.minimum(reply, NEVER).astype(np.int64).tolist(),
        first_leg=rng("first leg").lognormal(-0.03, 0.25, count).tolist(),
        last_leg=rng("last leg").lognormal(-0.03, 0.25, count).tolist(),
        start_after=rng("start").integers(10 * SECOND, 80 * SECOND, count).tolist(),
        handover=rng("handover").integers(40 * SECOND, 160 * SECOND, count).tolist(),
        service=rng("service").integers(50 * SECOND, 200 * SECOND, count).tolist(),
        stall=kinds.tolist(),
        stall_kind=rng("stall kind").integers(0, len(STALLS), count).tolist(),
        grace_used=rng("grace used").integers(20 * SECOND, 280 * SECOND, count).tolist(),
        live_stall=(rng("live stall").random(count) < 0.22).tolist(),
    )

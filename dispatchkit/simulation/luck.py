"""What chance has in store for each order of a day once drivers are asked: drawn beforehand, one stream a question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatchkit.simulation.demand import ASKS
from dispatchkit.simulation.plan import NEVER, SECOND, CityPlan, draws

DRAWN = ASKS + 4  # asks of all episodes together
SILENT = 0.02
ON_TIME, SLOW_START, NO_SHOW = 0, 1, 2  # what a driver does after accepting
STALLS = ("NO_START", "NOT_MOVING", "LOST_PING")


@dataclass(frozen=True)
class Luck:
    """Lists indexed by order, or by order * DRAWN + ask; times in ms. Lists, because the loop reads single values."""

    answer: list[float]
    reply: list[int]
    first_leg: list[float]
    last_leg: list[float]
    start_after: list[int]
    handover: list[int]
    service: list[int]
    stall: list[int]
    stall_kind: list[int]  # index into STALLS
    grace_used: list[int]  # how long after the suspicion a slow starter moves
    live_stall: list[bool]  # stalls if accepted in the last quarter hour of the story


def day_luck(plan: CityPlan, day: int, count: int) -> Luck:
    """Return the luck of a day's `count` orders (sizes: design, semantics 9)."""

    def pick(stream: str) -> np.random.Generator:
        return draws(plan.seed, day + 1, stream)

    stall = pick("stall").random(count)
    return Luck(
        answer=pick("answer").random(count * DRAWN).tolist(),
        reply=np.minimum(pick("reply").lognormal(np.log(12.0), 0.8, count * DRAWN) * SECOND, NEVER)
        .astype(np.int64)
        .tolist(),
        first_leg=pick("first leg").lognormal(-0.03, 0.25, count).tolist(),
        last_leg=pick("last leg").lognormal(-0.03, 0.25, count).tolist(),
        start_after=pick("start").integers(10 * SECOND, 80 * SECOND, count).tolist(),
        handover=pick("handover").integers(40 * SECOND, 160 * SECOND, count).tolist(),
        service=pick("service").integers(50 * SECOND, 200 * SECOND, count).tolist(),
        stall=np.where(
            stall < 0.008, NO_SHOW, np.where(stall < 0.016, SLOW_START, ON_TIME)
        ).tolist(),
        stall_kind=pick("stall kind").integers(0, len(STALLS), count).tolist(),
        grace_used=pick("grace used").integers(20 * SECOND, 280 * SECOND, count).tolist(),
        live_stall=(pick("live stall").random(count) < 0.22).tolist(),
    )

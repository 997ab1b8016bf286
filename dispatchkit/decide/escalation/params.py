"""The ladder's parameters: when each level is reached, and what slack is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from dispatchkit.domain.dispatching import Dispatch
from dispatchkit.kernel.errors import BadConfig

OPS, TICKET, TOP = 2, 3, 4  # levels; 1 is for machines alone: radius up, boost allowed
CALLS = {  # causes of tickets for deliveries that have a driver, and the level at which a person is called
    "DRIVER_SUSPENDED": OPS,  # the goods are with a driver who may not work
    "ATTEMPTS_USED_UP": TOP,  # under suspicion, and released too often before: no sweep releases it again
    "NOBODY_TO_TAKE_OVER": OPS,  # the driver shows no progress, the grace is long over
}


@dataclass(frozen=True, kw_only=True)
class Params(Dispatch):
    """When each level is reached, by whichever clock runs out first, and what a search's slack is made of."""

    age_1: timedelta = timedelta(minutes=3)  # since the episode opened
    age_2: timedelta = timedelta(minutes=6)
    age_3: timedelta = timedelta(minutes=10)
    age_4: timedelta = timedelta(minutes=20)
    unfulfilled: timedelta = timedelta(minutes=45)  # then the search is given up, see `ends_at`
    slack_1: timedelta = timedelta(minutes=15)  # less time than this to spare before the promise
    slack_2: timedelta = timedelta(minutes=8)
    slack_3: timedelta = timedelta()
    attempts_1: int = 3  # rounds of asking that ended without a yes
    attempts_2: int = 5
    attempts_3: int = 8
    reminder: timedelta = timedelta(minutes=10)  # from level 2 on, after the last notice
    stuck_after: timedelta = timedelta(minutes=5)  # past a driver's grace, without a replacement
    reach_m: int = 6000  # straight-line distance within which drivers are counted on
    pickup_service: timedelta = timedelta(minutes=2)
    dropoff_service: timedelta = timedelta(minutes=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        for low, high in pairwise(("age_1", "age_2", "age_3", "age_4", "unfulfilled")):
            self._ordered(low, high)
        for low, high in pairwise(("slack_3", "slack_2", "slack_1")):
            self._ordered(low, high)
        for low, high in pairwise(("attempts_1", "attempts_2", "attempts_3")):
            self._ordered(low, high)
        for name in ("age_1", "reminder"):
            if getattr(self, name) <= timedelta():
                raise BadConfig(f"{name} must be longer than zero")
        for name in ("pickup_service", "dropoff_service", "stuck_after"):
            if getattr(self, name) < timedelta():
                raise BadConfig(f"{name} is below zero")
        for name in ("attempts_1", "reach_m"):
            if getattr(self, name) < 1:
                raise BadConfig(f"{name} is {getattr(self, name)}; expected 1 or more")

    def _ordered(self, low: str, high: str) -> None:
        if getattr(self, low) > getattr(self, high):
            raise BadConfig(
                f"{low} is {getattr(self, low)} and {high} is {getattr(self, high)}: {low} may not be more"
            )

    @property
    def ages(self) -> Sequence[timedelta]:
        return self.age_1, self.age_2, self.age_3, self.age_4

    @property
    def slacks(self) -> Sequence[timedelta]:
        return self.slack_1, self.slack_2, self.slack_3

    @property
    def attempts(self) -> Sequence[int]:
        return self.attempts_1, self.attempts_2, self.attempts_3

"""Parameters of escalation, its levels, and what its queries read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from dispatchkit.domain.contract import Contract, contract_of
from dispatchkit.domain.dispatching import Dispatch, DriverRead, HeldRead, PingRead
from dispatchkit.domain.rows import (
    Case,
    Delivery,
    Episode,
    Id,
    Instant,
    Lat,
    Lon,
    Offer,
    Ordinal,
    Ticket,
)
from dispatchkit.domain.states import EpisodeState
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.kernel.geo import Point, point

# Level 1 concerns machines alone: a wider radius, and a boost is allowed.
OPS_LEVEL = 2  # operations are notified, and reminded from here on
TICKET_LEVEL = 3  # a ticket is opened and the customer hears of the delay
TOP_LEVEL = 4


@dataclass(frozen=True, kw_only=True)
class Params(Dispatch):
    """When each level is reached, by whichever clock runs out first, and what slack is made of."""

    age_1: timedelta = timedelta(minutes=3)  # since the episode opened
    age_2: timedelta = timedelta(minutes=6)
    age_3: timedelta = timedelta(minutes=10)
    age_4: timedelta = timedelta(minutes=20)
    unfulfilled: timedelta = timedelta(
        minutes=45
    )  # then the search is given up, see `ladder.ends_at`
    slack_1: timedelta = timedelta(minutes=15)  # less time than this to spare before the promise
    slack_2: timedelta = timedelta(minutes=8)
    slack_3: timedelta = timedelta()
    attempts_1: int = 3  # rounds of offers that nobody accepted
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
                f"{low} is {getattr(self, low)} and {high} is {getattr(self, high)}: "
                f"{low} may not be more"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedDelivery(Delivery):
    """A delivery that seeks a driver, with its times and places. outside: not in the rollout."""

    ready_at: Instant | None
    promised_at: Instant | None
    pickup_lat: Lat | None
    pickup_lon: Lon | None
    dropoff_lat: Lat | None
    dropoff_lon: Lon | None
    outside: bool

    @property
    def pickup(self) -> Point | None:
        return point(self.pickup_lat, self.pickup_lon)

    @property
    def dropoff(self) -> Point | None:
        return point(self.dropoff_lat, self.dropoff_lon)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTicket(Ticket):
    """An open ticket. search: the state of the search that it belongs to, if it belongs to one."""

    search: EpisodeState | None
    outside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StalledDelivery:
    """A delivery that has a driver and needs a person. since: when the reason for it began."""

    id: Id
    episode: Ordinal
    since: Instant | None
    outside: bool


READS: dict[str, Contract] = {
    "episodes": contract_of(Episode),
    "deliveries": contract_of(SearchedDelivery),
    "offers": contract_of(Offer),
    "releases": contract_of(Case).only("id delivery_id driver_id episode trigger"),
    "tickets": contract_of(OpenTicket),
    "stranded": contract_of(StalledDelivery),
    "exhausted": contract_of(StalledDelivery),
    "stuck": contract_of(StalledDelivery),
    "notified": contract_of(Ticket).only("id"),
    "drivers": DriverRead,
    "pings": PingRead,
    "held": HeldRead,
    "pending": contract_of(Offer).only("id driver_id"),
}

"""The words of escalation: the ladder's parameters, the reads with their contracts, rows as the policy sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import dataframely as dy

from dispatchkit.kernel.dispatch import Dispatch, DriverRead, HeldRead, PingRead, Point
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.kernel.tables import Cases, Deliveries, Drivers, Episodes, Merchants, Offers, Orders, Tickets

LEVELS = ("NONE", "AUTO", "OPS", "TICKET", "RESOLVE")
OPS, TICKET, TOP = 2, 3, 4
CALLS = {  # causes of tickets for deliveries that have a driver, and the level at which a person is called
    "DRIVER_SUSPENDED": OPS,  # the goods are with somebody who may not drive
    "ATTEMPTS_USED_UP": TOP,  # under suspicion, and taken from so many drivers before that no sweep takes it again
}


@dataclass(frozen=True, kw_only=True)
class Params(Dispatch):
    """When each level is reached, by whichever clock runs out first, and what a search's slack is made of."""

    age_1: timedelta = timedelta(minutes=3)  # since the episode opened
    age_2: timedelta = timedelta(minutes=6)
    age_3: timedelta = timedelta(minutes=10)
    age_4: timedelta = timedelta(minutes=20)
    unfulfilled: timedelta = timedelta(minutes=45)  # then nobody is sought any more
    slack_1: timedelta = timedelta(minutes=15)  # less time than this to spare before the promise
    slack_2: timedelta = timedelta(minutes=8)
    slack_3: timedelta = timedelta()
    attempts_1: int = 3  # rounds of asking that ended without a yes
    attempts_2: int = 5
    attempts_3: int = 8
    reminder: timedelta = timedelta(minutes=10)  # from level 2 on, after the last notice
    reach_m: int = 6000  # drivers farther by air from the pickup are not counted on
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
        for name in ("pickup_service", "dropoff_service"):
            if getattr(self, name) < timedelta():
                raise BadConfig(f"{name} is below zero")
        for name in ("attempts_1", "reach_m"):
            if getattr(self, name) < 1:
                raise BadConfig(f"{name} is {getattr(self, name)}; expected 1 or more")

    def _ordered(self, low: str, high: str) -> None:
        if getattr(self, low) > getattr(self, high):
            raise BadConfig(f"{low} is {getattr(self, low)} and {high} is {getattr(self, high)}: {low} may not be more")

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
class Episode:
    """One search for a driver and how far it has climbed."""

    id: int
    delivery_id: int
    episode: int
    state: str
    opened_at: datetime
    closed_at: datetime | None
    level: int
    level_due_at: datetime | None
    level_at: datetime | None
    acked_at: datetime | None
    snoozed_until: datetime | None
    reminders: int
    reminded_at: datetime | None
    cause: str | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A delivery's row as far as the ladder changes it."""

    id: int
    state: str
    episode: int
    attempt: int
    priority: int
    ended_at: datetime | None
    ended_by: str | None
    ended_while: str | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought(Job):
    """A delivery that seeks a driver, with what its slack is made of."""

    ready_at: datetime | None
    promised_at: datetime | None
    pickup_lat: float | None
    pickup_lon: float | None
    dropoff_lat: float | None
    dropoff_lon: float | None

    @property
    def pickup(self) -> Point | None:
        return None if self.pickup_lat is None or self.pickup_lon is None else (self.pickup_lat, self.pickup_lon)

    @property
    def door(self) -> Point | None:
        return None if self.dropoff_lat is None or self.dropoff_lon is None else (self.dropoff_lat, self.dropoff_lon)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer's row, as far as rounds are counted by it and withdrawing it needs it."""

    id: int
    delivery_id: int
    driver_id: int
    episode: int
    attempt: int
    state: str
    cause: str | None
    sent_at: datetime
    responded_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An open ticket."""

    id: int
    delivery_id: int
    cause: str
    state: str
    closed_at: datetime | None
    closed_by: str | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Ticket):
    """An open ticket, and the state of the search it belongs to, if it belongs to one."""

    search: str | None


class EpisodeRead(dy.Schema):
    """episodes: the open ones."""

    id = Episodes.id
    delivery_id = Episodes.delivery_id
    episode = Episodes.episode
    state = Episodes.state
    opened_at = Episodes.opened_at
    closed_at = Episodes.closed_at
    level = Episodes.level
    level_due_at = Episodes.level_due_at
    level_at = Episodes.level_at
    acked_at = Episodes.acked_at
    snoozed_until = Episodes.snoozed_until
    reminders = Episodes.reminders
    reminded_at = Episodes.reminded_at
    cause = Episodes.cause
    version = Episodes.version


class SoughtRead(dy.Schema):
    """deliveries: those that seek a driver."""

    id = Deliveries.id
    state = Deliveries.state
    episode = Deliveries.episode
    attempt = Deliveries.attempt
    priority = Deliveries.priority
    ended_at = Deliveries.ended_at
    ended_by = Deliveries.ended_by
    ended_while = Deliveries.ended_while
    version = Deliveries.version
    ready_at = Orders.ready_at
    promised_at = Orders.promised_at
    pickup_lat = Merchants.lat
    pickup_lon = Merchants.lon
    dropoff_lat = Orders.dropoff_lat
    dropoff_lon = Orders.dropoff_lon


class OfferRead(dy.Schema):
    """offers: every offer so far for a delivery that seeks a driver."""

    id = Offers.id
    delivery_id = Offers.delivery_id
    driver_id = Offers.driver_id
    episode = Offers.episode
    attempt = Offers.attempt
    state = Offers.state
    cause = Offers.cause
    sent_at = Offers.sent_at
    responded_at = Offers.responded_at
    version = Offers.version


class ReleaseRead(dy.Schema):
    """releases: cases in which a delivery was taken from its driver."""

    id = Cases.id
    delivery_id = Cases.delivery_id
    driver_id = Cases.driver_id
    episode = Cases.episode
    trigger = Cases.trigger


class PendingRead(dy.Schema):
    """pending: offers that wait for an answer."""

    id = Offers.id
    driver_id = Offers.driver_id


class TicketRead(dy.Schema):
    """tickets: the open ones, and how the search that each belongs to stands."""

    id = Tickets.id
    delivery_id = Tickets.delivery_id
    cause = Tickets.cause
    state = Tickets.state
    closed_at = Tickets.closed_at
    closed_by = Tickets.closed_by
    version = Tickets.version
    search = dy.String(nullable=True)


class StrandedRead(dy.Schema):
    """stranded: deliveries whose goods are with a suspended driver."""

    id = Deliveries.id
    episode = Deliveries.episode
    since = Drivers.duty_since


class ExhaustedRead(dy.Schema):
    """exhausted: deliveries that were taken from as many drivers as may be, and wait for pickup again."""

    id = Deliveries.id
    episode = Deliveries.episode
    since = Cases.closed_at


class ToldRead(dy.Schema):
    """told: tickets, open or closed, that have called a person already."""

    id = Tickets.id


READS: dict[str, type[dy.Schema]] = {
    "episodes": EpisodeRead,
    "deliveries": SoughtRead,
    "offers": OfferRead,
    "releases": ReleaseRead,
    "tickets": TicketRead,
    "stranded": StrandedRead,
    "exhausted": ExhaustedRead,
    "told": ToldRead,
    "drivers": DriverRead,
    "pings": PingRead,
    "held": HeldRead,
    "pending": PendingRead,
}

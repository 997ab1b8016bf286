"""The words of escalation: rows as the policy sees them, and the reads with their contracts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from dispatchkit.domain.contract import Column, Contract
from dispatchkit.domain.dispatching import DriverRead, HeldRead, PingRead
from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.geo import Point, point


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
    """A delivery that seeks a driver, with what its slack is made of. outside: not in the rollout."""

    ready_at: datetime | None
    promised_at: datetime | None
    pickup_lat: float | None
    pickup_lon: float | None
    dropoff_lat: float | None
    dropoff_lon: float | None
    outside: bool

    @property
    def pickup(self) -> Point | None:
        return point(self.pickup_lat, self.pickup_lon)

    @property
    def dropoff(self) -> Point | None:
        return point(self.dropoff_lat, self.dropoff_lon)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer's row, as far as rounds are counted by it."""

    id: int
    delivery_id: int
    driver_id: int
    episode: int
    attempt: int
    state: str
    sent_at: datetime
    responded_at: datetime | None


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


# episodes: the open ones.
EpisodeRead = TABLES["unassigned_orders"].only(
    "id delivery_id episode state opened_at closed_at level level_due_at level_at "
    "acked_at snoozed_until reminders reminded_at cause version"
)


# deliveries: those that seek a driver.
SoughtRead = (
    TABLES["deliveries"]
    .only("id state episode attempt priority ended_at ended_by ended_while version")
    .with_columns(
        ready_at=TABLES["orders"].fields["ready_at"],
        promised_at=TABLES["orders"].fields["promised_at"],
        pickup_lat=TABLES["merchants"].fields["lat"],
        pickup_lon=TABLES["merchants"].fields["lon"],
        dropoff_lat=TABLES["orders"].fields["dropoff_lat"],
        dropoff_lon=TABLES["orders"].fields["dropoff_lon"],
        outside=Column(dtype=pl.Boolean()),
    )
)


# offers: every offer so far for a delivery that seeks a driver.
OfferRead = TABLES["driver_offers"].only(
    "id delivery_id driver_id episode attempt state sent_at responded_at"
)


# releases: cases in which a delivery was taken from its driver.
ReleaseRead = TABLES["reassignment_cases"].only("id delivery_id driver_id episode trigger")


# pending: offers that wait for an answer.
PendingRead = TABLES["driver_offers"].only("id driver_id")


# tickets: the open ones, and how the search that each belongs to stands.
TicketRead = (
    TABLES["support_tickets"]
    .only("id delivery_id cause state closed_at closed_by version")
    .with_columns(
        search=Column(dtype=pl.String(), nullable=True), outside=Column(dtype=pl.Boolean())
    )
)


# stranded: deliveries whose goods are with a suspended driver.
StrandedRead = (
    TABLES["deliveries"]
    .only("id episode")
    .with_columns(since=TABLES["drivers"].fields["duty_since"], outside=Column(dtype=pl.Boolean()))
)


# exhausted: deliveries that were taken from as many drivers as may be, and wait for pickup again.
ExhaustedRead = (
    TABLES["deliveries"]
    .only("id episode")
    .with_columns(
        since=TABLES["reassignment_cases"].fields["closed_at"], outside=Column(dtype=pl.Boolean())
    )
)


# stuck: deliveries still with a driver whose grace period is over; since: when it ended.
StuckRead = (
    TABLES["deliveries"]
    .only("id episode")
    .with_columns(
        since=TABLES["reassignment_cases"].fields["grace_until"], outside=Column(dtype=pl.Boolean())
    )
)


# told: tickets, open or closed, that have called a person already.
ToldRead = TABLES["support_tickets"].only("id")


READS: dict[str, Contract] = {
    "episodes": EpisodeRead,
    "deliveries": SoughtRead,
    "offers": OfferRead,
    "releases": ReleaseRead,
    "tickets": TicketRead,
    "stranded": StrandedRead,
    "exhausted": ExhaustedRead,
    "stuck": StuckRead,
    "told": ToldRead,
    "drivers": DriverRead,
    "pings": PingRead,
    "held": HeldRead,
    "pending": PendingRead,
}

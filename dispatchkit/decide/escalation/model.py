"""The words of escalation: rows as the policy sees them, and the reads with their contracts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import dataframely as dy

from dispatchkit.domain.dispatching import DriverRead, HeldRead, PingRead
from dispatchkit.domain.tables import (
    Cases,
    Deliveries,
    Drivers,
    Episodes,
    Merchants,
    Offers,
    Orders,
    Tickets,
)
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
    outside = dy.Bool(nullable=False)


class OfferRead(dy.Schema):
    """offers: every offer so far for a delivery that seeks a driver."""

    id = Offers.id
    delivery_id = Offers.delivery_id
    driver_id = Offers.driver_id
    episode = Offers.episode
    attempt = Offers.attempt
    state = Offers.state
    sent_at = Offers.sent_at
    responded_at = Offers.responded_at


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
    outside = dy.Bool(nullable=False)


class StrandedRead(dy.Schema):
    """stranded: deliveries whose goods are with a suspended driver."""

    id = Deliveries.id
    episode = Deliveries.episode
    since = Drivers.duty_since
    outside = dy.Bool(nullable=False)


class ExhaustedRead(dy.Schema):
    """exhausted: deliveries that were taken from as many drivers as may be, and wait for pickup again."""

    id = Deliveries.id
    episode = Deliveries.episode
    since = Cases.closed_at
    outside = dy.Bool(nullable=False)


class StuckRead(dy.Schema):
    """stuck: deliveries whose driver has had his grace and still has them; since: when it was over."""

    id = Deliveries.id
    episode = Deliveries.episode
    since = Cases.grace_until
    outside = dy.Bool(nullable=False)


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
    "stuck": StuckRead,
    "told": ToldRead,
    "drivers": DriverRead,
    "pings": PingRead,
    "held": HeldRead,
    "pending": PendingRead,
}

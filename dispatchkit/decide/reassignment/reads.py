"""What reads.sql brings, each query with its contract: `READS` for the sweep, `PREVIEW` for a person's act."""

from __future__ import annotations

import dataframely as dy

from dispatchkit.domain.dispatching import DriverRead, HeldRead, PingRead
from dispatchkit.domain.tables import Cases, Deliveries, Locations, Merchants, Offers, Orders


class JobRead(dy.Schema):
    """assigned: deliveries with a driver, not yet picked up."""

    id = Deliveries.id
    state = Deliveries.state
    episode = Deliveries.episode
    attempt = Deliveries.attempt
    priority = Deliveries.priority
    driver_id = dy.Int64(min=1)
    slot = Deliveries.slot
    assigned_at = Deliveries.assigned_at
    started_at = Deliveries.started_at
    arrived_pickup_at = Deliveries.arrived_pickup_at
    lock_until = Deliveries.lock_until
    version = Deliveries.version
    ready_at = Orders.ready_at
    pickup_lat = Merchants.lat
    pickup_lon = Merchants.lon
    dropoff_lat = Orders.dropoff_lat
    dropoff_lon = Orders.dropoff_lon
    outside = dy.Bool(nullable=False)


class PlaceRead(dy.Schema):
    """sought, assigned: what a preview needs of a delivery."""

    id = Deliveries.id
    state = Deliveries.state
    driver_id = Deliveries.driver_id
    ready_at = Orders.ready_at
    promised_at = Orders.promised_at
    pickup_lat = Locations.lat
    pickup_lon = Locations.lon
    dropoff_lat = Orders.dropoff_lat
    dropoff_lon = Orders.dropoff_lon


class FollowedRead(dy.Schema):
    """followed: deliveries with an open case."""

    id = Deliveries.id
    state = Deliveries.state
    episode = Deliveries.episode
    driver_id = Deliveries.driver_id
    ready_at = Orders.ready_at
    pickup_lat = Merchants.lat
    pickup_lon = Merchants.lon
    restored = dy.Bool()
    outside = dy.Bool(nullable=False)


class CaseRead(dy.Schema):
    """cases: the open ones."""

    id = Cases.id
    delivery_id = Cases.delivery_id
    driver_id = Cases.driver_id
    episode = Cases.episode
    trigger = Cases.trigger
    state = Cases.state
    suspected_at = Cases.suspected_at
    grace_until = Cases.grace_until
    confirmed_at = Cases.confirmed_at
    released_at = Cases.released_at
    closed_at = Cases.closed_at
    new_driver_id = Cases.new_driver_id
    version = Cases.version


class HistoryRead(dy.Schema):
    """history: every case so far of a delivery that seeks or awaits a driver at the pickup."""

    id = Cases.id
    delivery_id = Cases.delivery_id
    driver_id = Cases.driver_id
    released_at = Cases.released_at


class RefusalRead(dy.Schema):
    """refusals: who said no to a delivery that seeks or awaits a driver at the pickup, or let the offer run out."""

    id = Offers.id
    delivery_id = Offers.delivery_id
    driver_id = Offers.driver_id


class FinishedRead(dy.Schema):
    """finished: deliveries that ended a short while ago."""

    id = Deliveries.id
    driver_id = dy.Int64(min=1)
    ended_at = dy.Datetime(time_zone="UTC", time_unit="us")


class PendingRead(dy.Schema):
    """pending: offers that wait for an answer."""

    id = Offers.id
    driver_id = Offers.driver_id


class AgreedRead(dy.Schema):
    """agreed: the accepted offers behind the assignments."""

    id = Offers.id
    delivery_id = Offers.delivery_id
    driver_id = Offers.driver_id
    episode = Offers.episode
    payload = Offers.payload


PREVIEW: dict[str, type[dy.Schema]] = {
    "assigned": PlaceRead,
    "sought": PlaceRead,
    "history": HistoryRead,
    "drivers": DriverRead,
    "carriers": DriverRead,
    "pings": PingRead,
    "held": HeldRead,
    "pending": PendingRead,
}
READS: dict[str, type[dy.Schema]] = {
    "assigned": JobRead,
    "followed": FollowedRead,
    "cases": CaseRead,
    "history": HistoryRead,
    "refusals": RefusalRead,
    "drivers": DriverRead,
    "carriers": DriverRead,
    "pings": PingRead,
    "trail": PingRead,
    "held": HeldRead,
    "finished": FinishedRead,
    "pending": PendingRead,
    "agreed": AgreedRead,
}

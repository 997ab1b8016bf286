"""Parameters of reassignment, what its queries read, and what is known of an assignment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatchkit.domain.contract import Contract, contract_of
from dispatchkit.domain.dispatching import RECENT, Dispatch, DriverRead, HeldRead, PingRead
from dispatchkit.domain.rows import (
    Case,
    Delivery,
    Driver,
    DriverId,
    Instant,
    Lat,
    Lon,
    Offer,
    Ping,
)
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.kernel.geo import Point, point


@dataclass(frozen=True, kw_only=True)
class Params(Dispatch):
    """When an assignment is suspect, and what must hold before it is released."""

    no_start: timedelta = timedelta(minutes=5)
    not_moving: timedelta = timedelta(minutes=10)
    moved_m: int = 100  # less than this is standing still
    lost_ping: timedelta = timedelta(minutes=10)
    eta_breach: timedelta = timedelta(minutes=10)
    wrong_way_m: int = 500
    wrong_way_pings: int = 3
    max_overrun: timedelta = timedelta(minutes=15)  # of the finish, past the end of a shift
    # At the merchant, past ready; a driver who then leaves is not cooled down:
    merchant_wait: timedelta = timedelta(minutes=15)
    grace: timedelta = timedelta(minutes=5)
    max_per_delivery: int = 3
    min_gain: timedelta = timedelta(minutes=4)
    reach_m: int = 6000  # straight-line distance within which other drivers are considered
    driver_cooldown: timedelta = timedelta(minutes=15)
    lock_expiry: timedelta = timedelta(minutes=60)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "no_start",
            "not_moving",
            "lost_ping",
            "grace",
            "driver_cooldown",
            "lock_expiry",
        ):
            if getattr(self, name) <= timedelta():
                raise BadConfig(f"{name} must be longer than zero")
        for name in ("no_start", "not_moving", "lost_ping"):
            if getattr(self, name) >= RECENT:
                raise BadConfig(
                    f"{name} {getattr(self, name)} must be shorter than {RECENT}: older pings are not read"
                )
        for name in ("eta_breach", "max_overrun", "merchant_wait", "min_gain"):
            if getattr(self, name) < timedelta():
                raise BadConfig(f"{name} is below zero")
        if (
            min(
                self.moved_m,
                self.wrong_way_m,
                self.wrong_way_pings,
                self.max_per_delivery,
                self.reach_m,
            )
            < 1
        ):
            raise BadConfig(
                "moved_m, wrong_way_m, wrong_way_pings, max_per_delivery and reach_m must be at least 1"
            )
        if self.lost_ping < self.aging:
            raise BadConfig(
                f"lost_ping {self.lost_ping} is shorter than aging {self.aging}, within which a driver is asked"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PickupDelivery(Delivery):
    """A delivery with its times and places."""

    ready_at: Instant | None
    promised_at: Instant | None
    pickup_lat: Lat | None
    pickup_lon: Lon | None
    dropoff_lat: Lat | None
    dropoff_lon: Lon | None

    @property
    def pickup(self) -> Point | None:
        return point(self.pickup_lat, self.pickup_lon)

    @property
    def dropoff(self) -> Point | None:
        return point(self.dropoff_lat, self.dropoff_lon)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedDelivery(PickupDelivery):
    """A delivery that a driver has not yet picked up. outside: not in the rollout."""

    driver_id: DriverId
    outside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedDelivery(PickupDelivery):
    """A delivery with an open case, in whatever state it is now.

    restored: a driver who had lost it turned out to have its goods.
    """

    restored: bool
    outside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentView:
    """What is known now of one assignment; None where it is unknown or does not matter."""

    delivery: AssignedDelivery
    driver: Driver
    trail: tuple[Ping, ...]  # the driver's recent pings, oldest first
    only_delivery_since: datetime | None  # from then on every move is about this delivery
    travel_s: int | None  # from the last ping to the pickup
    dropoff_s: int | None  # from the pickup to the door, if the end of a shift asks for it
    agreed_pickup_at: datetime | None  # as the accepted offer said
    broken_since: datetime | None  # the vehicle is reported broken


_REFERENCE = contract_of(Offer).only("id driver_id")
_PREVIEW_READS: dict[str, Contract] = {
    "history": contract_of(Case).only("id delivery_id driver_id released_at"),
    "drivers": DriverRead,
    "carriers": DriverRead,
    "pings": PingRead,
    "held": HeldRead,
    "pending": _REFERENCE,
}
PREVIEW: dict[str, Contract] = {
    "assigned": contract_of(PickupDelivery),
    "sought": contract_of(PickupDelivery),
    **_PREVIEW_READS,
}
READS: dict[str, Contract] = {
    "assigned": contract_of(AssignedDelivery),
    "followed": contract_of(TrackedDelivery),
    "cases": contract_of(Case),
    "refusals": contract_of(Offer).only("id delivery_id driver_id"),
    "trail": PingRead,
    "finished": contract_of(Delivery).only("id driver_id ended_at", driver_id=True, ended_at=True),
    "agreed": contract_of(Offer).only("id delivery_id driver_id episode payload"),
    **_PREVIEW_READS,
}

"""The words of reassignment: parameters, and rows as the policy sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatchkit.domain.dispatching import RECENT, Dispatch, Driver, Ping
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.kernel.geo import Point, point


@dataclass(frozen=True, kw_only=True)
class Params(Dispatch):
    """When an assignment is suspect, and what must hold before it is taken away."""

    no_start: timedelta = timedelta(minutes=5)
    not_moving: timedelta = timedelta(minutes=10)
    moved_m: int = 100  # less than this is standing still
    lost_ping: timedelta = timedelta(minutes=10)
    eta_breach: timedelta = timedelta(minutes=10)
    wrong_way_m: int = 500
    wrong_way_pings: int = 3
    max_overrun: timedelta = timedelta(minutes=15)  # of the finish, past the end of a shift
    merchant_wait: timedelta = timedelta(
        minutes=15
    )  # at the counter, past ready: leaving costs the driver nothing
    grace: timedelta = timedelta(minutes=5)
    max_per_delivery: int = 3
    min_gain: timedelta = timedelta(minutes=4)
    reach_m: int = 6000  # other drivers farther by air from the pickup are not considered
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
class Job:
    """A delivery's row as far as taking it from a driver, or giving it to one, changes it."""

    id: int
    state: str
    episode: int
    attempt: int
    priority: int
    driver_id: int | None
    slot: int | None
    assigned_at: datetime | None
    started_at: datetime | None
    arrived_pickup_at: datetime | None
    lock_until: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned(Job):
    """A delivery on its way to the pickup. outside: not in the rollout."""

    ready_at: datetime | None
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
class Followed:
    """A delivery of an open case, in whatever state it is now.

    restored: whether a driver who had lost it turned out to hold its goods.
    """

    id: int
    state: str
    episode: int
    driver_id: int | None
    ready_at: datetime | None
    pickup_lat: float | None
    pickup_lon: float | None
    restored: bool

    @property
    def pickup(self) -> Point | None:
        return point(self.pickup_lat, self.pickup_lon)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One suspicion and what became of it."""

    id: int
    delivery_id: int
    driver_id: int
    episode: int
    trigger: str
    state: str
    suspected_at: datetime
    grace_until: datetime | None
    confirmed_at: datetime | None
    released_at: datetime | None
    closed_at: datetime | None
    new_driver_id: int | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is known at `now` of one assignment. trail: the driver's recent pings, oldest first."""

    delivery: Assigned
    driver: Driver
    trail: tuple[Ping, ...]
    alone_since: (
        datetime | None
    )  # since when the driver has held nothing else: where he goes is about this delivery
    way_s: int | None  # from the last ping to the pickup; None without a ping or a way
    leg_s: (
        int | None
    )  # from the pickup to the door; None without a door or a way, or where no shift end asks for it
    planned: datetime | None  # the pickup the driver agreed to
    broken_since: datetime | None  # since when his vehicle is said to be broken

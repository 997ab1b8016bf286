"""The words of availability: parameters, the reads with their contracts, and rows as the policy sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from dispatchkit.domain.contract import Column, Contract
from dispatchkit.domain.dispatching import Dispatch, HeldRead
from dispatchkit.domain.hours import LOOK_BACK, MOST, REST
from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadConfig

FORCED = (
    "TIMEOUTS",
    "HOURS_CAP",
)  # reasons for which a driver is taken off duty without having asked


@dataclass(frozen=True, kw_only=True)
class Params(Dispatch):
    """How long a break lasts, and how long a driver may work."""

    break_max: timedelta = timedelta(minutes=30)
    break_grace: timedelta = timedelta(
        minutes=5
    )  # from the end of a break until a driver who sleeps is off duty
    break_on_expiry: str = "off_duty"  # or "resume": back on duty at once, without grace
    drive_max: timedelta = MOST
    drive_reset: timedelta = REST  # a rest this long begins the hours anew

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.break_on_expiry not in ("off_duty", "resume"):
            raise BadConfig(
                f"break_on_expiry is {self.break_on_expiry!r}; expected off_duty or resume"
            )
        for name in ("break_max", "drive_max", "drive_reset"):
            if getattr(self, name) <= timedelta():
                raise BadConfig(f"{name} must be longer than zero")
        if self.break_grace < timedelta():
            raise BadConfig("break_grace is below zero")
        if self.break_max + self.break_grace >= self.drive_reset:
            raise BadConfig(
                f"break_max {self.break_max} with break_grace {self.break_grace} is not shorter than drive_reset "
                f"{self.drive_reset}: a break would begin the hours anew"
            )
        if self.drive_max + self.drive_reset >= LOOK_BACK:
            raise BadConfig(
                f"drive_max {self.drive_max} and drive_reset {self.drive_reset} together must be shorter than "
                f"{LOOK_BACK}: older duties are not read"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A driver's row, as far as duty needs it."""

    id: int
    duty: str
    duty_since: datetime | None
    break_until: datetime | None
    shift_end: datetime | None
    timeouts: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What a driver has to do: deliveries held, whether he is being asked, and when he last finished or lost one."""

    held: int = 0
    asked: bool = False
    freed_at: datetime | None = None

    def full_at(self, instant: datetime) -> bool:
        """Return whether the driver held something at an instant that may have passed."""
        return self.held > 0 or (self.freed_at is not None and self.freed_at > instant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer's row, as far as withdrawing it needs it."""

    id: int
    delivery_id: int
    driver_id: int
    state: str
    cause: str | None
    responded_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The delivery that a driver is being asked about, as far as the end of a round changes it."""

    id: int
    state: str
    attempt: int
    version: int


# drivers: those who are not off duty.
DriverRead = TABLES["drivers"].only("id duty duty_since break_until shift_end timeouts version")


# duties: their intervals of the last LOOK_BACK, the present one included.
DutyRead = TABLES["driver_availability_history"].only(
    "id driver_id duty since until reason version"
)


# pending: offers that wait for an answer.
PendingRead = TABLES["driver_offers"].only("id driver_id")


# ended, lost, cancelled: deliveries that left a driver's hands, and when.
FreedRead = (
    TABLES["deliveries"]
    .only("id driver_id", driver_id=True)
    .with_columns(at=Column(dtype=pl.Datetime("us", "UTC")))
)


READS: dict[str, Contract] = {
    "drivers": DriverRead,
    "duties": DutyRead,
    "held": HeldRead,
    "pending": PendingRead,
    "ended": FreedRead,
    "lost": FreedRead,
    "cancelled": FreedRead,
}

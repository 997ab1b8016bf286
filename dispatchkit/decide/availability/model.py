"""Parameters of availability, what its queries read, and a driver's workload."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from dispatchkit.domain.codes import ChangeReason
from dispatchkit.domain.contract import Column, Contract, contract_of
from dispatchkit.domain.dispatching import Dispatch, HeldRead
from dispatchkit.domain.hours import LOOK_BACK, MAX_HOURS, MIN_REST
from dispatchkit.domain.rows import Delivery, Driver, DutyInterval, Offer
from dispatchkit.kernel.errors import BadConfig

# Why a driver is taken off duty without having asked for it.
FORCED_OFF_REASONS = (ChangeReason.TIMEOUTS, ChangeReason.HOURS_CAP)


@dataclass(frozen=True, kw_only=True)
class Params(Dispatch):
    """How long a break lasts, and how long a driver may work."""

    break_max: timedelta = timedelta(minutes=30)
    # From the end of a break until a driver who does not come back is off duty:
    break_grace: timedelta = timedelta(minutes=5)
    break_on_expiry: str = "off_duty"  # or "resume": back on duty at once, without grace
    drive_max: timedelta = MAX_HOURS
    drive_reset: timedelta = MIN_REST  # a rest this long begins the hours anew

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
                f"break_max {self.break_max} with break_grace {self.break_grace} is not shorter "
                f"than drive_reset {self.drive_reset}: a break would begin the hours anew"
            )
        if self.drive_max + self.drive_reset >= LOOK_BACK:
            raise BadConfig(
                f"drive_max {self.drive_max} and drive_reset {self.drive_reset} together must be "
                f"shorter than {LOOK_BACK}: older duties are not read"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a driver has to do.

    held: deliveries in hand. has_offer: an offer waits for the driver's answer. finished_at: when
    the driver last finished or lost a delivery in the present duty, None if unknown.
    """

    held: int = 0
    has_offer: bool = False
    finished_at: datetime | None = None

    def busy_at(self, instant: datetime) -> bool:
        """Return whether the driver had a delivery in hand at an instant, which may be past."""
        return self.held > 0 or (self.finished_at is not None and self.finished_at > instant)


_FINISHED = (
    contract_of(Delivery)
    .only("id driver_id", driver_id=True)
    .with_columns(at=Column(dtype=pl.Datetime("us", "UTC")))
)

READS: dict[str, Contract] = {
    "drivers": contract_of(Driver),
    "duties": contract_of(DutyInterval),
    "held": HeldRead,
    "pending": contract_of(Offer).only("id driver_id"),
    "ended": _FINISHED,
    "lost": _FINISHED,
    "cancelled": _FINISHED,
}

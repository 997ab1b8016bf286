"""A driver's duty: how it changes, always together with its history, and what it is called beside work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, Unpack

import polars as pl

from dispatchkit.domain.change_set import ChangeExtras, ChangeSet, Row, Values
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.stable_random import stable_id

TICK = timedelta(microseconds=1)
WORKING = ("ON_DUTY", "BREAK_PENDING", "ENDING_SHIFT")  # duties whose time counts as hours worked
OFFLINE = ("OFF_DUTY", "FORCED_OFF", "SUSPENDED")
STATES = ("OFFLINE", "ON_BREAK", "ENDING_SHIFT", "BUSY", "OFFERED", "AVAILABLE")


class OnDuty(Row, Protocol):
    """A driver's row as far as a change of duty needs it; it also has `break_until` and `timeouts`."""

    @property
    def duty(self) -> str: ...
    @property
    def duty_since(self) -> datetime | None: ...
    @property
    def shift_end(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One interval of a driver's duty, half-open; `until` is empty while it lasts."""

    id: int
    driver_id: int
    duty: str
    since: datetime
    until: datetime | None
    reason: str | None
    version: int


def change_duty(
    group: ChangeSet,
    driver: OnDuty,
    last: Duty | None,
    duty: str,
    reason: str,
    at: datetime,
    *,
    shift_end: datetime | None = None,
    rest: timedelta | None = None,
    why: Mapping[str, Any] | None = None,
) -> Duty:
    """Add that a driver's duty becomes another at `at`, and return the interval that begins.

    One step is three rows: the driver, the interval that ends (`last`, None where history has none) and the one that
    begins, so that intervals meet exactly. Two changes at one instant are told apart by a microsecond, as no interval
    is empty. shift_end: the planned end from now on; rest: how long a break lasts, or will last once it begins.
    Every change starts the count of silences anew.
    """
    was = str(group.value("driver", driver, "duty"))
    since = last.since if last else group.value("driver", driver, "duty_since")
    if isinstance(since, datetime):
        at = max(at, since + TICK)
    after: Values = {
        "duty": duty,
        "duty_since": at,
        "break_until": at + rest if rest is not None else None,
        "shift_end": shift_end,
        "timeouts": 0,
    }
    told = {"driverId": driver.id, "from": was, "to": duty, "reason": reason, "at": at}
    group.change(
        "driver", driver, "availability_changed", reason, after, payload=told, why=why or {}
    )
    if last is not None:
        group.change("duty", last, "duty_ended", reason, {"until": at})
    return begin(group, driver.id, duty, reason, at, shift_end)


def begin(
    group: ChangeSet,
    driver_id: int,
    duty: str,
    reason: str,
    since: datetime,
    shift_end: datetime | None,
    event: str = "duty_began",
    **said: Unpack[ChangeExtras],
) -> Duty:
    """Add an interval to the history, and return it as it then stands."""
    id_ = stable_id("duty", driver_id, rfc3339(since))
    told: Values = {
        "driver_id": driver_id,
        "duty": duty,
        "since": since,
        "until": None,
        "reason": reason,
    }
    group.insert("duty", id_, event, reason, {**told, "shift_end": shift_end}, **said)
    return Duty(
        id=id_, driver_id=driver_id, duty=duty, since=since, until=None, reason=reason, version=1
    )


def availability(duty: pl.Expr, held: pl.Expr, asked: pl.Expr) -> pl.Expr:
    """Return the plan's one word for a driver, the first that fits (semantics 2.3).

    held: how many active deliveries; asked: whether an offer waits for an answer. Freshness does not enter, so that
    durations do not depend on when one looks.
    """
    return (
        pl.when(duty.is_in(OFFLINE))
        .then(pl.lit("OFFLINE"))
        .when(duty.is_in(["ON_BREAK", "ENDING_SHIFT"]))
        .then(duty)
        .when(held > 0)
        .then(pl.lit("BUSY"))
        .when(asked & (duty == "ON_DUTY"))
        .then(pl.lit("OFFERED"))
        .when(duty == "ON_DUTY")
        .then(pl.lit("AVAILABLE"))
        .otherwise(
            pl.lit("ON_BREAK")
        )  # BREAK_PENDING, hands empty: the break has begun, no sweep has said so yet
    )

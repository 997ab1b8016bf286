"""A driver's duty: how it changes, always together with its history, and what it is called beside work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import EventName
from dispatchkit.domain.rows import Driver, DutyInterval
from dispatchkit.domain.states import DutyState
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.documented_enum import DocumentedEnum
from dispatchkit.kernel.stable_random import stable_id

TICK = timedelta(microseconds=1)

# Duties whose time counts as hours worked.
WORKING = (DutyState.ON_DUTY, DutyState.BREAK_PENDING, DutyState.ENDING_SHIFT)
OFFLINE = (DutyState.OFF_DUTY, DutyState.FORCED_OFF, DutyState.SUSPENDED)


class Availability(DocumentedEnum):
    """What a driver is, in one word; derived from duty, deliveries in hand and pending offers."""

    OFFLINE = "OFFLINE", "not working"
    ON_BREAK = "ON_BREAK", "on a break"
    ENDING_SHIFT = "ENDING_SHIFT", "finishes what is in hand, then goes off duty"
    BUSY = "BUSY", "has at least one delivery in hand"
    OFFERED = "OFFERED", "has nothing in hand and an offer to answer"
    AVAILABLE = "AVAILABLE", "has nothing in hand and no offer to answer"


def change_duty(
    changes: ChangeSet,
    driver: Driver,
    last: DutyInterval | None,
    duty: DutyState,
    reason: str,
    at: datetime,
    *,
    shift_end: datetime | None = None,
    break_length: timedelta | None = None,
    why: Mapping[str, Any] | None = None,
) -> DutyInterval:
    """Add that a driver's duty becomes another at `at`, and return the interval that begins.

    One step writes three rows: the driver, the interval that ends and the one that begins, so that
    intervals meet exactly. As no interval may be empty, a second change at the same instant comes a
    microsecond later. Every change resets the count of unanswered offers.

    last: the interval that lasts, None where the history has none. shift_end: the planned end of the
    shift from now on. break_length: of a break that begins, or that will begin after the work in hand.
    """
    driver = changes.latest(driver)
    since = last.since if last else driver.duty_since
    if since is not None:
        at = max(at, since + TICK)
    changes.update(
        driver,
        EventName.AVAILABILITY_CHANGED,
        reason,
        payload={
            "driverId": driver.id,
            "from": driver.duty,
            "to": duty,
            "reason": reason,
            "at": at,
        },
        why=why,
        duty=duty,
        duty_since=at,
        break_until=None if break_length is None else at + break_length,
        shift_end=shift_end,
        timeouts=0,
    )
    if last is not None:
        changes.update(last, EventName.DUTY_ENDED, reason, until=at)
    return begin_interval(changes, driver.id, duty, reason, at, shift_end)


def begin_interval(
    changes: ChangeSet,
    driver_id: int,
    duty: DutyState,
    reason: str,
    since: datetime,
    shift_end: datetime | None,
    event: str = "duty_began",
    payload: Mapping[str, Any] | None = None,
) -> DutyInterval:
    """Add an interval that lasts to the history, and return it."""
    interval = DutyInterval(
        id=stable_id("duty", driver_id, rfc3339(since)),
        driver_id=driver_id,
        duty=duty,
        since=since,
        until=None,
        reason=reason,
        shift_end=shift_end,
        version=1,
    )
    return changes.add(interval, event, reason, payload=payload)


def availability(duty: pl.Expr, held: pl.Expr, offered: pl.Expr) -> pl.Expr:
    """Return a driver's availability in one word, the first that fits.

    held: how many active deliveries the driver has; offered: whether an offer waits for an answer.
    The age of the last ping does not count, so that durations do not depend on when one looks.
    """
    return (
        pl.when(duty.is_in(OFFLINE))
        .then(pl.lit("OFFLINE"))
        .when(duty.is_in(["ON_BREAK", "ENDING_SHIFT"]))
        .then(duty)
        .when(held > 0)
        .then(pl.lit("BUSY"))
        .when(offered & (duty == "ON_DUTY"))
        .then(pl.lit("OFFERED"))
        .when(duty == "ON_DUTY")
        .then(pl.lit("AVAILABLE"))
        # BREAK_PENDING with nothing in hand: the break has begun, no sweep has written it yet.
        .otherwise(pl.lit("ON_BREAK"))
    )

"""Rows in domain words: `tables(a_driver(7, idle_for=minutes(5)), a_delivery(1, driver=7))`.

Places are metres (east, north) of a town square; spans count back from NOW unless they say
otherwise. Each word returns the rows that belong together (a delivery brings its merchant, its
order and, while it seeks, its episode). Any column can be named to set it. `tables` returns every
table, checked against its contract.
"""
# ruff: noqa: B008 - a span of time cannot be changed, so it may be a default

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

import polars as pl

from dispatchkit.domain.states import ACTIVE, OPEN, WITH_DRIVER
from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.stable_random import stable_id

NOW = datetime(2026, 3, 2, 19, 30, tzinfo=UTC)
SQUARE = (52.52, 13.405)  # lat, lon
METRES_A_DEGREE = 111_195.08
Place = tuple[float, float]  # metres east, metres north of the square
Tables = dict[str, pl.DataFrame]


@dataclass(frozen=True)
class Row:
    """One row of one table."""

    table: str
    values: dict[str, Any]


Rows = list[Row]


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


def hours(n: float) -> timedelta:
    return timedelta(hours=n)


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


def at_place(place: Place) -> tuple[float, float]:
    """Return (lat, lon) of a place given in metres."""
    lat = SQUARE[0] + place[1] / METRES_A_DEGREE
    return lat, SQUARE[1] + place[0] / METRES_A_DEGREE / math.cos(math.radians(SQUARE[0]))


def a_driver(
    id: int = 1,
    *,
    at: Place | None = (0, 0),
    seen: timedelta = seconds(10),
    idle_for: timedelta = minutes(30),
    **columns: Any,
) -> Rows:
    """Return a driver on duty, last seen at a place so long ago; `at=None` has never been seen."""
    driver = {
        "id": id,
        "vehicle": "bicycle",
        "duty": "ON_DUTY",
        "duty_since": NOW - idle_for,
        "max_stack": 2,
        "timeouts": 0,
        "version": 1,
    }
    return [Row("drivers", driver | columns), *([] if at is None else a_ping(id, at=at, ago=seen))]


def a_duty(
    driver: int = 1,
    duty: str = "ON_DUTY",
    *,
    began: timedelta = minutes(30),
    ended: timedelta | None = None,
    **columns: Any,
) -> Rows:
    """Return an interval of a driver's duty that began so long ago; open unless it `ended`."""
    values = {
        "id": stable_id("duty", driver, (NOW - began).isoformat()),
        "driver_id": driver,
        "duty": duty,
        "since": NOW - began,
        "until": None if ended is None else NOW - ended,
        "version": 1,
    }
    return [Row("driver_availability_history", values | columns)]


def a_ping(driver: int, *, at: Place, ago: timedelta = seconds(10)) -> Rows:
    """Return one position of a driver, so long ago."""
    lat, lon = at_place(at)
    when = NOW - ago
    ping = {
        "id": stable_id("ping", driver, when.isoformat()),
        "driver_id": driver,
        "at": when,
        "lat": lat,
        "lon": lon,
    }
    return [Row("driver_locations", ping)]


def a_delivery(
    id: int = 1,
    *,
    state: str = "UNASSIGNED",
    driver: int | None = None,
    pickup: Place = (0, 0),
    dropoff: Place | None = (1000, 0),
    placed: timedelta = minutes(15),
    due: timedelta = minutes(2),
    ready_in: timedelta | None = minutes(5),
    assigned: timedelta = minutes(1),
    **columns: Any,
) -> Rows:
    """Return a delivery with its order and merchant, due so long ago, its goods ready in
    `ready_in`.
    """
    lat, lon = at_place(pickup)
    door = at_place(dropoff) if dropoff else (None, None)
    ready_at = NOW + ready_in if ready_in is not None else None
    order = {
        "id": id,
        "customer_id": 1,
        "merchant_id": id,
        "placed_at": NOW - placed,
        "ready_at": ready_at,
        "promised_at": NOW - placed + minutes(40),
        "items": 2,
        "goods_cents": 2400,
        "fee_cents": 399,
        "dropoff_lat": door[0],
        "dropoff_lon": door[1],
        "source": "test",
    }
    delivery: dict[str, Any] = {
        "id": id,
        "order_id": id,
        "state": state,
        "episode": 1,
        "attempt": 0,
        "priority": 0,
        "driver_id": driver,
        "driver_unknown": False,
        "slot": 1 if state in ACTIVE else None,
        "created_at": NOW - placed,
        "dispatch_at": NOW - due,
        "assigned_at": NOW - assigned if state in WITH_DRIVER else None,
        "version": 1,
    } | columns
    merchant = {"id": id, "label": f"merchant {id}", "lat": lat, "lon": lon}
    rows = [Row("merchants", merchant), Row("orders", order), Row("deliveries", delivery)]
    return rows + (an_episode(id, delivery["episode"], opened=due) if state in OPEN else [])


def an_episode(
    delivery: int, episode: int = 1, *, opened: timedelta = minutes(2), **columns: Any
) -> Rows:
    """Return one stretch in which a delivery seeks a driver."""
    values = {
        "id": stable_id("episode", delivery, episode),
        "delivery_id": delivery,
        "episode": episode,
        "state": "OPEN",
        "opened_at": NOW - opened,
        "level": 0,
        "reminders": 0,
        "version": 1,
    }
    return [Row("unassigned_orders", values | columns)]


def an_offer(
    id: int = 1,
    *,
    delivery: int = 1,
    driver: int = 1,
    state: str = "PENDING",
    sent: timedelta = seconds(10),
    timeout: timedelta = seconds(30),
    answered: timedelta = seconds(0),
    **columns: Any,
) -> Rows:
    """Return an offer sent so long ago; one that is not PENDING ended `answered` ago."""
    sent_at = NOW - sent
    payload = columns.pop("payload", "{}")
    values = {
        "id": id,
        "delivery_id": delivery,
        "driver_id": driver,
        "episode": 1,
        "attempt": 1,
        "ask": 1,
        "state": state,
        "mode": "cascade",
        "pay_cents": 1000,
        "boost_cents": 0,
        "distance_m": 1300,
        "payload": payload,
        "payload_sha256": sha256(payload.encode()).hexdigest(),
        "sent_at": sent_at,
        "expires_at": sent_at + timeout,
        "hard_deadline": sent_at + timeout + seconds(2),
        "responded_at": None if state == "PENDING" else NOW - answered,
        "late": False,
        "version": 1,
    }
    return [Row("driver_offers", values | columns)]


def a_case(
    id: int = 1,
    *,
    delivery: int = 1,
    driver: int = 1,
    state: str = "GRACE",
    trigger: str = "NO_START",
    suspected: timedelta = minutes(6),
    grace: timedelta = minutes(5),
    **columns: Any,
) -> Rows:
    """Return a suspicion against an assignment, raised so long ago."""
    values = {
        "id": id,
        "delivery_id": delivery,
        "driver_id": driver,
        "episode": 1,
        "trigger": trigger,
        "state": state,
        "suspected_at": NOW - suspected,
        "grace_until": NOW - suspected + grace,
        "version": 1,
    }
    return [Row("reassignment_cases", values | columns)]


def tables(*groups: Iterable[Row]) -> Tables:
    """Return every table with these rows. A driver who is only mentioned is on duty and never seen.

    Raises BadData if a row breaks its contract.
    """
    rows = [row for group in groups for row in group]
    known = {row.values["id"] for row in rows if row.table == "drivers"}
    mentioned = {int(row.values["driver_id"]) for row in rows if row.values.get("driver_id")}
    for id in sorted(mentioned - known):
        rows += a_driver(id, at=None)
    rows.append(Row("customers", {"id": 1}))
    return {
        name: _table(name, [row.values for row in rows if row.table == name]) for name in TABLES
    }


def _table(name: str, values: list[dict[str, Any]]) -> pl.DataFrame:
    contract = TABLES[name]
    if not values:
        return _empty(name)
    unknown = {column for row in values for column in row} - set(contract.columns())
    if unknown:
        raise KeyError(f"{name} has no column {sorted(unknown)}")
    types = {column: spec.dtype for column, spec in contract.columns().items()}
    frame = pl.DataFrame([{c: row.get(c) for c in types} for row in values], schema=types).sort(
        "id"
    )
    return pl.DataFrame(contract.validate(frame, cast=True))


@cache
def _empty(name: str) -> pl.DataFrame:
    return pl.DataFrame(TABLES[name].create_empty())

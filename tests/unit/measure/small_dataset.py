"""Hand-made days for measures: rows name only what matters and pass through the real marts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any

import duckdb
import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.clock import service_day
from dispatchkit.measure.metric import Scope
from dispatchkit.warehouse.marts import ORDER

DAY = date(2026, 3, 2)
NIGHT = datetime(2026, 3, 3, 6, tzinfo=UTC)  # everything is over by then
MARTS = (
    "deliveries",
    "offers",
    "episodes",
    "cases",
    "tickets",
    "shifts",
    "availability",
    "zone_hours",
    "eta_quotes",
    "costs",
    "revenue",
)
Row = dict[str, Any]

DEFAULTS: dict[str, Row] = {
    "delivery_zones": {"name": "centre", "ring": "[[0,0],[1,0],[1,1],[0,0]]"},
    "merchants": {"label": "kitchen", "zone_id": 1, "lat": 52.5, "lon": 13.4},
    "customers": {},
    "drivers": {
        "vehicle": "bicycle",
        "duty": "OFF_DUTY",
        "max_stack": 2,
        "zone_id": 1,
        "timeouts": 0,
    },
    "orders": {
        "customer_id": 1,
        "merchant_id": 1,
        "items": 1,
        "goods_cents": 2000,
        "fee_cents": 300,
        "source": "mini",
    },
    "deliveries": {"episode": 1, "attempt": 0, "priority": 0, "driver_unknown": False},
    "driver_offers": {
        "episode": 1,
        "attempt": 1,
        "ask": 1,
        "mode": "cascade",
        "pay_cents": 500,
        "boost_cents": 0,
        "distance_m": 1000,
        "payload": "{}",
        "payload_sha256": "0" * 64,
        "late": False,
    },
    "unassigned_orders": {"episode": 1, "state": "ASSIGNED", "level": 0},
    "reassignment_cases": {"episode": 1, "trigger": "NO_START"},
    "delivery_costs": {"direction": 1, "rule": "r1"},
    "delivery_revenue": {"direction": 1, "rule": "r1"},
    "eta_quotes": {"event": "placement", "model": "m1"},
}


def at(clock: str, *, day: date = DAY) -> datetime:
    """Return `12:30` (or `12:30:15`) of the miniature day, UTC."""
    return datetime.fromisoformat(f"{day.isoformat()}T{clock}").replace(tzinfo=UTC)


def after(clock: str, minutes: float) -> datetime:
    return at(clock) + timedelta(minutes=minutes)


def delivered(number: int, placed: str, minutes: float, **more: Any) -> tuple[Row, Row]:
    """Return an order placed at a time and its delivery, delivered so many minutes later (driver
    1).
    """
    job = {
        "state": "DELIVERED",
        "driver_id": 1,
        "assigned_at": after(placed, 2),
        "picked_up_at": after(placed, 10),
    }
    return order(number, placed, **{**job, "ended_at": after(placed, minutes), **more})


def order(number: int, placed: str, **more: Any) -> tuple[Row, Row]:
    """Return an order and its delivery; columns of the order go there, all others to the delivery."""
    columns = TABLES["orders"].columns()
    own = {k: v for k, v in more.items() if k in columns}
    job = {k: v for k, v in more.items() if k not in columns}
    bought = {"id": number, "placed_at": at(placed), **own}
    return bought, {
        "id": number,
        "order_id": number,
        "created_at": at(placed),
        "dispatch_at": at(placed),
        **job,
    }


def tables(
    orders: list[tuple[Row, Row]] | None = None, **given: list[Row]
) -> dict[str, pl.DataFrame]:
    """Return every table of an export; those not named have at most one zone, merchant, customer
    and driver.
    """
    rows: dict[str, list[Row]] = {
        name: [{"id": 1}] for name in ("delivery_zones", "merchants", "customers", "drivers")
    }
    rows["orders"] = [bought for bought, _ in orders or []]
    rows["deliveries"] = [job for _, job in orders or []]
    rows.update(given)
    return {name: _frame(name, rows.get(name, [])) for name in TABLES}


def _frame(name: str, rows: list[Row]) -> pl.DataFrame:
    schema = TABLES[name]
    if not rows:
        return schema.create_empty()
    filled = [
        {
            column: {"id": i, "version": 1, **DEFAULTS.get(name, {}), **row}.get(column)
            for column in schema.columns()
        }
        for i, row in enumerate(rows, 1)
    ]
    return schema.validate(pl.DataFrame(filled, schema=schema.create_empty().schema))


def marts(frames: Mapping[str, pl.DataFrame], as_of: datetime = NIGHT) -> dict[str, pl.DataFrame]:
    """Return the marts as the SQL files make them of these tables."""
    with duckdb.connect() as con:
        con.execute("SET timezone = 'UTC'; SET threads = 1")
        for name, frame in frames.items():
            con.register("_frame", frame.to_arrow())
            con.execute(f"CREATE TABLE {name} AS SELECT * FROM _frame")
        con.execute(
            "CREATE TABLE export_manifest AS SELECT 'as_of' AS key, ? AS value", [as_of.isoformat()]
        )
        for mart in ORDER:
            con.execute(files("dispatchkit.warehouse.marts").joinpath(f"{mart}.sql").read_text())
        return {f"mart_{mart}": con.sql(f"SELECT * FROM mart_{mart}").pl() for mart in MARTS}


def scope(as_of: datetime = NIGHT, *, days: int = 1) -> Scope:
    """Return the miniature service day (04:00 UTC to 04:00 UTC), or so many days ending with it."""
    first = DAY - timedelta(days=days - 1)
    return Scope(
        days=tuple(service_day(first + timedelta(days=i), "UTC") for i in range(days)), as_of=as_of
    )

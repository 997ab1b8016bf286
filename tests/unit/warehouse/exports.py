"""Small exports for warehouse tests: valid rows of a few tables, written by the real writer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.warehouse.export import ExportWriter

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOW = NOON + timedelta(hours=1)


def rows(table: str, *given: dict[str, Any]) -> pl.DataFrame:
    """Return contract-typed rows: what is not given is null."""
    shape = TABLES[table].create_empty().schema
    return pl.DataFrame([{name: row.get(name) for name in shape} for row in given], schema=shape)


def order(id: int, **change: Any) -> dict[str, Any]:
    base = {
        "customer_id": 1,
        "merchant_id": 1,
        "placed_at": NOON,
        "items": 1,
        "goods_cents": 1200,
        "fee_cents": 300,
        "source": "made-up",
    }
    return {"id": id, **base, **change}


def delivery(id: int, **change: Any) -> dict[str, Any]:
    base = {
        "order_id": id,
        "state": "UNASSIGNED",
        "episode": 1,
        "attempt": 0,
        "priority": 0,
        "driver_unknown": False,
    }
    return {"id": id, **base, "created_at": NOON, "dispatch_at": NOON, "version": 1, **change}


def offer(id: int, **change: Any) -> dict[str, Any]:
    base = {
        "delivery_id": 1,
        "driver_id": 1,
        "episode": 1,
        "attempt": 1,
        "ask": 1,
        "state": "PENDING",
        "mode": "cascade",
        "pay_cents": 500,
        "boost_cents": 0,
    }
    more = {
        "distance_m": 900,
        "payload": "{}",
        "payload_sha256": "0" * 64,
        "sent_at": NOON,
        "late": False,
        "version": 1,
    }
    ends = {
        "expires_at": NOON + timedelta(seconds=30),
        "hard_deadline": NOON + timedelta(seconds=35),
    }
    return {"id": id, **base, **more, **ends, **change}


def duty(id: int, since: datetime, until: datetime | None, **change: Any) -> dict[str, Any]:
    return {
        "id": id,
        "driver_id": 1,
        "duty": "ON_DUTY",
        "since": since,
        "until": until,
        "version": 1,
        **change,
    }


def frames(orders: int = 3) -> dict[str, pl.DataFrame]:
    """Return one merchant, customer and driver, and orders with their deliveries."""
    driver = {
        "id": 1,
        "vehicle": "car",
        "duty": "ON_DUTY",
        "max_stack": 2,
        "timeouts": 0,
        "version": 1,
    }
    return {
        "merchants": rows("merchants", {"id": 1, "label": "Bakery", "lat": 52.5, "lon": 13.4}),
        "customers": rows("customers", {"id": 1}),
        "drivers": rows("drivers", driver),
        "orders": rows("orders", *(order(i) for i in range(1, orders + 1))),
        "deliveries": rows("deliveries", *(delivery(i) for i in range(1, orders + 1))),
    }


def export(to: Path, data: dict[str, pl.DataFrame], **change: Any) -> Path:
    """Write an export and return its directory."""
    head = {"as_of": NOON, "database_id": "db-1", "revision": "r1", "snapshot": "s1", **change}
    with ExportWriter(to, **head) as writer:
        for table, frame in data.items():
            writer.append(table, frame)
    return to


def edit(directory: Path, change: Any) -> None:
    """Change the manifest's document in place."""
    path = directory / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def entry(document: dict[str, Any], table: str) -> dict[str, Any]:
    """Return one file's entry of a manifest document."""
    return next(facts for facts in document["files"] if facts["table"] == table)


def reseal(directory: Path, table: str) -> None:
    """Make the manifest fit a changed file, so that only deeper checks can find the change."""

    def change(document: dict[str, Any]) -> None:
        facts = entry(document, table)
        data = (directory / facts["name"]).read_bytes()
        facts.update(bytes=len(data), sha256=sha256(data).hexdigest())

    edit(directory, change)


def as_csv(directory: Path, table: str, text: str | bytes, count: int) -> None:
    """Replace a table's Parquet file by a CSV file that the manifest vouches for."""
    data = text.encode() if isinstance(text, str) else text
    (directory / f"{table}.parquet").unlink(missing_ok=True)
    (directory / f"{table}.csv").write_bytes(data)

    def change(document: dict[str, Any]) -> None:
        entry(document, table).update(name=f"{table}.csv", rows=count, distinct_ids=count)

    edit(directory, change)
    reseal(directory, table)

"""A small town for route tests: frames by table name, read through reads.sql, and plans written back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from dispatchkit.decide.routes.policy import FEATURE
from dispatchkit.kernel.change import Change
from dispatchkit.kernel.tables import TABLES

NOW = datetime(2026, 3, 2, 19, 0, tzinfo=UTC)


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


@dataclass
class Town:
    """Rows by table. Positions are (east, north) in hundredths of a degree; grid travel takes a minute for each."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})

    def driver(self, id: int, *, at: tuple[float, float] | None = (0, 0), ping_age: float = 1, **other: Any) -> Town:
        self._add("drivers", id=id, vehicle="car", duty="ON_DUTY", max_stack=3, timeouts=0, version=1, **other)
        if at is not None:
            self.ping(id, at, age=ping_age)
        return self

    def ping(self, driver: int, at: tuple[float, float], *, age: float = 0) -> Town:
        rows = self.rows["driver_locations"]
        self._add("driver_locations", id=len(rows) + 1, driver_id=driver, at=NOW - minutes(age), **_point(at))
        return self

    def delivery(
        self,
        id: int,
        driver: int | None,
        state: str = "ASSIGNED",
        *,
        shop: tuple[float, float] | None = (1, 0),
        door: tuple[float, float] | None = (2, 0),
        ready: float | None = None,
        promised: float | None = None,
        picked_up: float | None = None,
        version: int = 1,
    ) -> Town:
        def moment(m: float | None) -> datetime | None:
            return None if m is None else NOW + minutes(m)

        self._add("merchants", id=id, label=f"shop {id}", **_point(shop))
        goods = {"items": 1, "goods_cents": 1000, "fee_cents": 300, "source": "test"}
        when = {"placed_at": NOW - minutes(20), "ready_at": moment(ready), "promised_at": moment(promised)}
        self._add("orders", id=id, customer_id=1, merchant_id=id, **when, **goods, **_point(door, "dropoff_"))
        born = {"created_at": NOW - minutes(20), "dispatch_at": NOW - minutes(15)}
        work = {"episode": 1, "attempt": 1, "priority": 0, "driver_unknown": False, "version": version}
        picked = {"picked_up_at": moment(picked_up)}
        self._add("deliveries", id=id, order_id=id, state=state, driver_id=driver, **born, **work, **picked)
        return self

    def plan(self, driver: int, **columns: Any) -> Town:
        self._add("route_optimization_data", **{"id": driver, "driver_id": driver, **columns})
        return self

    def change(self, table: str, id: int, **columns: Any) -> Town:
        next(row for row in self.rows[table] if row["id"] == id).update(columns)
        return self

    def apply(self, changes: Sequence[Change]) -> Town:
        """Write changes as the store would: one version further each."""
        for change in changes:
            if change.version == 0:
                self.plan(change.id, version=1, **change.after)
            else:
                row = next(r for r in self.rows["route_optimization_data"] if r["id"] == change.id)
                assert row["version"] == change.version
                row.update(change.after, version=change.version + 1)
        return self

    def reads(self) -> dict[str, pl.DataFrame]:
        """Return what reads.sql finds at NOW, as the store would."""
        frames = {name: _frame(name, rows) for name, rows in self.rows.items()}
        context = pl.SQLContext(frames, eager=True)
        return {name: context.execute(sql) for name, sql in queries().items()}

    def _add(self, table: str, **columns: Any) -> None:
        self.rows[table].append(columns)


def queries() -> dict[str, str]:
    """Return the queries of reads.sql by name, with the two parameters as literals."""
    stamps = {":now": NOW, ":recent": NOW - minutes(20)}
    text = FEATURE.sql.read_text()
    for name, value in stamps.items():
        text = text.replace(name, f"timestamptz '{value:%Y-%m-%dT%H:%M:%S}Z'")
    blocks = [block.split("\n", 1) for block in text.split("-- name: ")[1:]]
    return {name.strip(): body.strip().rstrip(";") for name, body in blocks}


class Grid:
    """Travel along a grid: a minute and 1000 m for each hundredth of a degree; points east of 90 are an island."""

    name = "grid"

    def matrix(
        self, sources: Sequence[tuple[float, float]], targets: Sequence[tuple[float, float]], vehicle: str
    ) -> tuple[list[list[int]], list[list[int]]]:
        def steps(a: tuple[float, float], b: tuple[float, float]) -> float:
            return 100 * (abs(a[0] - b[0]) + abs(a[1] - b[1]))

        def seconds(a: tuple[float, float], b: tuple[float, float]) -> int:
            return -1 if (a[1] > 0.9) != (b[1] > 0.9) else round(60 * steps(a, b))

        return (
            [[seconds(a, b) for b in targets] for a in sources],
            [[round(1000 * steps(a, b)) for b in targets] for a in sources],
        )


def _point(at: tuple[float, float] | None, prefix: str = "") -> dict[str, float | None]:
    lon, lat = (None, None) if at is None else (at[0] / 100, at[1] / 100)
    return {f"{prefix}lat": lat, f"{prefix}lon": lon}


def _frame(table: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    schema = TABLES[table].create_empty().schema
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)

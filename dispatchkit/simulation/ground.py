"""The ground of the city: zones that tile it, merchants in clusters, customers' homes, drivers with vehicles.

Inside, places are metres east and north of the south-west corner; outside, WGS84 degrees.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from dispatchkit.kernel.geo import EARTH_M, Ring, contains
from dispatchkit.simulation.plan import CityPlan, Floats, Ints, draws

CELL_M = 2_200.0
SOUTH, WEST = 52.95, 0.12  # where the invented city lies; no street of it is real
M_PER_LAT = math.radians(1) * EARTH_M
M_PER_LON = M_PER_LAT * math.cos(math.radians(SOUTH + 0.05))
FLEET = (  # vehicle, share, m/s door to door in town, largest stack, longest way in metres
    ("bicycle", 0.46, 4.2, 2, 7_000),
    ("scooter", 0.26, 5.0, 2, 99_000),
    ("car", 0.20, 6.0, 3, 99_000),
    ("walker", 0.08, 1.6, 1, 1_300),
)
ORDERS_PER_DRIVER = 9.5  # on a usual day, stacks and idle time included


@dataclass(frozen=True)
class Places:
    """Points of one kind: metres x, y; the zone index each lies in; how often each is chosen."""

    x: Floats
    y: Floats
    zone: Ints
    weight: Floats


@dataclass(frozen=True)
class Ground:
    """Everything that stands still. `side` zones a side; zone index = row * side + column, id = index + 1."""

    side: int
    rings: list[Ring]
    merchants: Places
    prep_s: Ints
    homes: Places
    vehicle: Ints  # index into FLEET, one a driver
    base: Ints  # a driver's usual zone

    @property
    def width(self) -> float:
        return self.side * CELL_M

    @property
    def drivers(self) -> int:
        return len(self.vehicle)

    def cell(self, x: Floats, y: Floats) -> Ints:
        """Return the index of the square cell of points: the zone, but for a strip along jittered borders."""
        top = self.side - 1
        column = np.clip((x / CELL_M).astype(np.int64), 0, top)
        return np.clip((y / CELL_M).astype(np.int64), 0, top) * self.side + column

    def near(self, zone: int) -> list[int]:
        """Return a zone and its up to eight neighbours, nearest first."""
        row, column = divmod(zone, self.side)
        found = [
            (abs(r - row) + abs(c - column), r * self.side + c)
            for r in range(max(0, row - 1), min(self.side, row + 2))
            for c in range(max(0, column - 1), min(self.side, column + 2))
        ]
        return [index for _, index in sorted(found)]


def build(plan: CityPlan) -> Ground:
    """Return the ground of a plan; its size follows from the orders of a usual day."""
    daily = float(plan.usual_orders().max())
    side = int(np.clip(round(math.sqrt(daily / 65)), 2, 8))
    rings = _rings(plan.seed, side)
    merchants = _merchants(plan.seed, side, rings, int(np.clip(daily / 7, side * side * 3, 4_000)))
    pick = draws(plan.seed, 0, "prep")
    drivers = max(8, math.ceil(1.6 * daily / ORDERS_PER_DRIVER))
    return Ground(
        side=side,
        rings=rings,
        merchants=merchants,
        prep_s=np.rint(np.clip(pick.gamma(9, 95, len(merchants.x)), 240, 2400) / 30).astype(
            np.int64
        )
        * 30,
        homes=_homes(plan.seed, side, int(np.clip(plan.orders / 4, 100, 400_000))),
        vehicle=draws(plan.seed, 0, "vehicle").choice(
            len(FLEET), drivers, p=[share for _, share, *_ in FLEET]
        ),
        base=draws(plan.seed, 0, "base").choice(side * side, drivers, p=_pull(merchants, side)),
    )


def degrees(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return (lat, lon) of metres, to a millionth of a degree."""
    return np.round(SOUTH + y / M_PER_LAT, 6), np.round(WEST + x / M_PER_LON, 6)


def _rings(seed: int, side: int) -> list[Ring]:
    """Return the zones: a grid whose inner corners are moved, each corner shared by its four zones."""
    shift = draws(seed, 0, "zones").uniform(-0.18, 0.18, (side + 1, side + 1, 2)) * CELL_M
    shift[[0, -1], :, 1] = shift[:, [0, -1], 0] = 0  # the edge stays straight, and corners stay
    shift[[0, -1], :, 0] = shift[:, [0, -1], 1] = 0
    rows, columns = np.mgrid[0 : side + 1, 0 : side + 1].astype(np.float64)
    lat, lon = degrees(columns * CELL_M + shift[..., 0], rows * CELL_M + shift[..., 1])
    corner = np.stack([lon, lat], axis=-1)
    around = ((0, 0), (0, 1), (1, 1), (1, 0), (0, 0))
    return [
        [(float(corner[r + dr, c + dc, 0]), float(corner[r + dr, c + dc, 1])) for dr, dc in around]
        for r in range(side)
        for c in range(side)
    ]


def _merchants(seed: int, side: int, rings: list[Ring], count: int) -> Places:
    """Return merchants: one inside each zone, the others around a few centres; popularity is heavy-tailed."""
    pick, zones = draws(seed, 0, "merchants"), side * side
    centres = pick.uniform(0.25, 0.75, (max(2, side), 2)) * side
    centre = centres[pick.integers(0, len(centres), count)] + pick.normal(0, 0.45, (count, 2))
    index = np.arange(zones)
    centre[:zones] = np.stack([index % side, index // side], axis=1) + pick.uniform(
        0.3, 0.7, (zones, 2)
    )
    x, y = (np.clip(centre, 0.02, side - 0.02) * CELL_M).T
    lat, lon = degrees(x, y)
    zone = [
        _zone(rings, side, float(a), float(b), float(u), float(v))
        for a, b, u, v in zip(lat, lon, x, y, strict=True)
    ]
    return Places(x, y, np.array(zone, dtype=np.int64), pick.pareto(2.2, count) + 0.4)


def _zone(rings: list[Ring], side: int, lat: float, lon: float, x: float, y: float) -> int:
    row, column = min(int(y / CELL_M), side - 1), min(int(x / CELL_M), side - 1)
    around = [(r, c) for r in (row - 1, row, row + 1) for c in (column - 1, column, column + 1)]
    inside = [r * side + c for r, c in around if 0 <= r < side and 0 <= c < side]
    return next(index for index in inside if contains(rings[index], lat, lon))


def _homes(seed: int, side: int, count: int) -> Places:
    pick = draws(seed, 0, "homes")
    spread = np.where(pick.random((count, 1)) < 0.45, 0.9, 2.2)
    at = np.clip(side / 2 + pick.normal(0, 1, (count, 2)) * spread * side / 4.5, 0.03, side - 0.03)
    x, y = (at * CELL_M).T
    zone = np.clip(at.astype(np.int64), 0, side - 1)
    return Places(x, y, zone[:, 1] * side + zone[:, 0], pick.pareto(3.0, count) + 0.2)


def _pull(merchants: Places, side: int) -> Floats:
    """Return how drivers spread over zones: half with the merchants' trade, half evenly."""
    trade = np.bincount(merchants.zone, merchants.weight, side * side)
    return np.asarray(0.75 * trade / trade.sum() + 0.25 / (side * side), dtype=np.float64)


def zones_frame(ground: Ground) -> pl.DataFrame:
    """Return the delivery_zones table."""
    names = [f"{chr(65 + i // ground.side)}{i % ground.side + 1}" for i in range(len(ground.rings))]
    rings = [json.dumps(ring, separators=(",", ":")) for ring in ground.rings]
    return pl.DataFrame({"id": np.arange(1, len(names) + 1), "name": names, "ring": rings})


def merchants_frame(ground: Ground) -> pl.DataFrame:
    """Return the merchants table; labels say nothing but the number."""
    lat, lon = degrees(ground.merchants.x, ground.merchants.y)
    ids = np.arange(1, len(lat) + 1)
    label = [f"Kitchen {i}" for i in ids]
    zone = ground.merchants.zone + 1
    return pl.DataFrame(
        {
            "id": ids,
            "label": label,
            "zone_id": zone,
            "lat": lat,
            "lon": lon,
            "prep_s": ground.prep_s,
        },
    )

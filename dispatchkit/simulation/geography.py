"""Geography of the city: zones that tile it, merchants in clusters, homes, and the vehicle fleet.

The simulation counts in metres east (x) and north (y) of the south-west corner; the tables have
WGS84 degrees.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from dispatchkit.kernel.geo import EARTH_M, Ring, contains
from dispatchkit.simulation.scenario import Floats, Ints, Scenario, random_stream

CELL_M = 2_200.0  # side of a zone
SOUTH, WEST = 52.95, 0.12  # the south-west corner in degrees; no street of the city is real
M_PER_LAT = math.radians(1) * EARTH_M
M_PER_LON = M_PER_LAT * math.cos(math.radians(SOUTH + 0.05))
FLEET = (  # vehicle, share, m/s door to door, most deliveries at once, longest delivery in metres
    ("bicycle", 0.46, 4.2, 2, 7_000),
    ("scooter", 0.26, 5.0, 2, 99_000),
    ("car", 0.20, 6.0, 3, 99_000),
    ("walker", 0.08, 1.6, 1, 1_300),
)
ORDERS_PER_DRIVER = 9.5  # on a usual day, stacks and idle time included


@dataclass(frozen=True)
class Places:
    """Points of one kind, merchants or homes."""

    x: Floats  # metres
    y: Floats
    zone: Ints  # zone index
    weight: Floats  # relative frequency of orders


@dataclass(frozen=True)
class Geography:
    """Everything that does not change from day to day.

    A zone index is row * side + column; the id of a zone is its index + 1.
    """

    side: int  # zones along one side of the square city
    rings: list[Ring]  # borders of the zones, (lon, lat)
    merchants: Places
    prep_s: Ints  # usual preparation time of each merchant
    homes: Places  # of the customers
    vehicle: Ints  # by driver: index into FLEET
    base: Ints  # by driver: the usual zone

    @property
    def width(self) -> float:
        """Return the length of one side of the city in metres."""
        return self.side * CELL_M

    @property
    def drivers(self) -> int:
        """Return how many drivers there are, at work or not."""
        return len(self.vehicle)

    def cell(self, x: Floats, y: Floats) -> Ints:
        """Return the index of the square cell of points.

        It is the zone except near its borders, which are not quite straight.
        """
        top = self.side - 1
        column = np.clip((x / CELL_M).astype(np.int64), 0, top)
        row = np.clip((y / CELL_M).astype(np.int64), 0, top)
        return row * self.side + column

    def near(self, zone: int) -> list[int]:
        """Return a zone and its up to eight neighbours, nearest first."""
        row, column = divmod(zone, self.side)
        zones = [
            (abs(r - row) + abs(c - column), r * self.side + c)
            for r in range(max(0, row - 1), min(self.side, row + 2))
            for c in range(max(0, column - 1), min(self.side, column + 2))
        ]
        return [index for _, index in sorted(zones)]


def build_geography(scenario: Scenario) -> Geography:
    """Return the geography of a scenario; its size follows from the orders of a usual day."""
    seed, daily = scenario.seed, float(scenario.usual_orders().max())
    side = int(np.clip(round(math.sqrt(daily / 65)), 2, 8))
    rings = _rings(seed, side)
    merchants = _merchants(seed, side, rings, int(np.clip(daily / 7, side * side * 3, 4_000)))
    prep_s = random_stream(seed, 0, "prep").gamma(9, 95, len(merchants.x))
    drivers = max(8, math.ceil(1.6 * daily / ORDERS_PER_DRIVER))
    shares = [share for _, share, *_ in FLEET]
    return Geography(
        side=side,
        rings=rings,
        merchants=merchants,
        prep_s=np.rint(np.clip(prep_s, 240, 2400) / 30).astype(np.int64) * 30,
        homes=_homes(seed, side, int(np.clip(scenario.orders / 4, 100, 400_000))),
        vehicle=random_stream(seed, 0, "vehicle").choice(len(FLEET), drivers, p=shares),
        base=random_stream(seed, 0, "base").choice(
            side * side, drivers, p=_driver_shares(merchants, side)
        ),
    )


def degrees(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return (lat, lon) of places in metres, rounded to a millionth of a degree."""
    return np.round(SOUTH + y / M_PER_LAT, 6), np.round(WEST + x / M_PER_LON, 6)


def _rings(seed: int, side: int) -> list[Ring]:
    """Return the borders of the zones: a grid whose inner corners are moved.

    Each corner is shared by its four zones, so the zones neither overlap nor leave a gap.
    """
    shift = random_stream(seed, 0, "zones").uniform(-0.18, 0.18, (side + 1, side + 1, 2)) * CELL_M
    shift[[0, -1], :, 1] = shift[:, [0, -1], 0] = 0  # the city's edge stays straight
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
    """Return merchants: one in each zone, the others around a few centres.

    A few are chosen far more often than the rest.
    """
    rng, zones = random_stream(seed, 0, "merchants"), side * side
    centres = rng.uniform(0.25, 0.75, (max(2, side), 2)) * side
    centre = centres[rng.integers(0, len(centres), count)] + rng.normal(0, 0.45, (count, 2))
    index = np.arange(zones)
    centre[:zones] = np.stack([index % side, index // side], axis=1) + rng.uniform(
        0.3, 0.7, (zones, 2)
    )
    x, y = (np.clip(centre, 0.02, side - 0.02) * CELL_M).T
    lat, lon = degrees(x, y)
    zone = [
        _zone(rings, side, float(a), float(b), float(u), float(v))
        for a, b, u, v in zip(lat, lon, x, y, strict=True)
    ]
    return Places(x, y, np.array(zone, dtype=np.int64), rng.pareto(2.2, count) + 0.4)


def _zone(rings: list[Ring], side: int, lat: float, lon: float, x: float, y: float) -> int:
    """Return the index of the zone that holds a place, given in degrees and in metres."""
    row, column = min(int(y / CELL_M), side - 1), min(int(x / CELL_M), side - 1)
    around = [(r, c) for r in (row - 1, row, row + 1) for c in (column - 1, column, column + 1)]
    inside = [r * side + c for r, c in around if 0 <= r < side and 0 <= c < side]
    return next(index for index in inside if contains(rings[index], lat, lon))


def _homes(seed: int, side: int, count: int) -> Places:
    """Return homes, denser in the middle of the city."""
    rng = random_stream(seed, 0, "homes")
    spread = np.where(rng.random((count, 1)) < 0.45, 0.9, 2.2)
    at = np.clip(side / 2 + rng.normal(0, 1, (count, 2)) * spread * side / 4.5, 0.03, side - 0.03)
    x, y = (at * CELL_M).T
    zone = np.clip(at.astype(np.int64), 0, side - 1)
    return Places(x, y, zone[:, 1] * side + zone[:, 0], rng.pareto(3.0, count) + 0.2)


def _driver_shares(merchants: Places, side: int) -> Floats:
    """Return the share of drivers by zone: 75 % follow the merchants' trade, 25 % spread evenly."""
    trade = np.bincount(merchants.zone, merchants.weight, side * side)
    return np.asarray(0.75 * trade / trade.sum() + 0.25 / (side * side), dtype=np.float64)


def zones_frame(geography: Geography) -> pl.DataFrame:
    """Return the delivery_zones table."""
    names = [
        f"{chr(65 + i // geography.side)}{i % geography.side + 1}"
        for i in range(len(geography.rings))
    ]
    rings = [json.dumps(ring, separators=(",", ":")) for ring in geography.rings]
    return pl.DataFrame({"id": np.arange(1, len(names) + 1), "name": names, "ring": rings})


def merchants_frame(geography: Geography) -> pl.DataFrame:
    """Return the merchants table; a label is only a number."""
    lat, lon = degrees(geography.merchants.x, geography.merchants.y)
    ids = np.arange(1, len(lat) + 1)
    label = [f"Kitchen {i}" for i in ids]
    zone = geography.merchants.zone + 1
    return pl.DataFrame(
        {
            "id": ids,
            "label": label,
            "zone_id": zone,
            "lat": lat,
            "lon": lon,
            "prep_s": geography.prep_s,
        },
    )

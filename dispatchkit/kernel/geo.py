"""Points on the earth: distance, polygons. Degrees are WGS84, distances metres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, pairwise

import polars as pl

EARTH_M = 6_371_008.8  # mean radius (IUGG)
METRES_PER_DEGREE = EARTH_M * math.pi / 180  # of latitude; times cos(latitude) for longitude

Point = tuple[float, float]  # lat, lon
Ring = Sequence[tuple[float, float]]  # (lon, lat) pairs, first == last


def is_point(lat: float, lon: float) -> bool:
    """Return whether both are finite and inside the ranges of latitude and longitude."""
    return math.isfinite(lat) and math.isfinite(lon) and abs(lat) <= 90 and abs(lon) <= 180


def point(lat: float | None, lon: float | None) -> Point | None:
    """Return the place that two columns name, None where either is unknown."""
    return None if lat is None or lon is None else (lat, lon)


def haversine_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Return the great-circle distance in metres (haversine formula, mean earth radius)."""
    p1, p2 = math.radians(lat1), math.radians(lat2)
    h = (
        math.sin((p2 - p1) / 2) ** 2
        + math.cos(p1) * math.cos(p2) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    )
    return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(h)))


def haversine_expr(lat1: str, lon1: str, lat2: str, lon2: str) -> pl.Expr:
    """Return the same distance between four columns of degrees, as an expression in metres."""
    p1, p2 = pl.col(lat1).radians(), pl.col(lat2).radians()
    half_lat, half_lon = (p2 - p1) / 2, (pl.col(lon2).radians() - pl.col(lon1).radians()) / 2
    h = half_lat.sin() ** 2 + p1.cos() * p2.cos() * half_lon.sin() ** 2
    return 2 * EARTH_M * h.sqrt().clip(0, 1).arcsin()


def contains(ring: Ring, lat: float, lon: float) -> bool:
    """Return whether a point lies in a closed ring; a point on the border counts as inside.

    Even-odd ray casting. Where two zones share a border both contain it, and the lowest id wins.
    """
    inside = False
    for (x1, y1), (x2, y2) in pairwise(ring):
        cross = (x2 - x1) * (lat - y1) - (y2 - y1) * (lon - x1)
        if cross == 0 and min(x1, x2) <= lon <= max(x1, x2) and min(y1, y2) <= lat <= max(y1, y2):
            return True
        if (y1 > lat) != (y2 > lat) and lon < x1 + (lat - y1) * (x2 - x1) / (y2 - y1):
            inside = not inside
    return inside


def ring_fault(ring: Ring) -> str | None:
    """Return what is wrong with a zone's ring, or None: closed, with an area, not crossing itself."""
    if len(ring) < 4:
        return "fewer than three corners"
    if tuple(ring[0]) != tuple(ring[-1]):
        return "ring is not closed"
    if not all(is_point(lat, lon) for lon, lat in ring):
        return "a corner is not a coordinate (longitude comes first)"
    sides = list(pairwise(ring))
    if any(_cross(*a, *b) for a, b in combinations(sides, 2)):
        return "ring crosses itself"
    area = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in sides)
    return None if area else "ring encloses nothing"


def _cross(
    p: tuple[float, float], q: tuple[float, float], r: tuple[float, float], s: tuple[float, float]
) -> bool:
    """Return whether two sides cross between their ends; sides that share a corner do not."""

    def turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    return turn(p, q, r) * turn(p, q, s) < 0 and turn(r, s, p) * turn(r, s, q) < 0

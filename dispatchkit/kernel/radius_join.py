"""Pairs of points within a straight-line distance, found by a grid instead of comparing all pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl

from dispatchkit.kernel.geo import METRES_PER_DEGREE, Point, haversine_expr


def within_radius(
    sources: Sequence[Point], targets: Mapping[int, Point], within_m: Mapping[int, int]
) -> list[tuple[int, int, int]]:
    """Return (index in sources, target key, distance in metres) of every pair that is close enough.

    within_m: target key -> the straight-line distance up to which a source counts. Neighbouring targets
    stand together in the result, so that a part of the list concerns few sources.

    Cells of the grid are as wide as the longest distance, so the source of a pair lies in the target's
    cell or in one of the eight around it.
    """
    if not sources or not targets:
        return []
    reach = max(within_m[key] for key in targets)
    south_north = max(reach, 1) / METRES_PER_DEGREE * 1.001
    farthest = max(abs(lat) for lat, _ in [*sources, *targets.values()])
    around = max(
        1, int(360 / south_north * math.cos(math.radians(min(farthest + south_north, 89.9))))
    )
    from_ = _cells(
        [lat for lat, _ in sources], [lon for _, lon in sources], south_north, around, "lat", "lon"
    )
    from_ = from_.with_columns(i=pl.int_range(pl.len()))
    to = _cells(
        [t[0] for t in targets.values()],
        [t[1] for t in targets.values()],
        south_north,
        around,
        "to_lat",
        "to_lon",
    )
    to = to.with_columns(
        key=pl.Series(list(targets)), within=pl.Series([within_m[key] for key in targets])
    )
    offsets = pl.DataFrame({"dy": [-1, -1, -1, 0, 0, 0, 1, 1, 1], "dx": [-1, 0, 1] * 3})
    neighbours = (
        from_.join(offsets, how="cross")
        .with_columns(cy=pl.col("cy") + pl.col("dy"), cx=(pl.col("cx") + pl.col("dx")) % around)
        .unique(["i", "cy", "cx"])
    )
    distance = (
        haversine_expr("lat", "lon", "to_lat", "to_lon").round().cast(pl.Int64).alias("distance_m")
    )
    pairs = (
        neighbours.join(to, on=["cy", "cx"])
        .with_columns(distance)
        .filter(pl.col("distance_m") <= pl.col("within"))
    )
    return list(pairs.sort("cy", "cx", "key", "i").select("i", "key", "distance_m").iter_rows())


def _cells(
    lats: list[float], lons: list[float], south_north: float, around: int, lat: str, lon: str
) -> pl.DataFrame:
    """Return points with their cell: cy from south to north, cx around the earth, the last beside the first."""
    cy = (pl.col(lat) / south_north).floor().cast(pl.Int64)
    cx = ((pl.col(lon) + 180) / 360 * around).floor().cast(pl.Int64) % around
    return pl.DataFrame({lat: lats, lon: lons}).with_columns(cy=cy, cx=cx)

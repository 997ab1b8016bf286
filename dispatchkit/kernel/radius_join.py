"""Who is near what: pairs of points within a distance by air, found by a grid instead of comparing all with all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl

from dispatchkit.kernel.geo import METRES_PER_DEGREE, Point, haversine_expr


def within_radius(
    sources: Sequence[Point], targets: Mapping[int, Point], within_m: Mapping[int, int]
) -> list[tuple[int, int, int]]:
    """Return (position in sources, target key, metres by air) of every pair within the target's own distance.

    Neighbouring targets stand together, so that a part of the list concerns few sources. Cells are as wide as the
    longest distance, so a partner lies in the same cell or in one of the eight around it.
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
    around_it = pl.DataFrame({"dy": [-1, -1, -1, 0, 0, 0, 1, 1, 1], "dx": [-1, 0, 1] * 3})
    neighbours = (
        from_.join(around_it, how="cross")
        .with_columns(cy=pl.col("cy") + pl.col("dy"), cx=(pl.col("cx") + pl.col("dx")) % around)
        .unique(["i", "cy", "cx"])
    )
    air = haversine_expr("lat", "lon", "to_lat", "to_lon").round().cast(pl.Int64).alias("air_m")
    pairs = (
        neighbours.join(to, on=["cy", "cx"])
        .with_columns(air)
        .filter(pl.col("air_m") <= pl.col("within"))
    )
    return list(pairs.sort("cy", "cx", "key", "i").select("i", "key", "air_m").iter_rows())


def _cells(
    lats: list[float], lons: list[float], south_north: float, around: int, lat: str, lon: str
) -> pl.DataFrame:
    """Return points with their cell: cy from south to north, cx around the earth, the last beside the first."""
    cy = (pl.col(lat) / south_north).floor().cast(pl.Int64)
    cx = ((pl.col(lon) + 180) / 360 * around).floor().cast(pl.Int64) % around
    return pl.DataFrame({lat: lats, lon: lons}).with_columns(cy=cy, cx=cx)

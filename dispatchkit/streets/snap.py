"""Move points to streets: the exact nearest point on the nearest arc.

A KD-tree holds sample points, at most 25 m apart, along all streets. No point of a street is
farther than half that step from a sample, so everything within (nearest sample + half a step)
contains the true answer; these candidates are then projected. Snapping to the nearest junction
instead would be wrong by about 40 m along the street (median).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from dispatchkit.kernel.geo import EARTH_M, METRES_PER_DEGREE
from dispatchkit.streets.geodesy import SCALE, Floats, Longs, distance_m
from dispatchkit.streets.graph import Streets

STEP_M = 25.0  # largest distance between samples
ROUNDING_M = 0.01  # margin of the search radius
AT_JUNCTION_M = 0.05  # a point on an arc this close to its end is put on the junction


@dataclass(frozen=True, slots=True)
class Snapped:
    """Where points meet the streets; all arrays have shape (points,)."""

    arc: Longs  # -1: no street near enough
    fraction: Floats  # 0..1 of the arc's length, in the direction of travel
    gap_m: Floats  # from the point to the street


class Snapper:
    """Finds the nearest arcs. Build it once for a graph: that takes far longer than a query."""

    def __init__(self, streets: Streets) -> None:
        self.streets = streets

        # By piece: a straight part of a shape, between two neighbouring points. Of a two-way street
        # only the arc that runs along the shape is used, so that each shape is there once.
        arcs = np.flatnonzero(~streets.against_shape | (streets.reverse_arc < 0))
        count = streets.shape_count[arcs].astype(np.int64) - 1
        first = np.cumsum(count) - count
        self.arc = np.repeat(arcs, count)
        point = np.repeat(streets.shape_start[arcs] - first, count) + np.arange(count.sum())
        lat, lon = streets.lat / SCALE, streets.lon / SCALE  # degrees
        self.lat1, self.lon1 = lat[point], lon[point]
        self.lat2, self.lon2 = lat[point + 1], lon[point + 1]
        self.length_m = distance_m(self.lat1, self.lon1, self.lat2, self.lon2)
        start_m = np.cumsum(self.length_m) - self.length_m
        self.offset_m = start_m - start_m[np.repeat(first, count)]  # from the shape's first point
        shape_m = np.bincount(self.arc, self.length_m, minlength=len(streets.tail))
        self.shape_m = np.maximum(shape_m[self.arc], 1e-9)  # of the whole shape; never 0: a divisor

        # By sample:
        parts = np.maximum(1, np.ceil(self.length_m / STEP_M)).astype(np.int64)
        self.piece = np.repeat(np.arange(len(parts)), parts)
        number = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
        share = (number + 0.5) / parts[self.piece]
        sample_lat = self.lat1[self.piece] + share * (self.lat2 - self.lat1)[self.piece]
        sample_lon = self.lon1[self.piece] + share * (self.lon2 - self.lon1)[self.piece]
        self.tree = cKDTree(_in_space(sample_lat, sample_lon))

    def snap(self, points: Floats, *, max_gap_m: float) -> Snapped:
        """Return where points meet the streets; of equally near arcs the lowest.

        points: shape (n, 2), (lat, lon) in degrees. A point farther than `max_gap_m` from every
        street gets arc -1, with its gap; it is never moved.
        """
        if not len(points):
            return Snapped(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
        in_space = _in_space(points[:, 0], points[:, 1])
        nearest_m, _ = self.tree.query(in_space)
        radius_m = nearest_m * (1 + 1e-9) + STEP_M / 2 + ROUNDING_M
        hits = self.tree.query_ball_point(in_space, radius_m)
        samples = [np.asarray(hit, np.int64) for hit in np.asarray(hits)]

        # By candidate: a point and a piece near it.
        point = np.repeat(np.arange(len(points)), [len(hit) for hit in samples])
        piece = self.piece[np.concatenate(samples)]
        gap_m, share = self._project(points[point], piece)
        along_m = self.offset_m[piece] + share * self.length_m[piece]
        fraction = np.clip(along_m / self.shape_m[piece], 0.0, 1.0)
        order = np.lexsort((fraction, self.arc[piece], np.round(gap_m, 3), point))
        best = order[np.unique(point[order], return_index=True)[1]]  # one candidate a point

        piece, gap_m = piece[best], gap_m[best]
        arc = self.arc[piece]
        fraction = _to_junction(fraction[best], self.shape_m[piece])
        fraction = np.where(self.streets.against_shape[arc], 1.0 - fraction, fraction)
        return Snapped(np.where(gap_m <= max_gap_m, arc, -1), fraction, gap_m)

    def _project(self, points: Floats, piece: Longs) -> tuple[Floats, Floats]:
        """Return (gap in metres, nearest position 0..1) of each point on its piece.

        Computed in the plane that touches the earth at the point.
        """
        lon_m = np.cos(np.radians(points[:, 0])) * METRES_PER_DEGREE  # per degree of longitude
        x = (self.lon1[piece] - points[:, 1]) * lon_m
        y = (self.lat1[piece] - points[:, 0]) * METRES_PER_DEGREE
        dx = (self.lon2 - self.lon1)[piece] * lon_m
        dy = (self.lat2 - self.lat1)[piece] * METRES_PER_DEGREE
        square = dx * dx + dy * dy
        share = np.clip(-(x * dx + y * dy) / np.where(square > 0, square, 1.0), 0.0, 1.0)
        return np.hypot(x + share * dx, y + share * dy), share


def _to_junction(fraction: Floats, shape_m: Floats) -> Floats:
    """Return fractions with those within AT_JUNCTION_M of an end moved to it."""
    near = AT_JUNCTION_M / np.maximum(shape_m, 2 * AT_JUNCTION_M)
    return np.where(fraction <= near, 0.0, np.where(fraction >= 1 - near, 1.0, fraction))


def _in_space(lat: Floats, lon: Floats) -> Floats:
    """Return points as (x, y, z) in metres, where straight distances need no map projection."""
    phi, theta = np.radians(lat), np.radians(lon)
    x, y, z = np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)
    return EARTH_M * np.column_stack([x, y, z])

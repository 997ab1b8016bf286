"""From a place to a street: the nearest point on the nearest arc, exactly.

A KD-tree over points every 25 m along the streets finds candidates: no point of a street lies farther than half a step
from a sample, so everything within (nearest sample + half a step) holds the true answer. Candidates are then
projected on their segments. Nearest *nodes* would be wrong by a median of about 40 m along the street.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from dispatchkit.kernel.geo import EARTH_M
from dispatchkit.streets.earth import SCALE, Floats, Longs, distance_m
from dispatchkit.streets.graph import Streets

STEP_M = 25.0
AT_JUNCTION_M = 0.05  # this close to its end, a point on an arc stands on the junction
DEGREE_M = np.pi * EARTH_M / 180


@dataclass(frozen=True, slots=True)
class Snapped:
    """For each point its arc (-1: none near enough), the fraction 0..1 along it, and the gap to it in metres."""

    arc: Longs
    fraction: Floats
    gap_m: Floats


class Snapper:
    """Finds the nearest arcs; `Snapper(streets)` builds the tree once."""

    def __init__(self, streets: Streets) -> None:
        self.streets = streets
        drawn = np.flatnonzero(~streets.backward | (streets.twin < 0))  # each piece once
        n = streets.shape_n[drawn].astype(np.int64) - 1
        self.arc = np.repeat(drawn, n)
        self.at = np.repeat(streets.shape_at[drawn] - (np.cumsum(n) - n), n) + np.arange(n.sum())
        lat, lon = streets.lat / SCALE, streets.lon / SCALE
        self.lat1, self.lon1, self.lat2, self.lon2 = (
            lat[self.at],
            lon[self.at],
            lat[self.at + 1],
            lon[self.at + 1],
        )
        self.length = distance_m(self.lat1, self.lon1, self.lat2, self.lon2)
        sums = np.cumsum(self.length)
        first = np.repeat(np.cumsum(n) - n, n)
        self.before = sums - self.length - (sums[first] - self.length[first])
        self.total = np.bincount(self.arc, self.length, minlength=len(streets.tail))[self.arc]
        parts = np.maximum(1, np.ceil(self.length / STEP_M)).astype(np.int64)
        self.segment = np.repeat(np.arange(len(parts)), parts)
        t = (np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts) + 0.5) / np.repeat(
            parts, parts
        )
        s = self.segment
        self.tree = cKDTree(
            _on_sphere(
                self.lat1[s] + t * (self.lat2 - self.lat1)[s],
                self.lon1[s] + t * (self.lon2 - self.lon1)[s],
            )
        )

    def snap(self, points: Floats, *, max_gap_m: float) -> Snapped:
        """Return where points of shape (n, 2), (lat, lon), meet the streets; ties go to the lower arc.

        A point farther away than `max_gap_m` is reported as unsnapped (arc -1, its gap still given), never moved.
        """
        if not len(points):
            return Snapped(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
        near = _on_sphere(points[:, 0], points[:, 1])
        reach, _ = self.tree.query(near)
        found = self.tree.query_ball_point(near, reach * (1 + 1e-9) + STEP_M / 2 + 0.01)
        candidates = [np.asarray(samples, np.int64) for samples in np.asarray(found)]
        who = np.repeat(np.arange(len(points)), [len(samples) for samples in candidates])
        segment = self.segment[np.concatenate(candidates)]
        gap, t = self._project(points[who], segment)
        fraction = np.clip(
            (self.before[segment] + t * self.length[segment]) / self._total(segment), 0.0, 1.0
        )
        order = np.lexsort((fraction, self.arc[segment], np.round(gap, 3), who))
        best = order[np.unique(who[order], return_index=True)[1]]
        arc, fraction, gap = self.arc[segment[best]], fraction[best], gap[best]
        fraction = self._to_junction(fraction, self._total(segment[best]))
        backward = self.streets.backward[arc]
        fraction = np.where(backward, 1.0 - fraction, fraction)
        return Snapped(np.where(gap <= max_gap_m, arc, -1), fraction, gap)

    def _total(self, segment: npt.NDArray[np.int64]) -> Floats:
        return np.maximum(self.total[segment], 1e-9)

    def _to_junction(self, fraction: Floats, total: Floats) -> Floats:
        near = AT_JUNCTION_M / np.maximum(total, 2 * AT_JUNCTION_M)
        return np.where(fraction <= near, 0.0, np.where(fraction >= 1 - near, 1.0, fraction))

    def _project(self, points: Floats, segment: Longs) -> tuple[Floats, Floats]:
        """Return the gap in metres and the place 0..1 on each segment, in the plane that touches at the point."""
        shrink = np.cos(np.radians(points[:, 0])) * DEGREE_M
        ax, ay = (
            (self.lon1[segment] - points[:, 1]) * shrink,
            (self.lat1[segment] - points[:, 0]) * DEGREE_M,
        )
        dx = (self.lon2 - self.lon1)[segment] * shrink
        dy = (self.lat2 - self.lat1)[segment] * DEGREE_M
        square = dx * dx + dy * dy
        t = np.clip(-(ax * dx + ay * dy) / np.where(square > 0, square, 1.0), 0.0, 1.0)
        return np.hypot(ax + t * dx, ay + t * dy), t


def _on_sphere(lat: Floats, lon: Floats) -> Floats:
    """Return points in space, in metres: straight distances there are right anywhere, with no map projection."""
    p, q = np.radians(lat), np.radians(lon)
    return EARTH_M * np.column_stack([np.cos(p) * np.cos(q), np.cos(p) * np.sin(q), np.sin(p)])

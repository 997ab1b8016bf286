from __future__ import annotations

import numpy as np
import pytest
from shapely import LineString, Point  # type: ignore[import-untyped]

from dispatchkit.kernel.geo import METRES_PER_DEGREE
from dispatchkit.streets.geodesy import SCALE
from dispatchkit.streets.networkx_io import from_networkx
from dispatchkit.streets.snap import Snapper
from tests.unit.streets.networks import BOX, city, random_graph


def plane(line, point):
    """Return (lat, lon) points as metres around a point."""
    shrink = np.cos(np.radians(point[0])) * METRES_PER_DEGREE
    return [((lon - point[1]) * shrink, (lat - point[0]) * METRES_PER_DEGREE) for lat, lon in line]


@pytest.mark.parametrize(
    "make", [city, lambda: from_networkx(random_graph(2), "car")], ids=["grid", "random"]
)
def test_snap_equals_search_over_all_streets(make):
    streets = make()
    draw = np.random.default_rng(1)
    low, high = (
        (f(streets.node_lat) / SCALE, f(streets.node_lon) / SCALE) for f in (np.min, np.max)
    )
    points = draw.uniform(low, high, (60, 2))
    snapped = Snapper(streets).snap(points, max_gap_m=1e9)
    for point, arc, fraction, gap in zip(
        points, snapped.arc, snapped.fraction, snapped.gap_m, strict=True
    ):
        gaps = [
            LineString(plane(streets.line(k), point)).distance(Point(0, 0))
            for k in range(len(streets.tail))
        ]
        assert gap == pytest.approx(min(gaps), abs=1e-3)
        line = LineString(plane(streets.line(int(arc)), point))
        assert line.interpolate(fraction, normalized=True).distance(Point(0, 0)) == pytest.approx(
            gap, abs=0.2
        )


def test_junction_snaps_to_itself():
    streets = city()
    points = np.column_stack([streets.node_lat, streets.node_lon]) / SCALE
    snapped = Snapper(streets).snap(points, max_gap_m=1)
    assert snapped.gap_m.max() < 1e-6
    assert set(snapped.fraction.tolist()) <= {0.0, 1.0}
    where = np.where(snapped.fraction == 0, streets.tail[snapped.arc], streets.head[snapped.arc])
    assert where.tolist() == list(range(len(points)))


def test_far_point_is_not_snapped():
    snapped = Snapper(city()).snap(
        np.array([[BOX[0] - 0.01, BOX[1]], [BOX[0], BOX[1]]]), max_gap_m=500
    )
    assert snapped.arc.tolist()[0] == -1
    assert snapped.gap_m[0] == pytest.approx(0.01 * METRES_PER_DEGREE, rel=1e-3)
    assert snapped.arc.tolist()[1] >= 0


def test_ties_go_to_lowest_arc():
    streets = city()
    snapper = Snapper(streets)
    points = np.random.default_rng(4).uniform(BOX[:2], BOX[2:], (50, 2))
    once, again = snapper.snap(points, max_gap_m=500), snapper.snap(points[::-1], max_gap_m=500)
    assert once.arc.tolist() == again.arc[::-1].tolist()
    assert once.fraction.tolist() == again.fraction[::-1].tolist()


def test_no_points_give_empty_result():
    assert len(Snapper(city()).snap(np.zeros((0, 2)), max_gap_m=1).arc) == 0

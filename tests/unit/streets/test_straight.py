from __future__ import annotations

import pytest

from dispatchkit.domain.feature import Travel
from dispatchkit.domain.tables import VEHICLES
from dispatchkit.kernel.errors import BadConfig, BadData
from dispatchkit.kernel.geo import haversine_m
from dispatchkit.streets.straight import StraightLine

A, B, C = (52.50, 13.40), (52.52, 13.45), (52.47, 13.38)


def test_metres_are_great_circle_times_circuity() -> None:
    seconds, metres = StraightLine(circuity=1.25, speeds={"car": 5.0}).matrix(
        [A, B], [A, B, C], "car"
    )
    expected = [[round(1.25 * haversine_m(*p, *q)) for q in (A, B, C)] for p in (A, B)]
    assert metres == expected
    assert seconds == [[round(1.25 * haversine_m(*p, *q) / 5.0) for q in (A, B, C)] for p in (A, B)]


def test_empty_points_give_empty_matrix() -> None:
    travel = StraightLine()
    assert travel.matrix([], [A], "car") == ([], [])
    assert travel.matrix([A, B], [], "car") == ([[], []], [[], []])


def test_every_vehicle_has_a_speed() -> None:
    travel: Travel = StraightLine()
    for vehicle in VEHICLES:
        (row,), _ = travel.matrix([A], [B], vehicle)
        assert row[0] > 0
    assert travel.name == "straight x1.3"


@pytest.mark.parametrize(
    "point", [(91.0, 0.0), (0.0, 181.0), (float("nan"), 0.0), (0.0, float("inf"))]
)
def test_invalid_point_is_named_by_row_only(
    point: tuple[float, float],
) -> None:
    with pytest.raises(BadData, match="targets: row 1") as error:
        StraightLine().matrix([A], [B, point], "car")
    assert "181" not in str(error.value)


def test_unknown_vehicle_and_bad_factors_are_refused() -> None:
    with pytest.raises(BadConfig, match="zeppelin"):
        StraightLine().matrix([A], [B], "zeppelin")
    with pytest.raises(BadConfig, match="circuity"):
        StraightLine(circuity=0.9)
    with pytest.raises(BadConfig, match="speed"):
        StraightLine(speeds={"car": 0.0})

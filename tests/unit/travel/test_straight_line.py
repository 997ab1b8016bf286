from __future__ import annotations

import pytest

from dispatchkit.domain.rows import Vehicle
from dispatchkit.kernel.errors import BadConfig, BadData
from dispatchkit.kernel.geo import haversine_m
from dispatchkit.travel.interface import Travel
from dispatchkit.travel.straight_line import StraightLine

A, B, C = (52.50, 13.40), (52.52, 13.45), (52.47, 13.38)


def test_metres_are_great_circle_times_circuity() -> None:
    seconds, metres = StraightLine(circuity=1.25, speeds={"car": 5.0}).matrix(
        [A, B], [A, B, C], "car"
    )
    expected = [[round(1.25 * haversine_m(*p, *q)) for q in (A, B, C)] for p in (A, B)]
    assert metres.tolist() == expected
    assert seconds.tolist() == [
        [round(1.25 * haversine_m(*p, *q) / 5.0) for q in (A, B, C)] for p in (A, B)
    ]


def test_pairs_are_diagonal_of_matrix() -> None:
    travel = StraightLine()
    matrix, pairs = travel.matrix([A, B], [B, C], "car"), travel.pairs([A, B], [B, C], "car")
    assert [array.tolist() for array in pairs] == [array.diagonal().tolist() for array in matrix]


def test_empty_points_give_empty_arrays() -> None:
    travel = StraightLine()
    assert [array.shape for array in travel.matrix([], [A], "car")] == [(0, 1), (0, 1)]
    assert [array.shape for array in travel.matrix([A, B], [], "car")] == [(2, 0), (2, 0)]
    assert [array.shape for array in travel.pairs([], [], "car")] == [(0,), (0,)]


def test_every_vehicle_has_speed() -> None:
    travel: Travel = StraightLine()
    for vehicle in Vehicle:
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

"""Distances agree with known ones, and a bad ring is named."""

from __future__ import annotations

import math

import polars as pl
import pytest

from dispatchkit.kernel.geo import (
    EARTH_M,
    contains,
    haversine_expr,
    haversine_m,
    is_point,
    ring_fault,
)

SQUARE = [(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0), (0.0, 0.0)]
HORSESHOE = [(0, 0), (5, 0), (5, 5), (4, 5), (4, 1), (1, 1), (1, 5), (0, 5), (0, 0)]


@pytest.mark.parametrize(
    ("a", "b", "metres"),
    [
        ((0, 0), (0, 0), 0),
        ((0, 0), (0, 1), 111_195),  # one degree of the equator of a sphere of that radius
        ((52.5163, 13.3777), (48.8584, 2.2945), 879_088),  # Brandenburg Gate to Eiffel Tower
        ((0, 0), (0, 180), math.pi * EARTH_M),
        ((90, 0), (-90, 77), math.pi * EARTH_M),
        ((10, 179.5), (10, -179.5), 109_505),  # across the date line
    ],
)
def test_distance_is_known_one(a, b, metres):
    assert haversine_m(*a, *b) == pytest.approx(metres, rel=1e-3, abs=1e-6)
    assert haversine_m(*b, *a) == pytest.approx(haversine_m(*a, *b))


def test_expression_gives_same_distances():
    points = [
        (52.5, 13.4, 48.9, 2.3),
        (0.0, 0.0, 0.0, 180.0),
        (1.0, 1.0, 1.0, 1.0),
        (-33.9, 151.2, 37.8, -122.4),
    ]
    frame = pl.DataFrame(points, schema=["a", "b", "c", "d"], orient="row")
    found = frame.select(haversine_expr("a", "b", "c", "d")).to_series().to_list()
    assert found == pytest.approx([haversine_m(*point) for point in points], abs=1e-3)


@pytest.mark.parametrize(
    ("lat", "lon", "fine"),
    [
        (90, 180, True),
        (-90, -180, True),
        (90.0001, 0, False),
        (0, 180.0001, False),
        (math.nan, 0, False),
        (0, math.inf, False),
    ],
)
def test_point_is_finite_and_on_earth(lat, lon, fine):
    assert is_point(lat, lon) is fine


@pytest.mark.parametrize(
    ("ring", "lat", "lon", "inside"),
    [
        (SQUARE, 1, 1, True),
        (SQUARE, 0, 0, True),
        (SQUARE, 2, 1, True),
        (SQUARE, 1, 2.0001, False),
        (SQUARE, 2, 3, False),  # level with a side, beside it
        (SQUARE, -1, 0, False),
        (HORSESHOE, 3, 2, False),  # between the legs
        (HORSESHOE, 3, 0.5, True),
        (HORSESHOE, 3, 4.5, True),
        (HORSESHOE, 1, 3, True),
    ],
)
def test_ring_contains_its_inside_and_its_border(ring, lat, lon, inside):
    assert contains(ring, lat, lon) is inside
    assert contains(ring[::-1], lat, lon) is inside


@pytest.mark.parametrize(
    ("ring", "fault"),
    [
        (SQUARE, None),
        (HORSESHOE, None),
        (SQUARE[:-1], "ring is not closed"),
        ([(0, 0), (1, 0), (0, 0)], "fewer than three corners"),
        ([(0, 0), (1, 1), (1, 1), (0, 0)], "ring encloses nothing"),
        ([(0, 0), (1, 1), (2, 2), (0, 0)], "ring encloses nothing"),
        ([(0, 0), (2, 2), (2, 0), (0, 2), (0, 0)], "ring crosses itself"),
        (
            [(0, 0), (0, 91), (1, 91), (0, 0)],
            "a corner is not a coordinate (longitude comes first)",
        ),
    ],
)
def test_what_is_wrong_with_ring_is_named(ring, fault):
    assert ring_fault(ring) == fault

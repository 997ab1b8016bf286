"""Pairs within a distance: the grid finds what comparing all with all finds, wherever on earth."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatchkit.kernel.geo import Point, haversine_m
from dispatchkit.kernel.radius_join import within_radius

spots = st.tuples(st.floats(-89, 89), st.floats(-180, 180))


def compared(
    sources: list[Point], targets: dict[int, Point], within_m: dict[int, int]
) -> set[tuple[int, int, int]]:
    pairs = (
        (i, key, round(haversine_m(*a, *b)))
        for i, a in enumerate(sources)
        for key, b in targets.items()
    )
    return {(i, key, air) for i, key, air in pairs if air <= within_m[key]}


@settings(max_examples=60, deadline=None)
@given(
    spots,
    st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)), min_size=2, max_size=30),
    st.sampled_from([1, 500, 1500, 6000, 21_000_000]),
)
def test_grid_finds_every_pair_and_no_other(centre, offsets, reach):
    points = [
        (max(-90.0, min(90.0, centre[0] + y)), (centre[1] + x + 180) % 360 - 180)
        for y, x in offsets
    ]
    sources, targets = points[::2], dict(enumerate(points[1::2], 5))
    within = {key: reach if key % 2 else reach // 2 for key in targets}
    found = within_radius(sources, targets, within)
    assert len(found) == len(set(found))
    differing = set(found) ^ compared(sources, targets, within)
    assert all(
        abs(air - within[key]) <= 1 for _, key, air in differing
    )  # the two formulas round apart at the rim


def test_across_date_line_neighbours_are_neighbours():
    assert [
        pair[:2] for pair in within_radius([(10.0, 179.999)], {1: (10.0, -179.999)}, {1: 500})
    ] == [(0, 1)]


def test_empty_inputs_give_no_pairs():
    assert within_radius([], {1: (0.0, 0.0)}, {1: 10}) == within_radius([(0.0, 0.0)], {}, {}) == []

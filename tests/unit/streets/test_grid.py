from __future__ import annotations

import pytest

from dispatchkit.kernel.errors import Usage
from dispatchkit.streets.grid import grid
from dispatchkit.streets.profile import PROFILES
from tests.unit.streets.networks import BOX, city


@pytest.mark.parametrize("profile", list(PROFILES))
def test_grid_is_strongly_connected(profile):
    streets = city(profile)
    assert streets.dropped["nodes_outside_main_part"] == 0
    assert streets.box() == pytest.approx(BOX)


def test_grid_has_three_classes_and_one_ways():
    streets = city()
    assert len(set(streets.road_class.tolist())) == 3
    assert 0.1 < (streets.reverse_arc < 0).mean() < 0.6
    assert streets.length_m.max() < 151


def test_impossible_box_is_refused():
    with pytest.raises(Usage, match="no box"):
        grid(1.0, 1.0, 0.5, 2.0)
    with pytest.raises(Usage, match="junctions"):
        grid(0.0, 0.0, 10.0, 10.0)

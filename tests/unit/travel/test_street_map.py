from __future__ import annotations

import pytest

from dispatchkit.flows.planning.streets import make_up
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.travel import street_map
from dispatchkit.travel.providers import TravelParams, open_travel

POINTS = [(59.9123, 10.7211), (59.9231, 10.7477), (60.5, 10.7), (59.9150, 10.7300)]


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets") / "map"
    make_up(folder, south=59.90, west=10.70, north=59.93, east=10.76)
    return TravelParams(map=str(folder))


@pytest.mark.parametrize("pairs_at_once", [1, 2, 256])
def test_pairs_equal_cells_of_matrix(params, monkeypatch, pairs_at_once):
    monkeypatch.setattr(street_map, "PAIRS_AT_ONCE", pairs_at_once)
    travel = open_travel(params)
    rows, columns = [0, 1, 0, 3, 2], [1, 0, 1, 1, 0]
    sources, targets = [POINTS[i] for i in rows], [POINTS[i] for i in columns]
    matrix, pairs = (
        travel.matrix(POINTS, POINTS, "car"),
        travel.pairs(sources, targets, "car"),
    )
    assert [array.tolist() for array in pairs] == [
        array[rows, columns].tolist() for array in matrix
    ]
    assert pairs[0].tolist().count(-1) == 1


def test_provider_is_opened_once(params):
    assert open_travel(params) is open_travel(TravelParams(map=params.map))


def test_wrong_provider_settings_are_refused():
    with pytest.raises(BadConfig, match="straight_line, street_map"):
        TravelParams(provider="crow")
    with pytest.raises(BadConfig, match="needs a map"):
        open_travel(TravelParams(provider="street_map"))

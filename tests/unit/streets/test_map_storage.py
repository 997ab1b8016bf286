from __future__ import annotations

import json

import numpy as np
import pytest

from dispatchkit.flows.planning.streets import build, info, make_up
from dispatchkit.kernel.errors import BadConfig, BadData, CannotCreate, InputMissing
from dispatchkit.streets.graph import Streets
from dispatchkit.streets.map_storage import open_profile, read_manifest
from dispatchkit.streets.street_map import StreetMap
from dispatchkit.travel.straight_line import StraightLine
from dispatchkit.travel.street_map import StreetMapTravel
from tests.unit.streets.networks import BOX, city
from tests.unit.streets.osm_files import write

HERE, THERE, FAR = (59.9123, 10.7211), (59.9231, 10.7477), (60.5, 10.7)


@pytest.fixture
def folder(tmp_path):
    south, west, north, east = BOX
    make_up(tmp_path / "map", south=south, west=west, north=north, east=east)
    return tmp_path / "map"


def test_stored_map_equals_graph(folder):
    manifest, built = read_manifest(folder), city()
    stored = open_profile(folder, manifest, "car")
    for name in Streets.arrays():
        assert np.array_equal(getattr(stored, name), getattr(built, name)), name
        assert getattr(stored, name).dtype == getattr(built, name).dtype
    assert stored.dropped == built.dropped


def test_same_streets_give_same_bytes_and_id(folder, tmp_path):
    south, west, north, east = BOX
    make_up(tmp_path / "again", south=south, west=west, north=north, east=east)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert len(files) == 1 + 3 * len(Streets.arrays())
    assert all((folder / f).read_bytes() == (tmp_path / "again" / f).read_bytes() for f in files)
    assert info(folder)["map"] == info(tmp_path / "again")["map"]


def test_map_answers_each_vehicle_by_its_profile(folder):
    streets = StreetMapTravel(StreetMap(folder))
    times = {
        vehicle: streets.matrix([HERE], [THERE, FAR], vehicle)
        for vehicle in ("car", "bicycle", "walker", "van")
    }
    assert np.array_equal(times["car"], times["van"])
    assert times["car"][0][0][0] < times["bicycle"][0][0][0] < times["walker"][0][0][0]
    assert [seconds[0][1] for seconds, _ in times.values()] == [-1] * 4
    assert streets.name == f"streets grid {info(folder)['map']}"
    with pytest.raises(BadConfig, match="sledge"):
        streets.matrix([HERE], [THERE], "sledge")


def test_streets_are_longer_than_straight_line(folder):
    providers = (StraightLine(circuity=1.0), StreetMapTravel(StreetMap(folder)))
    (_, ((crow,),)), (_, ((road,),)) = (
        travel.matrix([HERE], [THERE], "car") for travel in providers
    )
    assert crow <= road <= 2 * crow


@pytest.mark.parametrize("damage", ["flip a byte", "cut", "remove"])
def test_altered_or_missing_array_is_refused(folder, damage):
    path = folder / "car" / "travel_ms.npy"
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        content[-1] ^= 1
        path.write_bytes(content if damage == "flip a byte" else content[:-4])
    with pytest.raises(BadData, match=r"travel_ms\.npy.*build the map again"):
        StreetMap(folder).table([HERE], [THERE], "car")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "no json", '{"format": 99, "profiles": {}, "source": {"name": "x"}}']
)
def test_foreign_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(BadData, match="build the map again"):
        StreetMap(folder)


def test_other_folder_is_neither_read_nor_replaced(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("mine")
    with pytest.raises(InputMissing, match="no street map"):
        StreetMap(tmp_path / "letters")
    with pytest.raises(CannotCreate, match="no street map"):
        make_up(tmp_path / "letters", south=0, west=0, north=0.01, east=0.01)
    assert [p.name for p in tmp_path.rglob("*")] == ["letters", "dear.txt"]


def test_failed_build_leaves_older_map(folder):
    before = (folder / "manifest.json").read_bytes()
    empty = write(folder.parent / "t.osm", {1: (0, 0)}, [])
    with pytest.raises(BadData):
        build(empty, folder)
    assert (folder / "manifest.json").read_bytes() == before
    assert sorted(p.name for p in folder.parent.iterdir()) == ["map", "t.osm"]


def test_newer_build_replaces_map(folder):
    path = write(
        folder.parent / "t.osm", {1: (0, 0), 2: (90, 0)}, [(1, [1, 2], {"highway": "residential"})]
    )
    build(path, folder, profiles=["car"])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert list(manifest["profiles"]) == ["car"]
    assert sorted(p.name for p in folder.iterdir()) == ["car", "manifest.json"]
    assert manifest["source"]["file"] == "t.osm"
    assert "OpenStreetMap contributors" in manifest["licence"]
    with pytest.raises(BadConfig, match="--profile foot"):
        StreetMap(folder).table([HERE], [THERE], "walker")

from __future__ import annotations

import os

import numpy as np
import pytest

from dispatchkit.kernel.errors import BadData, InputMissing
from dispatchkit.streets.graph import CLOSED, assemble
from dispatchkit.streets.load import read_osm
from dispatchkit.streets.segments import split_ways
from tests.unit.streets.osm_files import write

STREET = {"highway": "residential"}


def segments(path):
    split = split_ways(read_osm(path), "car")
    rows = zip(
        split.begin,
        split.end,
        split.length_m,
        split.forward_ms,
        split.backward_ms,
        split.way_id,
        strict=True,
    )
    return [
        (int(a), int(b), round(float(m)), int(x), int(y), int(way)) for a, b, m, x, y, way in rows
    ]


def test_ways_are_split_where_they_meet(tmp_path):
    nodes = {1: (0, 0), 2: (100, 0), 3: (200, 0), 4: (100, 100), 5: (50, 0)}
    path = write(
        tmp_path / "t.osm",
        nodes,
        [(7, [1, 5, 2, 3], STREET), (8, [2, 4], STREET | {"oneway": "yes"})],
    )
    assert segments(path) == [
        (1, 2, 100, 12000, 12000, 7),
        (2, 3, 100, 12000, 12000, 7),
        (2, 4, 100, 12000, CLOSED, 8),
    ]


def test_missing_node_splits_its_way(tmp_path):
    nodes = {1: (0, 0), 2: (100, 0), 4: (300, 0), 5: (400, 0)}
    path = write(tmp_path / "t.osm", nodes, [(7, [1, 2, 3, 4, 5, 6], STREET)])
    assert [(a, b, m) for a, b, m, *_ in segments(path)] == [(1, 2, 100), (4, 5, 100)]
    assert read_osm(path).notes["missing_node_references"] == 2


def test_late_nodes_and_negative_ids_are_located(tmp_path):
    nodes = {-1: (0, 0), 2: (100, 0), -3: (200, 0)}
    for last in (True, False):
        path = write(tmp_path / "t.osm", nodes, [(-7, [-1, 2, -3], STREET)], nodes_last=last)
        assert [(a, b, m, way) for a, b, m, _, _, way in segments(path)] == [(-1, -3, 200, -7)]


def test_loop_is_split_in_its_middle(tmp_path):
    nodes = {1: (0, 0), 2: (100, 0), 3: (200, 0), 4: (200, 100), 5: (100, 100)}
    path = write(tmp_path / "t.osm", nodes, [(7, [1, 2], STREET), (8, [2, 3, 4, 5, 2], STREET)])
    assert [(a, b) for a, b, *_ in segments(path)] == [(1, 2), (2, 4), (4, 2)]
    assert assemble(split_ways(read_osm(path), "car"), "t").counts() == {
        "nodes": 3,
        "arcs": 6,
        "km": 1.0,
    }


def test_way_that_returns_to_itself_is_split(tmp_path):
    nodes = {1: (0, 0), 2: (100, 0), 3: (200, 0), 4: (200, 100), 5: (100, 100)}
    path = write(tmp_path / "t.osm", nodes, [(7, [1, 2, 3, 4, 5, 2], STREET)])
    assert [(a, b) for a, b, *_ in segments(path)] == [(1, 2), (2, 4), (4, 2)]


def test_repeated_nodes_make_no_segment(tmp_path):
    nodes = {1: (0, 0), 2: (100, 0)}
    path = write(
        tmp_path / "t.osm", nodes, [(7, [1, 1, 2, 2], STREET), (8, [2], STREET), (9, [], STREET)]
    )
    assert [(a, b, m) for a, b, m, *_ in segments(path)] == [(1, 2, 100)]


def test_parallel_streets_are_both_kept(tmp_path):
    nodes = {1: (0, 0), 2: (100, 0), 3: (50, 50)}
    path = write(tmp_path / "t.osm", nodes, [(7, [1, 2], STREET), (8, [1, 3, 2], STREET)])
    streets = assemble(split_ways(read_osm(path), "car"), "t")
    assert streets.counts()["arcs"] == 4
    assert streets.way_id[streets.reverse_arc].tolist() == streets.way_id.tolist()
    assert (streets.tail[streets.reverse_arc] == streets.head).all()
    for arc in range(4):
        ends = [
            (streets.node_lat[v] / 1e7, streets.node_lon[v] / 1e7)
            for v in (streets.tail[arc], streets.head[arc])
        ]
        assert [streets.line(arc)[0], streets.line(arc)[-1]] == ends


def test_dead_ends_of_one_ways_are_dropped_and_counted(tmp_path):
    nodes = {1: (0, 0), 2: (100, 0), 3: (200, 0), 8: (5000, 0), 9: (5100, 0)}
    one_way = STREET | {"oneway": "yes"}
    ways = [(7, [1, 2], STREET), (8, [2, 3], one_way), (9, [8, 9], one_way)]
    streets = assemble(split_ways(read_osm(write(tmp_path / "t.osm", nodes, ways)), "car"), "t")
    assert streets.node_id.tolist() == [1, 2]
    assert streets.dropped == {
        "nodes_outside_main_part": 3,
        "arcs_outside_main_part": 2,
        "km_outside_main_part": pytest.approx(0.2),
    }


def test_zero_length_takes_millisecond(tmp_path):
    path = write(tmp_path / "t.osm", {1: (0, 0), 2: (0, 0)}, [(7, [1, 2], STREET)])
    assert segments(path) == [(1, 2, 0, 1, 1, 7)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.osm.pbf", b"", "empty"),
        (
            "t.osm.pbf",
            b"this is no map at all, but long enough to be read as one",
            "not a complete .osm.pbf",
        ),
        ("t.osm.pbf", b"\x00\x00\x00\x0d\x0a\x09OSMHeader", "not a complete .osm.pbf"),
        ("t.osm", b"<osm version='0.6'><way id='1'", "not a complete OSM file"),
        ("t.txt", b"hello", "name ending in .pbf"),
    ],
)
def test_incomplete_file_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadData, match=message):
        read_osm(path)


def test_no_streets_and_no_file_are_refused(tmp_path):
    path = write(tmp_path / "t.osm", {1: (0, 0), 2: (9, 0)}, [(1, [1, 2], {"highway": "steps"})])
    with pytest.raises(BadData, match="no streets"):
        assemble(split_ways(read_osm(path), "car"), "t")
    with pytest.raises(InputMissing, match=r"none\.osm"):
        read_osm(tmp_path / "none.osm")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_reports_permission(tmp_path):
    path = write(tmp_path / "t.osm", {1: (0, 0)}, [])
    path.chmod(0)
    with pytest.raises(PermissionError):
        read_osm(path)


def test_too_wide_map_is_refused(tmp_path):
    path = write(tmp_path / "t.osm", {1: (0, 0), 2: (2_000_000, 0)}, [(1, [1, 2], STREET)])
    with pytest.raises(BadData, match="wider"):
        assemble(split_ways(read_osm(path), "car"), "t")


def test_only_requested_profiles_are_read(tmp_path):
    nodes = {1: (0, 0), 2: (100, 0)}
    path = write(
        tmp_path / "t.osm", nodes, [(7, [1, 2], STREET), (8, [1, 2], {"highway": "footway"})]
    )
    from dispatchkit.streets.profile import get_profile

    ways = read_osm(path, [get_profile("car")])
    assert (list(ways.passages), ways.way_ids.tolist()) == (["car"], [7])
    assert np.diff(ways.first).tolist() == [2]

from __future__ import annotations

import networkx as nx
import numpy as np
import osmnx
import pytest
from shapely import LineString  # type: ignore[import-untyped]

from dispatchkit.flows.planning.streets import build
from dispatchkit.kernel.errors import BadData, Usage
from dispatchkit.streets.geodesy import SCALE
from dispatchkit.streets.graph import Streets, assemble
from dispatchkit.streets.load import read_osm
from dispatchkit.streets.networkx_io import from_networkx, read_graphml, to_networkx
from dispatchkit.streets.segments import split_ways
from tests.unit.streets.networks import city, random_graph
from tests.unit.streets.osm_files import write

TOWN = {
    n: (x, y)
    for n, (x, y) in enumerate(
        [(i * 130 + j * 7, j * 90 - i * 3) for i in range(6) for j in range(6)], 1
    )
}
LANES = [
    *((100 + i, [6 * i + j for j in range(1, 7)], {"highway": "residential"}) for i in range(6)),
    *(
        (
            200 + j,
            [6 * i + j for i in range(6)],
            {"highway": "primary", "oneway": ("yes", "-1", "no")[j % 3]},
        )
        for j in range(1, 7)
    ),
    (300, [1, 8, 15, 22], {"highway": "tertiary", "maxspeed": "20"}),
]


def same(one: Streets, other: Streets) -> None:
    """Assert that two graphs are equal but for which direction of a street counts as along."""
    assert one.node_id.tolist() == other.node_id.tolist()
    rows = [
        sorted(
            zip(
                *(
                    getattr(s, n).tolist()
                    for n in ("tail", "head", "travel_ms", "way_id", "road_class")
                ),
                map(tuple, lines),
                strict=True,
            )
        )
        for s in (one, other)
        for lines in [[s.line(arc) for arc in range(len(s.tail))]]
    ]
    assert rows[0] == rows[1]
    assert ((one.reverse_arc < 0).sum(), one.counts()) == (
        (other.reverse_arc < 0).sum(),
        other.counts(),
    )


def test_networkx_round_trip_keeps_graph():
    same(from_networkx(to_networkx(city()), "car"), city())


def test_graphml_round_trip_keeps_graph(tmp_path):
    osmnx.save_graphml(to_networkx(city()), tmp_path / "city.graphml")
    same(read_graphml(tmp_path / "city.graphml", "car"), city())


def test_distances_equal_osmnx_on_same_file(tmp_path):
    path = write(tmp_path / "town.osm", TOWN, LANES)
    streets = assemble(split_ways(read_osm(path), "car"), "town")
    osmnx_graph = osmnx.graph_from_xml(path, simplify=False, retain_all=True)
    network = to_networkx(streets)
    assert set(network) <= set(osmnx_graph)
    for u in list(network)[::5]:
        expected = nx.single_source_dijkstra_path_length(osmnx_graph, u, weight="length")
        lengths = nx.single_source_dijkstra_path_length(network, u, weight="length")
        assert lengths == pytest.approx({v: expected[v] for v in network}, rel=1e-6)


def test_simplified_osmnx_import_keeps_distances(tmp_path):
    path = write(tmp_path / "town.osm", TOWN, LANES)
    graph = osmnx.add_edge_travel_times(osmnx.add_edge_speeds(osmnx.graph_from_xml(path)))
    streets = from_networkx(graph, "car")
    assert (streets.reverse_arc >= 0).any()
    network = to_networkx(streets)
    for u in list(network)[::3]:
        for weight, tolerance in (("length", 1e-5), ("travel_time", 0.001)):
            expected = nx.single_source_dijkstra_path_length(graph, u, weight=weight)
            costs = nx.single_source_dijkstra_path_length(network, u, weight=weight)
            assert costs == pytest.approx(
                {v: expected[v] for v in network}, rel=tolerance, abs=0.02
            )


def test_two_way_street_is_one_segment():
    graph = random_graph(3)
    streets = from_networkx(graph, "car")
    two_way = streets.reverse_arc >= 0
    assert two_way.any() and (~two_way).any()
    assert (streets.reverse_arc[streets.reverse_arc[two_way]] == np.flatnonzero(two_way)).all()


def test_loop_is_split_only_with_line():
    graph = nx.MultiDiGraph()
    graph.add_node(1, x=0.0, y=0.0)
    graph.add_node(2, x=0.001, y=0.0)
    graph.add_edge(1, 2, osmid=1, travel_time=8.0)
    graph.add_edge(2, 1, osmid=1, travel_time=8.0)
    line = LineString([(0.001, 0.0), (0.002, 0.0), (0.002, 0.001), (0.001, 0.0)])
    graph.add_edge(2, 2, osmid=2, travel_time=30.0, geometry=line)
    graph.add_edge(2, 2, osmid=2, travel_time=30.0, geometry=line.reverse())
    graph.add_edge(1, 1, osmid=3, travel_time=30.0)
    streets = from_networkx(graph, "car")
    assert streets.counts()["arcs"] == 6
    assert sorted(set(streets.way_id.tolist())) == [1, 2]
    assert streets.travel_ms[streets.way_id == 2].sum() == pytest.approx(60_000, abs=2)
    assert (streets.tail != streets.head).all()


@pytest.mark.parametrize(
    ("facts", "seconds"),
    [
        ({"travel_time": 12.5, "maxspeed": "50"}, 12.5),
        ({"speed_kph": 36.0}, 10.0),
        ({"maxspeed": "36"}, 10.0),
        ({"maxspeed": ["72", "36"]}, 10.0),
        ({"highway": ["tertiary", "residential"]}, 8.0),
        ({"highway": "ufo"}, 12.0),
        ({}, 12.0),
    ],
)
def test_edge_time_prefers_own_time_then_speed(facts, seconds):
    graph = nx.MultiDiGraph()
    graph.add_node(1, x=0.0, y=0.0)
    graph.add_node(2, x=0.001, y=0.0)
    for u, v in ((1, 2), (2, 1)):
        graph.add_edge(u, v, length=100.0, **facts)
    assert from_networkx(graph, "car").travel_ms.tolist() == [round(seconds * 1000)] * 2


@pytest.mark.parametrize(
    ("node", "edge", "crs", "message"),
    [
        ({"x": 1.0}, {}, "epsg:4326", "x, y in degrees"),
        ({"x": 1.0, "y": 95.0}, {}, "epsg:4326", "outside longitude and latitude"),
        ({"x": 1.0, "y": 1.0}, {"length": "long"}, "epsg:4326", "no number"),
        ({"x": 1.0, "y": 1.0}, {"length": -5.0}, "epsg:4326", "expected 0 or more"),
        ({"x": 1.0, "y": 1.0}, {"travel_time": float("nan")}, "epsg:4326", "expected 0 or more"),
        ({"x": 1.0, "y": 1.0}, {}, "EPSG:32632", "projected"),
    ],
)
def test_invalid_graph_is_refused(node, edge, crs, message):
    graph = nx.MultiDiGraph(crs=crs)
    graph.add_node(1, **node)
    graph.add_node(2, x=1.001, y=1.0)
    graph.add_edge(1, 2, **edge)
    graph.add_edge(2, 1, **edge)
    with pytest.raises(BadData, match=message):
        from_networkx(graph, "car")


@pytest.mark.parametrize("text", ["", "<graphml>", "hello", "<osm></osm>"])
def test_invalid_graphml_is_refused(tmp_path, text):
    path = tmp_path / "t.graphml"
    path.write_text(text)
    with pytest.raises(BadData, match="GraphML"):
        read_graphml(path, "car")


def test_graphml_builds_one_profile(tmp_path):
    osmnx.save_graphml(to_networkx(city()), tmp_path / "city.graphml")
    assert list(
        build(tmp_path / "city.graphml", tmp_path / "map", profiles=["bicycle"])["profiles"]
    ) == ["bicycle"]
    with pytest.raises(Usage, match="one profile"):
        build(tmp_path / "city.graphml", tmp_path / "map", profiles=["car", "foot"])


def test_coordinates_keep_seven_decimals():
    streets = city()
    nodes = to_networkx(streets).nodes
    assert [round(nodes[int(n)]["y"] * SCALE) for n in streets.node_id] == streets.node_lat.tolist()

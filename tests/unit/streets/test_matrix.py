from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

from dispatchkit.kernel.geo import haversine_m
from dispatchkit.streets import matrix
from dispatchkit.streets.graph import Streets
from dispatchkit.streets.matrix import Network, travel_table
from dispatchkit.streets.networkx_io import from_networkx
from dispatchkit.streets.path import fastest_path
from dispatchkit.streets.snap import Snapped, Snapper
from tests.unit.streets.networks import at, city, random_graph


def oracle(streets: Streets, a: Snapped, b: Snapped) -> tuple[list[list[int]], list[list[int]]]:
    """Return (seconds, metres) from networkx, on streets split where the places are."""
    on_arc: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for name, places in (("a", a), ("b", b)):
        for i, (arc, f) in enumerate(
            zip(places.arc.tolist(), places.fraction.tolist(), strict=True)
        ):
            if arc >= 0:
                on_arc[arc].append((f, f"{name}{i}"))
                reverse = int(streets.reverse_arc[arc])
                if reverse >= 0:
                    on_arc[reverse].append((1 - f, f"{name}{i}"))
    graph = nx.MultiDiGraph()
    for arc in range(len(streets.tail)):
        ms, dm = int(streets.travel_ms[arc]), round(float(streets.length_m[arc]) * 10)
        between = sorted(on_arc[arc])
        stops = [(0.0, f"{streets.tail[arc]}"), *between, (1.0, f"{streets.head[arc]}")]
        for (f, u), (g, v) in pairwise(stops):
            graph.add_edge(u, v, cost=round((g - f) * ms) * 10**9 + round((g - f) * dm))
            if g == f:  # two places on one spot, or a place on a junction
                graph.add_edge(v, u, cost=0)
    seconds = np.full((len(a.arc), len(b.arc)), -1)
    metres = seconds.copy()
    for i in np.flatnonzero(a.arc >= 0).tolist():
        costs = nx.single_source_dijkstra_path_length(graph, f"a{i}", weight="cost")
        for j in np.flatnonzero(b.arc >= 0).tolist():
            if f"b{j}" in costs:
                ms, dm = divmod(costs[f"b{j}"], 10**9)
                seconds[i, j], metres[i, j] = round(ms / 1000), round(dm / 10)
    return seconds.tolist(), metres.tolist()


def some_places(streets: Streets, seed: int, n: int) -> Snapped:
    draw = np.random.default_rng(seed)
    arcs = np.flatnonzero(~streets.against_shape | (streets.reverse_arc < 0))
    fractions = draw.integers(0, 9, n) / 8
    return at(*zip(draw.choice(arcs, n).tolist(), fractions.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(12))
def test_travel_table_equals_networkx(seed):
    streets = from_networkx(random_graph(seed), "car")
    a, b = some_places(streets, seed, 9), some_places(streets, seed + 100, 14)
    seconds, metres = travel_table(Network.of(streets), a, b)
    assert (seconds.tolist(), metres.tolist()) == oracle(streets, a, b)


def test_search_direction_and_block_size_change_nothing(monkeypatch):
    streets = from_networkx(random_graph(5), "car")
    network, a, b = Network.of(streets), some_places(streets, 1, 9), some_places(streets, 2, 4)
    whole = [x.tolist() for x in travel_table(network, a, b)]
    assert whole == [list(x) for x in oracle(streets, a, b)]
    monkeypatch.setattr(matrix, "BLOCK_CELLS", 100)
    assert [x.tolist() for x in travel_table(network, a, b)] == whole


@pytest.mark.parametrize("seed", range(5))
def test_junction_times_equal_networkx_on_original_graph(seed):
    graph = random_graph(seed)
    streets = from_networkx(graph, "car")
    first = np.searchsorted(streets.tail, np.arange(len(streets.node_id)))
    junctions = at(*((int(arc), 0.0) for arc in first))
    seconds, _ = travel_table(Network.of(streets), junctions, junctions)
    for i, u in enumerate(streets.node_id.tolist()):
        times = nx.single_source_dijkstra_path_length(graph, u, weight="travel_time")
        assert seconds[i].tolist() == [round(times[v]) for v in streets.node_id.tolist()]


def test_point_behind_on_one_way_goes_round():
    graph = nx.MultiDiGraph()
    for node, (x, y) in enumerate([(0, 0), (1, 0), (1, 1), (0, 1)]):
        graph.add_node(node, x=x / 1000, y=y / 1000)
    for node in range(4):
        graph.add_edge(node, (node + 1) % 4, travel_time=8.0, length=80.0, osmid=node)
    network = Network.of(from_networkx(graph, "car"))
    seconds, metres = travel_table(network, at((0, 0.75)), at((0, 0.25), (0, 1.0), (0, 0.75)))
    assert seconds.tolist() == [[28, 2, 0]]
    assert metres.tolist() == [[280, 20, 0]]


def test_fastest_of_parallel_streets_counts():
    graph = nx.MultiDiGraph()
    graph.add_node(1, x=0.0, y=0.0)
    graph.add_node(2, x=0.001, y=0.0)
    for time, length in ((50.0, 90.0), (20.0, 110.0), (20.0, 105.0)):
        graph.add_edge(1, 2, travel_time=time, length=length, osmid=1)
    graph.add_edge(2, 1, travel_time=7.0, length=110.0, osmid=2)
    streets = from_networkx(graph, "car")
    network = Network.of(streets)
    seconds, metres = travel_table(
        network, at((int(streets.first_out[0]), 0.0)), at((int(streets.first_out[1]), 0.0))
    )
    assert (seconds.tolist(), metres.tolist()) == ([[20]], [[105]])


def test_unsnapped_points_and_empty_lists():
    network = Network.of(city())
    seconds, metres = travel_table(network, at((-1, 0.0), (5, 0.5)), at((5, 0.5), (-1, 0.0)))
    assert seconds.tolist() == metres.tolist() == [[-1, -1], [0, -1]]
    assert travel_table(network, at(), at((1, 0.5)))[0].shape == (0, 1)
    assert travel_table(network, at((1, 0.5)), at())[0].shape == (1, 0)


def test_travel_table_is_int32():
    seconds, metres = travel_table(Network.of(city()), at((1, 0.5)), at((9, 0.5)))
    assert seconds.dtype == metres.dtype == np.int32


def test_path_equals_travel_table_and_its_line():
    streets = city()
    network = Network.of(streets)
    places = some_places(streets, 3, 12)
    seconds, metres = travel_table(network, places, places)
    for i in range(12):
        for j in range(12):
            here, there = (
                Snapped(places.arc[k : k + 1], places.fraction[k : k + 1], places.gap_m[k : k + 1])
                for k in (i, j)
            )
            trip = fastest_path(network, here, there)
            assert trip is not None
            assert (trip.seconds, trip.metres) == (seconds[i, j], metres[i, j])
            drawn = sum(haversine_m(*p, *q) for p, q in pairwise(trip.line))
            assert drawn == pytest.approx(trip.metres, abs=2 + trip.metres * 1e-3)


def test_path_line_ends_at_snapped_points():
    streets = city()
    points = np.array([[59.9123, 10.7211], [59.9231, 10.7477]])
    snapped = Snapper(streets).snap(points, max_gap_m=200)
    here, there = (
        Snapped(snapped.arc[k : k + 1], snapped.fraction[k : k + 1], snapped.gap_m[k : k + 1])
        for k in (0, 1)
    )
    trip = fastest_path(Network.of(streets), here, there)
    assert trip is not None
    for k, end in ((0, trip.line[0]), (1, trip.line[-1])):
        assert haversine_m(points[k][0], points[k][1], *end) == pytest.approx(
            snapped.gap_m[k], abs=0.1
        )


def test_unsnapped_point_has_no_path():
    assert fastest_path(Network.of(city()), at((-1, 0.0)), at((1, 0.5))) is None

"""Random graphs and grids for the tests of this room."""

from __future__ import annotations

import networkx as nx
import numpy as np

from dispatchkit.streets.graph import Streets, assemble
from dispatchkit.streets.grid import grid
from dispatchkit.streets.segments import split_ways
from dispatchkit.streets.snap import Snapped

BOX = (59.90, 10.70, 59.93, 10.76)


def random_graph(seed: int, *, nodes: int = 30, edges: int = 80) -> nx.MultiDiGraph:
    """Return a graph with one-way, parallel and unreachable streets and loops.

    Times are whole multiples of 8 ms.
    """
    draw = np.random.default_rng(seed)
    graph = nx.MultiDiGraph(crs="epsg:4326")
    for node in range(1, nodes + 1):
        graph.add_node(
            node, y=round(60 + draw.random() / 50, 7), x=round(10 + draw.random() / 50, 7)
        )
    for osmid in range(1, edges + 1):
        u, v = (int(n) for n in draw.integers(1, nodes + 1, 2))
        ms = 8000 * int(draw.integers(1, 40)) if draw.random() > 0.1 else 8
        facts = {
            "osmid": osmid,
            "travel_time": ms / 1000,
            "length": float(draw.integers(1, 200) * 8),
            "highway": "road",
        }
        graph.add_edge(u, v, **facts)
        if draw.random() < 0.5:
            graph.add_edge(v, u, **facts)
    return graph


def city(profile: str = "car") -> Streets:
    return assemble(split_ways(grid(*BOX), profile), "grid")


def at(*places: tuple[int, float]) -> Snapped:
    """Return places given as (arc, fraction)."""
    arc = np.array([a for a, _ in places], np.int64)
    return Snapped(arc, np.array([f for _, f in places], np.float64), np.zeros(len(places)))

"""The fastest path between two points, with the OSM ways it uses and the line to draw."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csgraph

from dispatchkit.kernel.geo import haversine_m
from dispatchkit.streets.matrix import MAX_COST, Network, add_starts, unpack_cost
from dispatchkit.streets.snap import Snapped

Line = list[tuple[float, float]]  # (lat, lon) in degrees
PathPart = tuple[int, float, float]  # arc, from fraction, to fraction


@dataclass(frozen=True, slots=True)
class StreetPath:
    """One trip over the streets."""

    seconds: int
    metres: int
    ways: tuple[int, ...]  # OSM ways in the order of travel
    line: tuple[tuple[float, float], ...]  # (lat, lon) from one snapped point to the other


def fastest_path(network: Network, source: Snapped, target: Snapped) -> StreetPath | None:
    """Return the fastest path between two snapped points, or None if there is none.

    source, target: one row each. Time and length are those of `matrix.travel_table`.
    """
    if source.arc[0] < 0 or target.arc[0] < 0:
        return None
    exits = network.exits(target)
    graph, (origin,) = add_starts(network.links, network.entries(source))
    to_node, previous = csgraph.dijkstra(
        graph, indices=origin, limit=MAX_COST, return_predecessors=True
    )
    by_end = to_node[exits.node[0]] + exits.cost[0] - 1  # the 1 that `add_starts` adds
    end = int(by_end.argmin())
    cost = float(by_end[end])

    _, _, direct = network.same_street(source, target)
    if len(direct) and direct[0] <= cost:
        return _path(network, [_direct_part(network, source, target)], float(direct[0]))
    if not np.isfinite(cost):
        return None

    nodes = [int(exits.node[0, end])]  # from the target back to the source
    while previous[nodes[-1]] != origin:
        nodes.append(int(previous[nodes[-1]]))
    nodes.reverse()
    parts = [
        _first_part(network, source, nodes[0]),
        *((_arc_between(network, u, v), 0.0, 1.0) for u, v in pairwise(nodes)),
        _last_part(network, target, nodes[-1]),
    ]
    return _path(network, parts, cost)


def _direct_part(network: Network, source: Snapped, target: Snapped) -> PathPart:
    """Return the part of one street between two points on it."""
    arc, start, end = int(source.arc[0]), float(source.fraction[0]), float(target.fraction[0])
    if end >= start:
        return arc, start, end
    return int(network.streets.reverse_arc[arc]), 1 - start, 1 - end


def _arc_between(network: Network, u: int, v: int) -> int:
    """Return the arc of the link from node u to node v."""
    low, high = network.links.indptr[u : u + 2]
    return int(network.arc[low + np.flatnonzero(network.links.indices[low:high] == v)[0]])


def _first_part(network: Network, source: Snapped, node: int) -> PathPart:
    """Return the part from a point to the first junction of its path."""
    arc, fraction = int(source.arc[0]), float(source.fraction[0])
    if node == network.streets.head[arc]:
        return arc, fraction, 1.0
    if fraction > 0:
        return int(network.streets.reverse_arc[arc]), 1 - fraction, 1.0
    return arc, 0.0, 0.0


def _last_part(network: Network, target: Snapped, node: int) -> PathPart:
    """Return the part from the last junction of a path to its point."""
    arc, fraction = int(target.arc[0]), float(target.fraction[0])
    if node == network.streets.tail[arc]:
        return arc, 0.0, fraction
    if fraction < 1:
        return int(network.streets.reverse_arc[arc]), 0.0, 1 - fraction
    return arc, 1.0, 1.0


def _path(network: Network, parts: list[PathPart], cost: float) -> StreetPath:
    """Return the path over consecutive parts of arcs."""
    streets = network.streets
    line: Line = []
    ways: list[int] = []
    for arc, start, end in parts:
        for point in cut_line(streets.line(arc), start, end):
            if not line or point != line[-1]:
                line.append(point)
        way = int(streets.way_id[arc])
        if end > start and ways[-1:] != [way]:
            ways.append(way)
    ms, metres = unpack_cost(cost)
    return StreetPath(round(ms / 1000), metres, tuple(ways), tuple(line))


def cut_line(line: Line, start: float, end: float) -> Line:
    """Return the part of a line between two fractions (0..1) of its length, its ends interpolated."""
    steps_m = [haversine_m(*p, *q) for p, q in pairwise(line)]
    total_m, done_m = sum(steps_m), 0.0
    part = [] if start > 0 else [line[0]]
    for (p, q), step_m in zip(pairwise(line), steps_m, strict=True):
        for fraction in (start, end):
            share = (fraction * total_m - done_m) / step_m if step_m else 0.0
            if 0 < share < 1:
                part.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
        done_m += step_m
        if start * total_m <= done_m <= end * total_m:
            part.append(q)
    return part or [line[0] if start < 0.5 else line[-1]]

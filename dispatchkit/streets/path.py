"""The fastest path between two places, with its arcs and the line to draw."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csgraph

from dispatchkit.kernel.geo import haversine_m
from dispatchkit.streets.matrix import LIMIT, Network, opened, with_starts
from dispatchkit.streets.snap import Snapped

Line = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Path:
    """One trip: seconds, metres, the OSM ways it uses in order, and its (lat, lon) line from snap to snap."""

    seconds: int
    metres: int
    ways: tuple[int, ...]
    line: tuple[tuple[float, float], ...]


def path(network: Network, a: Snapped, b: Snapped) -> Path | None:
    """Return the fastest path between two places of one row each, or None if there is none."""
    if a.arc[0] < 0 or b.arc[0] < 0:
        return None
    start, goal = network.entries(a), network.exits(b)
    graph, (origin,) = with_starts(network.links, start)
    reached, came_from = csgraph.dijkstra(
        graph, indices=origin, limit=LIMIT, return_predecessors=True
    )
    totals = reached[goal.node[0]] + goal.label[0] - 1
    side = int(totals.argmin())
    _, _, direct = network.along(a, b)
    if len(direct) and direct[0] <= totals[side]:
        return _direct(network, a, b, float(direct[0]))
    if not np.isfinite(totals[side]):
        return None
    nodes = [int(goal.node[0, side])]
    while came_from[nodes[-1]] != origin:
        nodes.append(int(came_from[nodes[-1]]))
    nodes.reverse()
    arcs = [_arc(network, u, v) for u, v in pairwise(nodes)]
    first, last = _first(network, a, nodes[0]), _last(network, b, nodes[-1])
    parts = [first, *((arc, 0.0, 1.0) for arc in arcs), last]
    return _joined(network, parts, float(totals[side]))


Part = tuple[int, float, float]  # arc, from fraction, to fraction


def _direct(network: Network, a: Snapped, b: Snapped, label: float) -> Path:
    arc, f, g = int(a.arc[0]), float(a.fraction[0]), float(b.fraction[0])
    part = (arc, f, g) if g >= f else (int(network.streets.twin[arc]), 1 - f, 1 - g)
    return _joined(network, [part], label)


def _arc(network: Network, u: int, v: int) -> int:
    low, high = network.links.indptr[u : u + 2]
    return int(network.arc[low + np.flatnonzero(network.links.indices[low:high] == v)[0]])


def _first(network: Network, a: Snapped, node: int) -> Part:
    arc, f = int(a.arc[0]), float(a.fraction[0])
    if node == network.streets.head[arc]:
        return arc, f, 1.0
    return (int(network.streets.twin[arc]), 1 - f, 1.0) if f > 0 else (arc, 0.0, 0.0)


def _last(network: Network, b: Snapped, node: int) -> Part:
    arc, f = int(b.arc[0]), float(b.fraction[0])
    if node == network.streets.tail[arc]:
        return arc, 0.0, f
    return (int(network.streets.twin[arc]), 0.0, 1 - f) if f < 1 else (arc, 1.0, 1.0)


def _joined(network: Network, parts: list[Part], label: float) -> Path:
    streets = network.streets
    line: Line = []
    ways: list[int] = []
    for arc, f, g in parts:
        line += [p for p in stretch(streets.line(arc), f, g) if not line or p != line[-1]]
        way = int(streets.way[arc])
        if g > f and ways[-1:] != [way]:
            ways.append(way)
    ms, metres = opened(label)
    return Path(round(ms / 1000), metres, tuple(ways), tuple(line))


def stretch(line: Line, f: float, g: float) -> Line:
    """Return the part of a line between two fractions of its length, both ends set by interpolation."""
    steps = [haversine_m(*p, *q) for p, q in pairwise(line)]
    total, done, out = sum(steps), 0.0, [] if f > 0 else [line[0]]
    for (p, q), step in zip(pairwise(line), steps, strict=True):
        for share in (f, g):
            at = (share * total - done) / step if step else 0.0
            if 0 < at < 1:
                out.append((p[0] + at * (q[0] - p[0]), p[1] + at * (q[1] - p[1])))
        done += step
        if f * total <= done <= g * total:
            out.append(q)
    return out or [line[0] if f < 0.5 else line[-1]]

"""Travel times between many points: Dijkstra (scipy) over the street graph, from anywhere on an arc.

A packed cost holds time and length in one number: milliseconds * 2**25 + decimetres. So the search
minimises the time, then the length, and the metres are those of the fastest path. Packed costs stay
below 2**53, where float64 still counts whole numbers exactly: 74 hours and 3,355 km.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from dispatchkit.streets.geodesy import Floats, Ints, Longs
from dispatchkit.streets.graph import Streets
from dispatchkit.streets.snap import Snapped

MS_UNIT = 2.0**25  # packed cost of one millisecond
MAX_COST = 2.0**53 - 1
UNREACHABLE = -1  # in tables of seconds and metres
BLOCK_CELLS = 8_000_000  # packed costs in memory at once: 64 MB


@dataclass(frozen=True, slots=True)
class NetworkEntries:
    """How snapped points connect to the junctions: each by at most two, the ends of its arc."""

    node: Longs  # (points, 2)
    cost: Floats  # (points, 2): packed cost between point and node; infinity: no connection


@dataclass(frozen=True, slots=True)
class Network:
    """The matrix that Dijkstra runs on: one link for each pair of neighbouring junctions."""

    streets: Streets
    links: sparse.csr_array  # (nodes, nodes): packed costs
    arc: Longs  # by link, in the order of links.data: the arc that it stands for

    @classmethod
    def of(cls, streets: Streets) -> Network:
        """Return the network of a graph; of parallel arcs only the fastest, then the shortest."""
        cost = _packed_cost(streets.travel_ms, streets.length_m)
        order = np.lexsort((cost, streets.head, streets.tail))
        pairs = np.column_stack([streets.tail, streets.head])[order]
        first_of_pair = np.ones(len(order), np.bool_)
        first_of_pair[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        arc = order[first_of_pair]
        nodes = len(streets.node_id)
        first_out = np.searchsorted(streets.tail[arc], np.arange(nodes + 1))
        links = sparse.csr_array((cost[arc], streets.head[arc], first_out), shape=(nodes, nodes))
        return cls(streets, links, arc)

    def entries(self, points: Snapped) -> NetworkEntries:
        """Return how trips that start at the points reach the junctions.

        Ahead to the arc's head; on a two-way street also back to its tail.
        """
        arc, fraction = points.arc, points.fraction
        ahead = self._share_cost(arc, 1 - fraction)
        back = self._share_cost(self.streets.reverse_arc[arc], fraction)
        at_tail = fraction == 0  # already on the junction, even of a one-way street
        cost = np.column_stack([ahead, np.where(at_tail, 0.0, back)])
        return _connected(points, self.streets.head[arc], self.streets.tail[arc], cost)

    def exits(self, points: Snapped) -> NetworkEntries:
        """Return how trips that end at the points come from the junctions, as `entries` does."""
        arc, fraction = points.arc, points.fraction
        ahead = self._share_cost(arc, fraction)
        back = self._share_cost(self.streets.reverse_arc[arc], 1 - fraction)
        at_head = fraction == 1
        cost = np.column_stack([ahead, np.where(at_head, 0.0, back)])
        return _connected(points, self.streets.tail[arc], self.streets.head[arc], cost)

    def same_street(self, sources: Snapped, targets: Snapped) -> tuple[Longs, Longs, Floats]:
        """Return (source, target, packed cost) of each pair on one street, without leaving it.

        The cost is infinity where the target lies behind the source on a one-way street.
        """
        order = np.argsort(targets.arc, kind="stable")
        arcs = targets.arc[order]
        low = np.searchsorted(arcs, sources.arc, side="left")
        high = np.searchsorted(arcs, sources.arc, side="right")
        count = np.where(sources.arc < 0, 0, high - low)
        source = np.repeat(np.arange(len(sources.arc)), count)
        first = np.cumsum(count) - count
        target = order[np.repeat(low - first, count) + np.arange(count.sum())]

        arc, ahead = sources.arc[source], targets.fraction[target] - sources.fraction[source]
        forward = self._share_cost(arc, ahead)
        backward = self._share_cost(self.streets.reverse_arc[arc], -ahead)
        return source, target, np.where(ahead >= 0, forward, backward)

    def _share_cost(self, arc: Longs | Ints, share: Floats) -> Floats:
        """Return the packed cost of a share (0..1) of each arc; infinity where the arc is -1."""
        ms = np.rint(self.streets.travel_ms[arc] * share)
        cost = _packed_cost(ms, self.streets.length_m[arc] * share)
        return np.where(arc < 0, np.inf, cost)


def travel_table(network: Network, sources: Snapped, targets: Snapped) -> tuple[Ints, Ints]:
    """Return (seconds, metres), int32 of shape (sources, targets); -1 where there is no path.

    The search starts from the side with fewer points and runs in blocks of BLOCK_CELLS. Each cell
    is exact to the millisecond before it is rounded to seconds.
    """
    seconds = np.full((len(sources.arc), len(targets.arc)), UNREACHABLE, np.int32)
    metres = seconds.copy()
    if not seconds.size:
        return seconds, metres

    near, far = network.entries(sources), network.exits(targets)
    row, column, direct = network.same_street(sources, targets)
    links = network.links
    rows_of_seconds, rows_of_metres = seconds, metres  # by near point
    if len(targets.arc) < len(sources.arc):  # search backwards, over the reversed links
        near, far = far, near
        row, column = column, row
        links = links.T.tocsr()
        rows_of_seconds, rows_of_metres = seconds.T, metres.T  # views: they fill the results
    size = max(1, BLOCK_CELLS // (links.shape[0] + len(far.node)))
    for low in range(0, len(near.node), size):
        block = slice(low, low + size)
        cost = _search(links, NetworkEntries(near.node[block], near.cost[block]), far)
        in_block = (row >= low) & (row < low + size)
        np.minimum.at(cost, (row[in_block] - low, column[in_block]), direct[in_block])
        rows_of_seconds[block], rows_of_metres[block] = _unpack_table(cost)
    return seconds, metres


def _search(links: sparse.csr_array, near: NetworkEntries, far: NetworkEntries) -> Floats:
    """Return packed costs of shape (near, far); infinity where there is no path."""
    graph, starts = add_starts(links, near)
    to_node = csgraph.dijkstra(graph, indices=starts, limit=MAX_COST)
    by_end = [to_node[:, far.node[:, end]] + far.cost[:, end] for end in (0, 1)]
    best: Floats = np.min(by_end, axis=0) - 1  # the 1 that `add_starts` adds
    return best


def add_starts(links: sparse.csr_array, near: NetworkEntries) -> tuple[sparse.csr_array, Longs]:
    """Return the links with one more node for each point, and the numbers of these nodes.

    So each point needs one search, not one for each end of its arc. The links from the new nodes
    cost 1 too much, because scipy reads a cost of 0 as no link; the caller subtracts it.
    """
    nodes, points = links.shape[0], len(near.node)
    connected = np.isfinite(near.cost)
    added = np.cumsum(connected.sum(axis=1))
    first_out = np.concatenate([links.indptr, links.indptr[-1] + added])
    cost = np.concatenate([links.data, near.cost[connected] + 1])
    head = np.concatenate([links.indices, near.node[connected]])
    size = nodes + points
    graph = sparse.csr_array((cost, head, first_out), shape=(size, size))
    return graph, nodes + np.arange(points)


def unpack_cost(cost: float) -> tuple[int, int]:
    """Return (milliseconds, metres) of a finite packed cost."""
    return int(cost // MS_UNIT), round(cost % MS_UNIT / 10)


def _unpack_table(cost: Floats) -> tuple[Ints, Ints]:
    """Return (seconds, metres) of packed costs, UNREACHABLE where they are infinite."""
    reachable = np.isfinite(cost)
    finite = np.where(reachable, cost, 0.0)
    seconds, metres = np.rint(finite // MS_UNIT / 1000), np.rint(finite % MS_UNIT / 10)
    return (
        np.where(reachable, seconds, UNREACHABLE).astype(np.int32),
        np.where(reachable, metres, UNREACHABLE).astype(np.int32),
    )


def _packed_cost(ms: Floats | Ints, metres: Floats | npt.NDArray[np.float32]) -> Floats:
    decimetres = np.rint(np.asarray(metres, np.float64) * 10)
    cost: Floats = np.asarray(ms, np.float64) * MS_UNIT + decimetres
    return cost


def _connected(points: Snapped, first: Ints, second: Ints, cost: Floats) -> NetworkEntries:
    """Return entries over two nodes a point; unsnapped points (arc -1) connect to nothing."""
    unsnapped = points.arc[:, None] < 0
    node = np.where(unsnapped, 0, np.column_stack([first, second])).astype(np.int64)
    return NetworkEntries(node, np.where(unsnapped, np.inf, cost))

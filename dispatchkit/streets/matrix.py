"""Travel times from many places to many: Dijkstra (scipy) over the CSR graph, places standing anywhere on an arc.

Time and length travel in one label, milliseconds * 2**25 + decimetres, so that metres are those of the fastest path
(of equally fast ones the shortest). Labels stay below 2**53, where float64 still counts whole numbers: 74 hours and
3,355 km.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from dispatchkit.streets.earth import Floats, Ints, Longs
from dispatchkit.streets.graph import Streets
from dispatchkit.streets.snap import Snapped

SHIFT = 2.0**25
LIMIT = 2.0**53 - 1
UNREACHABLE = -1
BLOCK_CELLS = 8_000_000  # labels held at once: 64 MB


@dataclass(frozen=True, slots=True)
class Ends:
    """How places meet the graph: for each up to two (junction, label); a label of infinity: not this way."""

    node: Longs  # (n, 2)
    label: Floats  # (n, 2)


@dataclass(frozen=True, slots=True)
class Network:
    """What Dijkstra runs on: one link for each pair of neighbours, with the arc it stands for."""

    streets: Streets
    links: sparse.csr_array
    arc: Longs

    @classmethod
    def of(cls, streets: Streets) -> Network:
        """Return the network of a street graph: of parallel arcs only the fastest counts, then the shortest."""
        label = _label(streets.ms, streets.length_m)
        order = np.lexsort((label, streets.head, streets.tail))
        pairs = np.column_stack([streets.tail, streets.head])[order]
        fresh = np.ones(len(order), np.bool_)
        fresh[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        arc = order[fresh]
        nodes = len(streets.node_id)
        first = np.searchsorted(streets.tail[arc], np.arange(nodes + 1))
        links = sparse.csr_array((label[arc], streets.head[arc], first), shape=(nodes, nodes))
        return cls(streets, links, arc)

    def entries(self, at: Snapped) -> Ends:
        """Return where a trip that starts at a place enters the graph: ahead, and behind if the street is two-way."""
        s, arc, f = self.streets, at.arc, at.fraction
        node = np.column_stack([s.head[arc], s.tail[arc]])
        ahead, behind = self._part(arc, 1 - f), np.where(f == 0, 0.0, self._part(s.twin[arc], f))
        return _ends(at, node, np.column_stack([ahead, behind]))

    def exits(self, at: Snapped) -> Ends:
        """Return where a trip that ends at a place leaves the graph."""
        s, arc, f = self.streets, at.arc, at.fraction
        node = np.column_stack([s.tail[arc], s.head[arc]])
        ahead, behind = self._part(arc, f), np.where(f == 1, 0.0, self._part(s.twin[arc], 1 - f))
        return _ends(at, node, np.column_stack([ahead, behind]))

    def along(self, a: Snapped, b: Snapped) -> tuple[Longs, Longs, Floats]:
        """Return (row, column, label) of pairs on one and the same street that need not leave it."""
        order = np.argsort(b.arc, kind="stable")
        low, high = (np.searchsorted(b.arc[order], a.arc, side=side) for side in ("left", "right"))
        n = np.where(a.arc < 0, 0, high - low)
        row = np.repeat(np.arange(len(a.arc)), n)
        column = order[np.repeat(low - (np.cumsum(n) - n), n) + np.arange(n.sum())]
        arc, ahead = a.arc[row], b.fraction[column] - a.fraction[row]
        label = np.where(
            ahead >= 0, self._part(arc, ahead), self._part(self.streets.twin[arc], -ahead)
        )
        return row, column, label

    def _part(self, arc: Longs | Ints, share: Floats) -> Floats:
        """Return the label of a share of an arc; infinity where there is none (-1)."""
        label = _label(np.rint(self.streets.ms[arc] * share), self.streets.length_m[arc] * share)
        return np.where(arc < 0, np.inf, label)


def tables(network: Network, a: Snapped, b: Snapped) -> tuple[Ints, Ints]:
    """Return (seconds, metres) from places `a` (rows) to places `b` (columns), -1 where there is no way.

    Searches from the smaller side, in blocks of bounded memory; every cell is exact to the millisecond before it is
    rounded to seconds.
    """
    seconds = np.full((len(a.arc), len(b.arc)), UNREACHABLE, np.int32)
    metres = seconds.copy()
    if not seconds.size:
        return seconds, metres
    turned = len(b.arc) < len(a.arc)
    links = network.links.T.tocsr() if turned else network.links
    start, goal = network.entries(a), network.exits(b)
    near, far = (goal, start) if turned else (start, goal)
    row, column, direct = network.along(a, b)
    if turned:
        row, column = column, row
    size = max(1, BLOCK_CELLS // (links.shape[0] + len(far.node)))
    for low in range(0, len(near.node), size):
        label = _search(links, Ends(near.node[low : low + size], near.label[low : low + size]), far)
        mine = (row >= low) & (row < low + size)
        np.minimum.at(label, (row[mine] - low, column[mine]), direct[mine])
        into = (
            (slice(None), slice(low, low + size))
            if turned
            else (slice(low, low + size), slice(None))
        )
        seconds[into], metres[into] = (x.T if turned else x for x in _opened(label))
    return seconds, metres


def _search(links: sparse.csr_array, near: Ends, far: Ends) -> Floats:
    graph, starts = with_starts(links, near)
    reached = csgraph.dijkstra(graph, indices=starts, limit=LIMIT)
    best: Floats = (
        np.min([reached[:, far.node[:, k]] + far.label[:, k] for k in (0, 1)], axis=0) - 1
    )
    return best


def with_starts(links: sparse.csr_array, near: Ends) -> tuple[sparse.csr_array, Longs]:
    """Return the graph with one more node for each place, linked to its ends, and the numbers of those nodes.

    So each place needs one search, not one for each end. Their labels are 1 too large, for a weight of 0 is no link.
    """
    nodes, more = links.shape[0], len(near.node)
    usable = np.isfinite(near.label)
    first = np.concatenate([links.indptr, links.indptr[-1] + np.cumsum(usable.sum(axis=1))])
    data = np.concatenate([links.data, near.label[usable] + 1])
    heads = np.concatenate([links.indices, near.node[usable]])
    return sparse.csr_array(
        (data, heads, first), shape=(nodes + more, nodes + more)
    ), nodes + np.arange(more)


def opened(label: float) -> tuple[int, int]:
    """Return a label's (milliseconds, metres)."""
    return int(label // SHIFT), round(label % SHIFT / 10)


def _opened(label: Floats) -> tuple[Ints, Ints]:
    known = np.isfinite(label)
    whole = np.where(known, label, 0.0)
    seconds = np.where(known, np.rint(whole // SHIFT / 1000), UNREACHABLE).astype(np.int32)
    return seconds, np.where(known, np.rint(whole % SHIFT / 10), UNREACHABLE).astype(np.int32)


def _label(ms: npt.NDArray[np.float64] | Ints, metres: Floats | npt.NDArray[np.float32]) -> Floats:
    label: Floats = np.asarray(ms, np.float64) * SHIFT + np.rint(
        np.asarray(metres, np.float64) * 10
    )
    return label


def _ends(at: Snapped, node: npt.NDArray[np.integer], label: Floats) -> Ends:
    gone = at.arc[:, None] < 0
    return Ends(np.where(gone, 0, node).astype(np.int64), np.where(gone, np.inf, label))

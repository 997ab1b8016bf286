"""The street graph: arcs sorted by tail (so CSR is one array of offsets), each with its time, length and shape."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from dispatchkit.kernel.errors import BadData
from dispatchkit.streets.earth import SCALE, Floats, Ints, Longs, distance_m

Bools = npt.NDArray[np.bool_]
CLOSED = -1  # a piece's ms in a direction in which it may not be travelled
WIDEST_M = (
    1_500_000  # labels hold at most 3,355 km of path (matrix.py); a map this wide never comes near
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Street pieces between two junctions: what loaders make, before anything is numbered or thrown away.

    begin, end: ids of the junctions. along_ms, against_ms: time in each direction, CLOSED if forbidden.
    shape_at, shape_n: the span of `lat`, `lon` (1e-7 degrees) that draws the piece, both ends included.
    """

    begin: Longs
    end: Longs
    along_ms: Ints
    against_ms: Ints
    length_m: Floats
    way: Longs
    kind: npt.NDArray[np.uint8]
    speed_from: npt.NDArray[np.uint8]
    shape_at: Longs
    shape_n: Longs
    lat: Ints
    lon: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Streets:
    """The largest part of a street graph in which every junction reaches every other.

    Arcs leaving node v are first_out[v]:first_out[v+1]. twin: the same piece the other way, or -1. backward: the arc
    runs against its shape. Parallel arcs and both ends of a street stay apart: each has its own shape and time.
    kind: position in profile.CLASSES. ms: whole milliseconds, at least 1. lat, lon: 1e-7 degrees.
    """

    node_id: Longs
    node_lat: Ints
    node_lon: Ints
    first_out: Ints
    tail: Ints
    head: Ints
    ms: Ints
    length_m: npt.NDArray[np.float32]
    way: Longs
    kind: npt.NDArray[np.uint8]
    speed_from: npt.NDArray[np.uint8]
    twin: Ints
    backward: Bools
    shape_at: Ints
    shape_n: Ints
    lat: Ints
    lon: Ints
    dropped: dict[str, int | float] = field(default_factory=dict, compare=False)

    @classmethod
    def arrays(cls) -> tuple[str, ...]:
        """Return the names of the array fields, in their order."""
        return tuple(f.name for f in fields(cls) if f.name != "dropped")

    def counts(self) -> dict[str, int | float]:
        """Return nodes, arcs and kilometres of arcs."""
        km = round(float(self.length_m.sum(dtype=np.float64)) / 1000, 3)
        return {"nodes": len(self.node_id), "arcs": len(self.tail), "km": km}

    def box(self) -> tuple[float, float, float, float]:
        """Return (south, west, north, east) of the junctions in degrees."""
        return tuple(
            float(v) / SCALE
            for v in (
                self.node_lat.min(),
                self.node_lon.min(),
                self.node_lat.max(),
                self.node_lon.max(),
            )
        )  # type: ignore[return-value]

    def line(self, arc: int) -> list[tuple[float, float]]:
        """Return the (lat, lon) points of an arc in the order of travel."""
        span = slice(int(self.shape_at[arc]), int(self.shape_at[arc]) + int(self.shape_n[arc]))
        points = list(
            zip((self.lat[span] / SCALE).tolist(), (self.lon[span] / SCALE).tolist(), strict=True)
        )
        return points[::-1] if self.backward[arc] else points


def assemble(pieces: Pieces, called: str) -> Streets:
    """Return the graph of the largest strongly connected part; `dropped` says what lay outside it.

    called: names the streets in errors. Raises BadData if nothing is left, or if the map is wider than WIDEST_M.
    """
    piece, backward = _directed(pieces)
    ids, ends = np.unique(np.concatenate([pieces.begin, pieces.end]), return_inverse=True)
    begin, end = np.split(ends, 2)
    tail = np.where(backward, end[piece], begin[piece])
    head = np.where(backward, begin[piece], end[piece])
    inside = _largest_part(len(ids), tail, head)
    keep = inside[tail] & inside[head]
    if not keep.any():
        raise BadData(f"{called}: no streets from which one can travel and come back")
    dropped = _dropped(pieces, piece, keep, inside)
    number = np.cumsum(inside) - 1
    tail, head, piece, backward = (
        number[tail[keep]],
        number[head[keep]],
        piece[keep],
        backward[keep],
    )
    order = np.lexsort((backward, piece, head, tail))
    streets = _graph(
        pieces, ids[inside], tail[order], head[order], piece[order], backward[order], dropped
    )
    south, west, north, east = (np.float64(v) for v in streets.box())
    if distance_m(south, west, north, east) > WIDEST_M:
        raise BadData(f"{called}: wider than {WIDEST_M // 1000:,} km; cut out the area you serve")
    return streets


def _directed(pieces: Pieces) -> tuple[Longs, Bools]:
    along, against = (np.flatnonzero(ms != CLOSED) for ms in (pieces.along_ms, pieces.against_ms))
    backward = np.concatenate([np.zeros(len(along), np.bool_), np.ones(len(against), np.bool_)])
    return np.concatenate([along, against]), backward


def _largest_part(nodes: int, tail: Longs, head: Longs) -> Bools:
    if not len(tail):
        return np.zeros(nodes, np.bool_)
    links = sparse.coo_array(
        (np.ones(len(tail), np.int8), (tail, head)), shape=(nodes, nodes)
    ).tocsr()
    _, part = csgraph.connected_components(links, directed=True, connection="strong")
    inside: Bools = part == np.bincount(part).argmax()
    return inside


def _dropped(pieces: Pieces, piece: Longs, keep: Bools, inside: Bools) -> dict[str, int | float]:
    """Return what the cut to one connected part removed: an isolated part with customers must be seen."""
    lost = pieces.length_m[piece[~keep]].sum()
    return {
        "nodes_outside_main_part": int((~inside).sum()),
        "arcs_outside_main_part": int((~keep).sum()),
        "km_outside_main_part": round(float(lost) / 1000, 3),
    }


def _graph(
    pieces: Pieces,
    ids: Longs,
    tail: Longs,
    head: Longs,
    piece: Longs,
    backward: Bools,
    dropped: dict[str, Any],
) -> Streets:
    used, at = np.unique(piece, return_inverse=True)
    n = pieces.shape_n[used]
    starts = np.cumsum(n) - n
    points = np.repeat(pieces.shape_at[used] - starts, n) + np.arange(n.sum())
    lat, lon = pieces.lat[points], pieces.lon[points]
    tail_point = np.where(backward, starts[at] + n[at] - 1, starts[at])
    _, example = np.unique(
        tail, return_index=True
    )  # strongly connected: every node is some arc's tail
    arc_of = np.full((2, len(used)), -1, np.int32)
    arc_of[backward.astype(int), at] = np.arange(len(tail))
    return Streets(
        node_id=ids,
        node_lat=lat[tail_point[example]],
        node_lon=lon[tail_point[example]],
        first_out=np.searchsorted(tail, np.arange(len(ids) + 1)).astype(np.int32),
        tail=tail.astype(np.int32),
        head=head.astype(np.int32),
        ms=np.where(backward, pieces.against_ms[piece], pieces.along_ms[piece]).astype(np.int32),
        length_m=pieces.length_m[piece].astype(np.float32),
        way=pieces.way[piece],
        kind=pieces.kind[piece],
        speed_from=pieces.speed_from[piece],
        twin=arc_of[1 - backward.astype(int), at],
        backward=backward,
        shape_at=starts[at].astype(np.int32),
        shape_n=n[at].astype(np.int32),
        lat=lat,
        lon=lon,
        dropped=dropped,
    )

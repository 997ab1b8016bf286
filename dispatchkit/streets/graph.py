"""The street graph: directed arcs between junctions, each with its travel time, length and shape.

Arcs are sorted by tail, so that one array of offsets finds the arcs that leave a junction (the
compressed sparse row layout).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from dispatchkit.kernel.errors import BadData
from dispatchkit.streets.geodesy import SCALE, Floats, Ints, Longs, distance_m

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

CLOSED = -1  # travel time of a segment in a direction that may not be used
MAX_EXTENT_M = 1_500_000  # far below the 3,355 km that a packed cost can hold (matrix.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Street segments between two junctions, as the loaders make them: one row a segment.

    Nothing is numbered or dropped yet; `assemble` does both.
    """

    begin: Longs  # id of the first junction
    end: Longs  # id of the last junction
    forward_ms: Ints  # travel time from begin to end, CLOSED if forbidden
    backward_ms: Ints  # travel time from end to begin, CLOSED if forbidden
    length_m: Floats
    way_id: Longs  # OSM way
    road_class: Bytes  # position in profile.ROAD_CLASSES
    speed_source: Bytes  # profile.FROM_TABLE or FROM_TAG

    # The shape is lat, lon[shape_start : shape_start + shape_count], both ends included.
    shape_start: Longs
    shape_count: Longs
    lat: Ints  # 1e-7 degrees
    lon: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Streets:
    """A street graph in which every junction reaches every other.

    Each direction of a segment is an arc. Parallel arcs stay apart: each has its own shape and
    time.
    """

    # By junction (node):
    node_id: Longs  # OSM node, ascending
    node_lat: Ints  # 1e-7 degrees
    node_lon: Ints
    first_out: Ints  # (nodes + 1,): the arcs first_out[v] : first_out[v + 1] leave node v

    # By arc:
    tail: Ints  # node where the arc starts
    head: Ints  # node where the arc ends
    travel_ms: Ints  # at least 1
    length_m: npt.NDArray[np.float32]
    way_id: Longs  # OSM way
    road_class: Bytes  # position in profile.ROAD_CLASSES
    speed_source: Bytes  # profile.FROM_TABLE or FROM_TAG
    reverse_arc: Ints  # the same segment in the other direction, -1 if it is one-way
    against_shape: Bools  # the arc runs from the last point of its shape to the first
    shape_start: Ints  # the shape is lat, lon[shape_start : shape_start + shape_count]
    shape_count: Ints

    # By point of a shape:
    lat: Ints  # 1e-7 degrees
    lon: Ints

    dropped: dict[str, int | float] = field(default_factory=dict, compare=False)  # see `_dropped`

    @classmethod
    def arrays(cls) -> tuple[str, ...]:
        """Return the names of the array fields, in their order."""
        return tuple(f.name for f in fields(cls) if f.name != "dropped")

    def counts(self) -> dict[str, int | float]:
        """Return the numbers of nodes and arcs, and the kilometres of all arcs."""
        km = round(float(self.length_m.sum(dtype=np.float64)) / 1000, 3)
        return {"nodes": len(self.node_id), "arcs": len(self.tail), "km": km}

    def box(self) -> tuple[float, float, float, float]:
        """Return (south, west, north, east) of the junctions in degrees."""
        lat, lon = self.node_lat, self.node_lon
        south, west, north, east = (
            float(value) / SCALE for value in (lat.min(), lon.min(), lat.max(), lon.max())
        )
        return south, west, north, east

    def line(self, arc: int) -> list[tuple[float, float]]:
        """Return the (lat, lon) points of an arc in the order of travel, in degrees."""
        start = int(self.shape_start[arc])
        span = slice(start, start + int(self.shape_count[arc]))
        lat, lon = (self.lat[span] / SCALE).tolist(), (self.lon[span] / SCALE).tolist()
        points = list(zip(lat, lon, strict=True))
        return points[::-1] if self.against_shape[arc] else points


def assemble(segments: Segments, what: str) -> Streets:
    """Return the graph of the largest strongly connected part of the segments.

    Outside that part a driver could arrive and not leave again, or the reverse; `Streets.dropped`
    counts what was left out. what: names the streets in errors. Raises BadData if nothing is left,
    or if the map is wider than MAX_EXTENT_M.
    """
    segment, against_shape = _directed(segments)
    node_ids, ends = np.unique(np.concatenate([segments.begin, segments.end]), return_inverse=True)
    begin, end = np.split(ends, 2)
    tail = np.where(against_shape, end[segment], begin[segment])
    head = np.where(against_shape, begin[segment], end[segment])

    inside = _largest_part(len(node_ids), tail, head)
    kept = inside[tail] & inside[head]
    if not kept.any():
        raise BadData(f"{what}: no streets from which one can travel and come back")
    dropped = _dropped(segments, segment, kept, inside)

    new_number = np.cumsum(inside) - 1
    tail, head = new_number[tail[kept]], new_number[head[kept]]
    segment, against_shape = segment[kept], against_shape[kept]
    order = np.lexsort((against_shape, segment, head, tail))
    streets = _graph(
        segments,
        node_ids[inside],
        tail[order],
        head[order],
        segment[order],
        against_shape[order],
        dropped,
    )
    south, west, north, east = (np.float64(degrees) for degrees in streets.box())
    if distance_m(south, west, north, east) > MAX_EXTENT_M:
        raise BadData(f"{what}: wider than {MAX_EXTENT_M // 1000:,} km; cut out the area you serve")
    return streets


def _directed(segments: Segments) -> tuple[Longs, Bools]:
    """Return (segment, runs against its shape) of each direction that may be travelled."""
    forward = np.flatnonzero(segments.forward_ms != CLOSED)
    backward = np.flatnonzero(segments.backward_ms != CLOSED)
    against_shape = np.repeat([False, True], [len(forward), len(backward)])
    return np.concatenate([forward, backward]), against_shape


def _largest_part(nodes: int, tail: Longs, head: Longs) -> Bools:
    """Return for each node whether it is in the largest strongly connected component."""
    if not len(tail):
        return np.zeros(nodes, np.bool_)
    ones = np.ones(len(tail), np.int8)
    links = sparse.coo_array((ones, (tail, head)), shape=(nodes, nodes)).tocsr()
    _, component = csgraph.connected_components(links, directed=True, connection="strong")
    inside: Bools = component == np.bincount(component).argmax()
    return inside


def _dropped(
    segments: Segments, segment: Longs, kept: Bools, inside: Bools
) -> dict[str, int | float]:
    """Return what lies outside the main part: operators must see if customers live there."""
    lost_m = segments.length_m[segment[~kept]].sum()
    return {
        "nodes_outside_main_part": int((~inside).sum()),
        "arcs_outside_main_part": int((~kept).sum()),
        "km_outside_main_part": round(float(lost_m) / 1000, 3),
    }


def _graph(
    segments: Segments,
    node_ids: Longs,
    tail: Longs,
    head: Longs,
    segment: Longs,
    against_shape: Bools,
    dropped: dict[str, int | float],
) -> Streets:
    """Return the graph of sorted arcs, with the shapes of unused segments left out."""
    used, row = np.unique(
        segment, return_inverse=True
    )  # row: position of an arc's segment in `used`
    count = segments.shape_count[used]
    start = np.cumsum(count) - count
    points = np.repeat(segments.shape_start[used] - start, count) + np.arange(count.sum())
    lat, lon = segments.lat[points], segments.lon[points]

    # Strongly connected: every node is the tail of an arc, and lies at that arc's first point.
    tail_point = np.where(against_shape, start[row] + count[row] - 1, start[row])
    _, some_arc = np.unique(tail, return_index=True)

    direction = against_shape.astype(int)
    arc_of = np.full((2, len(used)), -1, np.int32)  # by direction and segment
    arc_of[direction, row] = np.arange(len(tail))
    travel_ms = np.where(against_shape, segments.backward_ms[segment], segments.forward_ms[segment])
    return Streets(
        node_id=node_ids,
        node_lat=lat[tail_point[some_arc]],
        node_lon=lon[tail_point[some_arc]],
        first_out=np.searchsorted(tail, np.arange(len(node_ids) + 1)).astype(np.int32),
        tail=tail.astype(np.int32),
        head=head.astype(np.int32),
        travel_ms=travel_ms.astype(np.int32),
        length_m=segments.length_m[segment].astype(np.float32),
        way_id=segments.way_id[segment],
        road_class=segments.road_class[segment],
        speed_source=segments.speed_source[segment],
        reverse_arc=arc_of[1 - direction, row],
        against_shape=against_shape,
        shape_start=start[row].astype(np.int32),
        shape_count=count[row].astype(np.int32),
        lat=lat,
        lon=lon,
        dropped=dropped,
    )

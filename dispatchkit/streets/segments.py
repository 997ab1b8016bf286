"""Split ways into segments at their junctions, with lengths and travel times, as numpy arrays."""

from __future__ import annotations

import numpy as np

from dispatchkit.streets.geodesy import SCALE, Floats, Ints, Longs, distance_m
from dispatchkit.streets.graph import CLOSED, Bools, Segments
from dispatchkit.streets.load import NO_LOCATION, Ways
from dispatchkit.streets.profile import FROM_TABLE, ROAD_CLASSES


def split_ways(ways: Ways, profile: str) -> Segments:
    """Return the segments of all ways that a profile may use.

    A way is split at nodes that are used more than once, and where a node is missing: to join the
    two neighbours of a gap would invent a street. A segment that returns to its own beginning is
    split again at a node in its middle, so that addresses on a loop can be reached.
    """
    usable = np.array([passage is not None for passage in ways.passages[profile]], np.bool_)
    way = np.repeat(np.arange(len(ways.way_ids)), np.diff(ways.first))  # of each node position
    kept = usable[way] & (ways.lon != NO_LOCATION)
    run = _runs(way, kept)
    repeated = (way[1:] == way[:-1]) & (ways.node_ids[1:] == ways.node_ids[:-1])
    kept[1:] &= ~(repeated & kept[:-1])  # the same node twice in a row
    position = np.flatnonzero(kept)
    return _segments(ways, profile, position, way[position], run[position])


def _runs(way: Longs, kept: Bools) -> Longs:
    """Return the number of the unbroken run that each position belongs to.

    Two neighbouring positions may be joined only if they are in the same run.
    """
    starts = np.ones(len(way), np.bool_)
    starts[1:] = (way[1:] != way[:-1]) | ~kept[:-1] | ~kept[1:]
    return np.cumsum(starts)


def _segments(ways: Ways, profile: str, position: Longs, way: Longs, run: Longs) -> Segments:
    """Return the segments of the kept node positions; `way` and `run` are those of each position."""
    node_ids, lat, lon = ways.node_ids[position], ways.lat[position], ways.lon[position]
    start, stop = _spans(node_ids, run)
    length_m = _lengths(lat, lon, start, stop)
    own_way = way[start]
    passages = [ways.passages[profile][w] for w in own_way]
    forward_kmh = np.array([p.forward_kmh or 0.0 if p else 0.0 for p in passages])
    backward_kmh = np.array([p.backward_kmh or 0.0 if p else 0.0 for p in passages])
    road_classes = [ROAD_CLASSES.index(ways.tags[w]["highway"]) for w in own_way]
    return Segments(
        begin=node_ids[start],
        end=node_ids[stop],
        forward_ms=milliseconds(length_m, forward_kmh),
        backward_ms=milliseconds(length_m, backward_kmh),
        length_m=length_m,
        way_id=ways.way_ids[own_way],
        road_class=np.array(road_classes, np.uint8),
        speed_source=np.array([p.speed_source if p else FROM_TABLE for p in passages], np.uint8),
        shape_start=start,
        shape_count=stop - start + 1,
        lat=lat,
        lon=lon,
    )


def _spans(node_ids: Longs, run: Longs) -> tuple[Longs, Longs]:
    """Return (first, last) node position of each segment."""
    size = len(run)
    same_run = run[1:] == run[:-1]
    joins_next = np.concatenate([same_run, [False]])[:size]
    joins_previous = np.concatenate([[False], same_run])[:size]
    _, node, uses = np.unique(node_ids, return_inverse=True, return_counts=True)
    junction = (uses[node] > 1) | ~joins_next | ~joins_previous
    start, stop = _between_junctions(junction, joins_next)

    loops = (node_ids[start] == node_ids[stop]) & (stop - start > 1)
    if loops.any():
        junction[(start[loops] + stop[loops]) // 2] = True
        start, stop = _between_junctions(junction, joins_next)
    return start, stop


def _between_junctions(junction: Bools, joins_next: Bools) -> tuple[Longs, Longs]:
    start = np.flatnonzero(junction & joins_next)
    if not len(start):
        return start, start
    junctions = np.flatnonzero(junction)
    return start, junctions[np.searchsorted(junctions, start, side="right")]


def _lengths(lat: Ints, lon: Ints, start: Longs, stop: Longs) -> Floats:
    """Return the metres along the shape of each segment."""
    y, x = lat / SCALE, lon / SCALE
    steps_m = distance_m(y[:-1], x[:-1], y[1:], x[1:])
    travelled = np.concatenate([[0.0], np.cumsum(steps_m)])
    lengths: Floats = travelled[stop] - travelled[start]
    return lengths


def milliseconds(length_m: Floats, kmh: Floats) -> Ints:
    """Return travel times in whole milliseconds, at least 1; CLOSED where the speed is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ms = np.maximum(1, np.rint(length_m * 3600 / kmh))
    return np.where(kmh > 0, ms, CLOSED).astype(np.int32)

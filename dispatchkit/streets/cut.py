"""Ways cut into pieces at their junctions, with lengths and times. Plain numpy: no graph object on the way."""

from __future__ import annotations

import numpy as np

from dispatchkit.streets.earth import SCALE, Floats, Ints, Longs, distance_m
from dispatchkit.streets.graph import CLOSED, Bools, Pieces
from dispatchkit.streets.load import NOWHERE, Ways
from dispatchkit.streets.profile import CLASSES


def cut(ways: Ways, profile: str) -> Pieces:
    """Return the pieces of all ways that a profile may use.

    A way is cut at nodes that are used more than once, at its ends, and where a node is missing: joining the two
    neighbours of a gap would invent a street. A piece that returns to its own beginning is cut once more, at a
    node in its middle, so that addresses on a loop can be reached.
    """
    passages = ways.passages[profile]
    usable = np.array([p is not None for p in passages], np.bool_)
    way = np.repeat(np.arange(len(ways.ids)), np.diff(ways.first))
    keep = usable[way] & (ways.lon != NOWHERE)
    linked = _linked(ways, way, keep)
    keep[1:] &= ~(
        (way[1:] == way[:-1]) & (ways.refs[1:] == ways.refs[:-1]) & keep[:-1]
    )  # the same node twice running
    at = np.flatnonzero(keep)
    return _pieces(ways, profile, at, way[at], linked[at])


def _linked(ways: Ways, way: Longs, keep: Bools) -> Longs:
    """Return for each position the number of gaps before it: two positions join only if the number is the same."""
    fresh = np.ones(len(way), np.bool_)
    fresh[1:] = (way[1:] != way[:-1]) | ~keep[:-1] | ~keep[1:]
    return np.cumsum(fresh)


def _pieces(ways: Ways, profile: str, at: Longs, way: Longs, run: Longs) -> Pieces:
    refs, lat, lon = ways.refs[at], ways.lat[at], ways.lon[at]
    start, stop = _spans(refs, run)
    length = _lengths(lat, lon, start, stop)
    mine = way[start]
    passages = [ways.passages[profile][w] for w in mine]
    along = np.array([p.along or 0.0 if p else 0.0 for p in passages])
    against = np.array([p.against or 0.0 if p else 0.0 for p in passages])
    kinds = [CLASSES.index(ways.tags[w]["highway"]) for w in mine]
    return Pieces(
        begin=refs[start],
        end=refs[stop],
        along_ms=milliseconds(length, along),
        against_ms=milliseconds(length, against),
        length_m=length,
        way=ways.ids[mine],
        kind=np.array(kinds, np.uint8),
        speed_from=np.array([p.speed_from if p else 0 for p in passages], np.uint8),
        shape_at=start,
        shape_n=stop - start + 1,
        lat=lat,
        lon=lon,
    )


def _spans(refs: Longs, run: Longs) -> tuple[Longs, Longs]:
    joined = np.concatenate([run[1:] == run[:-1], [False]])[
        : len(run)
    ]  # position i and i+1 belong together
    _, who, uses = np.unique(refs, return_inverse=True, return_counts=True)
    before = np.concatenate([[False], joined])[: len(run)]
    junction = (uses[who] > 1) | ~joined | ~before
    start, stop = _between(junction, joined)
    loops = (refs[start] == refs[stop]) & (stop - start > 1)
    if loops.any():
        junction[(start[loops] + stop[loops]) // 2] = True
        start, stop = _between(junction, joined)
    return start, stop


def _between(junction: Bools, joined: Bools) -> tuple[Longs, Longs]:
    start = np.flatnonzero(junction & joined)
    marks = np.flatnonzero(junction)
    return start, marks[np.searchsorted(marks, start, side="right")] if len(start) else start


def _lengths(lat: Ints, lon: Ints, start: Longs, stop: Longs) -> Floats:
    y, x = lat / SCALE, lon / SCALE
    sums = np.concatenate([[0.0], np.cumsum(distance_m(y[:-1], x[:-1], y[1:], x[1:]))])
    lengths: Floats = sums[stop] - sums[start]
    return lengths


def milliseconds(length_m: Floats, kmh: Floats) -> Ints:
    """Return travel times in whole milliseconds, at least 1; CLOSED where the speed is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ms = np.maximum(1, np.rint(length_m * 3600 / kmh))
    return np.where(kmh > 0, ms, CLOSED).astype(np.int32)

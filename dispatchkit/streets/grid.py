"""Made-up streets: a grid over a box, so that a demo has streets without a download."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from dispatchkit.kernel.errors import Usage
from dispatchkit.kernel.geo import haversine_m
from dispatchkit.streets.geodesy import SCALE
from dispatchkit.streets.load import Ways
from dispatchkit.streets.profile import PROFILES

MAX_JUNCTIONS = 1_000_000


def grid(south: float, west: float, north: float, east: float, *, block_m: float = 150.0) -> Ways:
    """Return grid streets over a box in degrees: the same ways for the same box.

    Every sixth street is a two-way avenue; between them, one-way streets alternate.
    block_m: side of a block in metres, rounded so that whole blocks fill the box.
    Raises Usage for an empty box or one with more than MAX_JUNCTIONS junctions.
    """
    if not (-85 <= south < north <= 85 and -180 <= west < east <= 180 and block_m > 0):
        raise Usage(
            f"no box: south {south}, west {west}, north {north}, east {east}, blocks of {block_m} m"
        )
    height_m = haversine_m(south, west, north, west)
    middle = (south + north) / 2
    width_m = haversine_m(middle, west, middle, east)
    rows, columns = (max(2, math.ceil(side / block_m) + 1) for side in (height_m, width_m))
    if rows * columns > MAX_JUNCTIONS:
        raise Usage(
            f"{rows * columns:,} junctions; at most {MAX_JUNCTIONS:,}: choose larger blocks or a smaller box"
        )

    lat = np.rint(np.linspace(south, north, rows) * SCALE).astype(np.int32)
    lon = np.rint(np.linspace(west, east, columns) * SCALE).astype(np.int32)
    node_grid = np.arange(1, rows * columns + 1).reshape(rows, columns)
    lines = [*node_grid, *node_grid.T]  # the nodes of each way: west to east, then south to north
    node_ids = np.concatenate(lines)
    row, column = np.divmod(node_ids - 1, columns)
    tags = [*_tags(rows), *_tags(columns)]
    return Ways(
        way_ids=np.arange(1, len(lines) + 1, dtype=np.int64),
        tags=tags,
        passages={name: [p.passage(way) for way in tags] for name, p in PROFILES.items()},
        first=np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64),
        node_ids=node_ids,
        lat=lat[row],
        lon=lon[column],
        notes={},
    )


def _tags(count: int) -> Iterator[dict[str, str]]:
    """Yield the tags of `count` parallel streets."""
    for i in range(count):
        if i % 6 == 0 or i == count - 1:  # a two-way border, so that every corner can be left
            yield {"highway": "primary", "maxspeed": "50"}
        elif i % 3 == 0:
            yield {"highway": "tertiary", "maxspeed": "40"}
        else:
            oneway = "yes" if i % 3 == 1 else "-1"
            yield {"highway": "residential", "maxspeed": "30", "oneway": oneway}

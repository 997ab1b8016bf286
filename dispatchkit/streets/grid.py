"""Made-up streets: a grid over a box, the same for the same box, so that a demo has streets without a download."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from dispatchkit.kernel.errors import Usage
from dispatchkit.kernel.geo import haversine_m
from dispatchkit.streets.earth import SCALE
from dispatchkit.streets.load import Ways
from dispatchkit.streets.profile import PROFILES

LARGEST = 1_000_000  # junctions


def grid(south: float, west: float, north: float, east: float, *, block_m: float = 150.0) -> Ways:
    """Return ways over a box in degrees: every sixth street an avenue, between them one-way streets in turn.

    block_m: side of a block, rounded so that blocks fill the box. Raises Usage for an empty or an enormous box.
    """
    if not (-85 <= south < north <= 85 and -180 <= west < east <= 180 and block_m > 0):
        raise Usage(
            f"no box: south {south}, west {west}, north {north}, east {east}, blocks of {block_m} m"
        )
    high = haversine_m(south, west, north, west)
    wide = haversine_m((south + north) / 2, west, (south + north) / 2, east)
    rows, columns = (max(2, math.ceil(side / block_m) + 1) for side in (high, wide))
    if rows * columns > LARGEST:
        raise Usage(
            f"{rows * columns:,} junctions; at most {LARGEST:,}: choose larger blocks or a smaller box"
        )
    lat = np.rint(np.linspace(south, north, rows) * SCALE).astype(np.int32)
    lon = np.rint(np.linspace(west, east, columns) * SCALE).astype(np.int32)
    node = np.arange(1, rows * columns + 1).reshape(rows, columns)
    lines = [*node, *node.T]
    refs = np.concatenate(lines)
    tags = [*_streets(rows), *_streets(columns)]
    passages = {name: [profile.judge(t) for t in tags] for name, profile in PROFILES.items()}
    first = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64)
    ids = np.arange(1, len(lines) + 1, dtype=np.int64)
    row, column = np.divmod(refs - 1, columns)
    return Ways(ids, tags, passages, first, refs, lat[row], lon[column], {})


def _streets(count: int) -> Iterator[dict[str, str]]:
    for i in range(count):
        if i % 6 == 0 or i == count - 1:  # the border is two-way, so that every corner can be left
            yield {"highway": "primary", "maxspeed": "50"}
        elif i % 3 == 0:
            yield {"highway": "tertiary", "maxspeed": "40"}
        else:
            yield {
                "highway": "residential",
                "maxspeed": "30",
                "oneway": "yes" if i % 3 == 1 else "-1",
            }

"""The rings of delivery zones: one that is none makes every figure of its zone wrong, so the whole file is refused."""

from __future__ import annotations

import json

import polars as pl

from dispatchkit.kernel.errors import BadData
from dispatchkit.kernel.geo import ring_fault

BAD_RING = "DK-IN-062"


def require_rings(file: str, zones: pl.DataFrame) -> None:
    """Check the ring of every row of delivery_zones. Raises BadData for the first that is none, naming the zone."""
    for zone, text in zones.select("id", "ring").iter_rows():
        if fault := fault_of(text):
            raise BadData(f"{file}: zone {zone}: {fault}", code=BAD_RING)


def fault_of(text: str) -> str | None:
    """Return what is wrong with the text of a ring, or None: JSON, a closed list of [lon, lat] pairs, an area inside.

    Latitude and longitude that were swapped are seen only where the result is no coordinate.
    """
    try:
        corners = json.loads(
            text, parse_int=float
        )  # as a float, a number of any length is at most infinite
    except (ValueError, RecursionError):
        return "ring is not JSON"
    if not isinstance(corners, list) or not all(_pair(corner) for corner in corners):
        return "ring is not a list of [lon, lat] pairs"
    return ring_fault([(lon, lat) for lon, lat in corners])


def _pair(corner: object) -> bool:
    return (
        isinstance(corner, list) and len(corner) == 2 and all(isinstance(x, float) for x in corner)
    )

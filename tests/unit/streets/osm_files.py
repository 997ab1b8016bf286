"""Hand-written OSM files: nodes on a small plane in metres, ways with tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dispatchkit.kernel.geo import METRES_PER_DEGREE

Way = tuple[int, Sequence[int], Mapping[str, str]]


def place(x: float, y: float) -> tuple[float, float]:
    """Return (lat, lon) of metres east and north of (0, 0)."""
    return round(y / METRES_PER_DEGREE, 7), round(x / METRES_PER_DEGREE, 7)


def write(
    path: Path,
    nodes: Mapping[int, tuple[float, float]],
    ways: Sequence[Way],
    *,
    nodes_last: bool = False,
) -> Path:
    """Return the path of an .osm file with nodes at metres (x, y) and ways (id, nodes, tags)."""
    points = [
        f'<node id="{node}" version="1" lat="{lat:.7f}" lon="{lon:.7f}"/>'
        for node, (lat, lon) in ((node, place(*xy)) for node, xy in nodes.items())
    ]
    lines = [
        f'<way id="{way}" version="1">'
        + "".join(f'<nd ref="{ref}"/>' for ref in refs)
        + "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())
        + "</way>"
        for way, refs, tags in ways
    ]
    body = [*lines, *points] if nodes_last else [*points, *lines]
    path.write_text('<osm version="0.6" generator="by hand">' + "\n".join(body) + "</osm>", "utf-8")
    return path

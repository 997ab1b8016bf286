"""Convert streets from and to networkx graphs and osmnx GraphML files.

No other module imports networkx or osmnx.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from dispatchkit.kernel.errors import BadData, InputMissing
from dispatchkit.kernel.geo import is_point
from dispatchkit.streets.geodesy import SCALE, distance_m
from dispatchkit.streets.graph import CLOSED, Segments, Streets, assemble
from dispatchkit.streets.profile import (
    FROM_TABLE,
    FROM_TAG,
    ROAD_CLASSES,
    get_profile,
    parse_maxspeed,
)

Shape = tuple[tuple[int, int], ...]  # (lat, lon) in 1e-7 degrees
UNKNOWN_KMH = 30.0  # where neither the edge nor the profile's table has a speed


@dataclass(slots=True)
class _Edge:
    """One street segment; two directed edges that draw the same line become one."""

    begin: int
    end: int
    shape: Shape
    length_m: float
    way_id: int
    road_class: int
    speed_source: int
    forward_ms: int
    backward_ms: int = CLOSED


def read_graphml(path: Path, profile: str) -> Streets:
    """Return the streets of an osmnx GraphML file for a profile. Raises InputMissing, BadData."""
    if not path.is_file():
        raise InputMissing(f"no such file: {path}")
    import osmnx

    faults = (ValueError, KeyError, TypeError, SyntaxError, AttributeError, nx.NetworkXException)
    try:
        graph = osmnx.load_graphml(path)
    except faults as error:
        raise BadData(f"{path}: not a GraphML file of osmnx ({type(error).__name__})") from None
    return from_networkx(graph, profile, what=str(path))


def from_networkx(graph: nx.MultiDiGraph, profile: str, *, what: str = "graph") -> Streets:
    """Return the largest connected part of a graph with osmnx's attributes.

    Nodes are whole numbers with `x`, `y` in degrees. Edge attributes, all optional: `length` in
    metres (default: along the line); `travel_time` in seconds (default: from `speed_kph`,
    `maxspeed` or the profile's table); `geometry`, `osmid`, `highway`.

    Two edges that draw one line in both directions become a two-way street. A loop is split at a
    point of its line. what: names the graph in errors. Raises BadData.
    """
    crs = str(graph.graph.get("crs", "epsg:4326")).lower()
    if not crs.endswith(("4326", "crs84")):
        raise BadData(f"{what}: projected to {crs}; save the graph in degrees (EPSG:4326)")
    nodes = {node: _location(node, data, what) for node, data in graph.nodes(data=True)}
    edges: dict[tuple[Shape, int], list[_Edge]] = {}
    for u, v, data in graph.edges(data=True):
        for edge in _split_loop(_edge(u, v, data, nodes, profile, what)):
            _add(edges, edge)
    return assemble(_segments([edge for same in edges.values() for edge in same]), what)


def to_networkx(streets: Streets) -> nx.MultiDiGraph:
    """Return a graph with the attributes of osmnx (length, travel_time, geometry, ...).

    For plots and tests: it takes far more memory than the arrays.
    """
    from shapely import LineString  # type: ignore[import-untyped]

    graph = nx.MultiDiGraph(crs="epsg:4326", simplified=True)
    nodes = zip(streets.node_id, streets.node_lat / SCALE, streets.node_lon / SCALE, strict=True)
    graph.add_nodes_from(
        (int(node), {"y": float(lat), "x": float(lon)}) for node, lat, lon in nodes
    )
    for arc in range(len(streets.tail)):
        graph.add_edge(
            int(streets.node_id[streets.tail[arc]]),
            int(streets.node_id[streets.head[arc]]),
            length=float(streets.length_m[arc]),
            travel_time=int(streets.travel_ms[arc]) / 1000,
            osmid=int(streets.way_id[arc]),
            highway=ROAD_CLASSES[streets.road_class[arc]],
            oneway=bool(streets.reverse_arc[arc] < 0),
            reversed=bool(streets.against_shape[arc]),
            geometry=LineString([(lon, lat) for lat, lon in streets.line(arc)]),
        )
    return graph


def _location(node: Any, data: Mapping[str, Any], what: str) -> tuple[int, int]:
    """Return (lat, lon) of a node in 1e-7 degrees."""
    try:
        int(node)
        lat, lon = float(data["y"]), float(data["x"])
    except (KeyError, TypeError, ValueError):
        raise BadData(
            f"{what}: node {node!r} needs a whole-number id and x, y in degrees"
        ) from None
    if not is_point(lat, lon):
        raise BadData(f"{what}: node {node!r} has x, y outside longitude and latitude")
    return round(lat * SCALE), round(lon * SCALE)


def _edge(
    u: int,
    v: int,
    data: Mapping[str, Any],
    nodes: Mapping[int, tuple[int, int]],
    profile: str,
    what: str,
) -> _Edge:
    """Return a directed edge as a one-way segment."""
    line = list(data["geometry"].coords)[1:-1] if data.get("geometry") else []
    inner = tuple((round(lat * SCALE), round(lon * SCALE)) for lon, lat in line)
    shape: Shape = (nodes[u], *inner, nodes[v])
    classes = _texts(data.get("highway"))
    road_class = next((name for name in classes if name in ROAD_CLASSES), "road")
    try:
        length_m = float(data["length"]) if "length" in data else sum(_steps_m(shape))
        seconds, speed_source = _travel_time(data, road_class, length_m, profile)
        way_id = int(next(iter(_texts(data.get("osmid"))), 0))
    except (TypeError, ValueError):
        raise BadData(
            f"{what}: edge {u} to {v} has a length, time or osmid that is no number"
        ) from None
    if not (np.isfinite(length_m) and length_m >= 0 and np.isfinite(seconds) and seconds >= 0):
        raise BadData(
            f"{what}: edge {u} to {v} has length {length_m} m, time {seconds} s; expected 0 or more"
        )
    return _Edge(
        begin=u,
        end=v,
        shape=shape,
        length_m=length_m,
        way_id=way_id,
        road_class=ROAD_CLASSES.index(road_class),
        speed_source=speed_source,
        forward_ms=max(1, round(seconds * 1000)),
    )


def _travel_time(
    data: Mapping[str, Any], road_class: str, length_m: float, profile: str
) -> tuple[float, int]:
    """Return (seconds, where the speed comes from) of an edge; NaN for an impossible speed."""
    limit_kmh = parse_maxspeed(";".join(_texts(data.get("maxspeed"))))
    source = FROM_TAG if limit_kmh else FROM_TABLE
    if "travel_time" in data:
        return float(data["travel_time"]), source
    rules = get_profile(profile)
    if "speed_kph" in data:
        kmh = float(data["speed_kph"])
    elif limit_kmh and rules.follows_maxspeed:
        kmh = limit_kmh
    else:
        kmh = rules.speeds_kmh.get(road_class, rules.opened_kmh or UNKNOWN_KMH)
    return length_m * 3.6 / kmh if kmh > 0 else np.nan, source


def _texts(value: Any) -> list[str]:
    """Return an attribute as texts: osmnx joins the tags of merged ways into a list."""
    if value is None:
        return []
    values = value if isinstance(value, list | tuple | set) else (value,)
    return [str(item) for item in values]


def _steps_m(shape: Shape) -> Iterator[float]:
    """Yield the metres between neighbouring points."""
    for start, end in pairwise(shape):
        yield float(distance_m(*(np.float64(value / SCALE) for value in (*start, *end))))


def _split_loop(edge: _Edge) -> Iterator[_Edge]:
    """Yield the edge, or the two halves of a loop.

    A loop without a line has no place on the map and leads nowhere: it yields nothing.
    """
    if edge.begin != edge.end:
        yield edge
        return
    if len(edge.shape) < 3:
        return
    lat, lon = min(edge.shape[1:-1])  # the same point in both directions of the loop
    middle = edge.shape.index((lat, lon), 1)
    new_node = -((lat + 90 * SCALE) << 32 | (lon + 180 * SCALE)) - 1  # negative: no OSM id
    steps_m = list(_steps_m(edge.shape))
    share = sum(steps_m[:middle]) / (sum(steps_m) or 1.0)
    for begin, end, shape, part in (
        (edge.begin, new_node, edge.shape[: middle + 1], share),
        (new_node, edge.end, edge.shape[middle:], 1 - share),
    ):
        yield _Edge(
            begin=begin,
            end=end,
            shape=shape,
            length_m=edge.length_m * part,
            way_id=edge.way_id,
            road_class=edge.road_class,
            speed_source=edge.speed_source,
            forward_ms=max(1, round(edge.forward_ms * part)),
        )


def _add(edges: dict[tuple[Shape, int], list[_Edge]], edge: _Edge) -> None:
    """Add an edge by (shape, begin), or make it the other direction of one that is there."""
    for other in edges.get((edge.shape[::-1], edge.end), ()):
        same_street = other.end == edge.begin and abs(other.length_m - edge.length_m) < 1
        if same_street and other.backward_ms == CLOSED:
            other.backward_ms = edge.forward_ms
            return
    edges.setdefault((edge.shape, edge.begin), []).append(edge)


def _segments(edges: list[_Edge]) -> Segments:
    shape_count = np.array([len(edge.shape) for edge in edges], np.int64)
    points = np.array([point for edge in edges for point in edge.shape], np.int32).reshape(-1, 2)
    return Segments(
        begin=np.array([edge.begin for edge in edges], np.int64),
        end=np.array([edge.end for edge in edges], np.int64),
        forward_ms=np.array([edge.forward_ms for edge in edges], np.int32),
        backward_ms=np.array([edge.backward_ms for edge in edges], np.int32),
        length_m=np.array([edge.length_m for edge in edges], np.float64),
        way_id=np.array([edge.way_id for edge in edges], np.int64),
        road_class=np.array([edge.road_class for edge in edges], np.uint8),
        speed_source=np.array([edge.speed_source for edge in edges], np.uint8),
        shape_start=np.cumsum(shape_count) - shape_count,
        shape_count=shape_count,
        lat=points[:, 0],
        lon=points[:, 1],
    )

"""To and from the packages that people know: networkx graphs and osmnx GraphML. Nothing else here imports them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from dispatchkit.kernel.errors import BadData, InputMissing
from dispatchkit.kernel.geo import is_point
from dispatchkit.streets.earth import SCALE, distance_m
from dispatchkit.streets.graph import CLOSED, Pieces, Streets, assemble
from dispatchkit.streets.profile import CLASSES, TABLE, TAGGED, limit_kmh, profile

Shape = tuple[tuple[int, int], ...]  # (lat, lon) in 1e-7 degrees


@dataclass(slots=True)
class _Edge:
    """One street: directed edges that draw the same line in opposite directions are one."""

    begin: int
    end: int
    shape: Shape
    length_m: float
    way: int
    kind: int
    speed_from: int
    ms: list[int]  # along, against


def read_graphml(path: Path, name: str) -> Streets:
    """Return the streets of an osmnx GraphML file for profile `name`. Raises InputMissing, BadData."""
    if not path.is_file():
        raise InputMissing(f"no such file: {path}")
    import osmnx

    try:
        graph = osmnx.load_graphml(path)
    except (
        ValueError,
        KeyError,
        TypeError,
        SyntaxError,
        AttributeError,
        nx.NetworkXException,
    ) as fault:
        raise BadData(f"{path}: not a GraphML file of osmnx ({type(fault).__name__})") from None
    return from_networkx(graph, name, called=str(path))


def from_networkx(graph: nx.MultiDiGraph, name: str, *, called: str = "graph") -> Streets:
    """Return the largest connected part of a MultiDiGraph with osmnx's attributes, for profile `name`.

    Nodes are whole numbers with `x`, `y` in degrees. Edges: `length` in metres (else along their line), `travel_time`
    in seconds (else from `speed_kph`, `maxspeed` or our class table), `geometry`, `osmid`, `highway`. Edges that draw
    one line in both directions become one two-way street; a loop is cut at a point of its line. Raises BadData.
    """
    crs = str(graph.graph.get("crs", "epsg:4326")).lower()
    if not crs.endswith(("4326", "crs84")):
        raise BadData(f"{called}: projected to {crs}; save the graph in degrees (EPSG:4326)")
    places = {node: _place(node, data, called) for node, data in graph.nodes(data=True)}
    edges: dict[tuple[Shape, int], list[_Edge]] = {}
    for u, v, data in graph.edges(data=True):
        for edge in _unlooped(_edge(u, v, data, places, name, called)):
            _pair(edges, edge)
    return assemble(_pieces([edge for same in edges.values() for edge in same]), called)


def to_networkx(streets: Streets) -> nx.MultiDiGraph:
    """Return a MultiDiGraph with the attributes of osmnx (length, travel_time, geometry, ...), for plots and tests."""
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
            travel_time=int(streets.ms[arc]) / 1000,
            osmid=int(streets.way[arc]),
            highway=CLASSES[streets.kind[arc]],
            oneway=bool(streets.twin[arc] < 0),
            reversed=bool(streets.backward[arc]),
            geometry=LineString([(lon, lat) for lat, lon in streets.line(arc)]),
        )
    return graph


def _place(node: Any, data: Mapping[str, Any], called: str) -> tuple[int, int]:
    try:
        int(node)
        lat, lon = float(data["y"]), float(data["x"])
    except (KeyError, TypeError, ValueError):
        raise BadData(
            f"{called}: node {node!r} needs a whole-number id and x, y in degrees"
        ) from None
    if not is_point(lat, lon):
        raise BadData(f"{called}: node {node!r} lies at no place on earth")
    return round(lat * SCALE), round(lon * SCALE)


def _edge(
    u: int, v: int, data: Mapping[str, Any], places: Mapping[int, Any], name: str, called: str
) -> _Edge:
    line = data.get("geometry")
    inner = (
        tuple((round(lat * SCALE), round(lon * SCALE)) for lon, lat in list(line.coords)[1:-1])
        if line
        else ()
    )
    shape: Shape = (places[u], *inner, places[v])
    kind = next((word for word in _words(data.get("highway")) if word in CLASSES), "road")
    try:
        length = float(data["length"]) if "length" in data else sum(_steps(shape))
        seconds, tagged = _seconds(data, kind, length, name)
        way = int(next(iter(_words(data.get("osmid"))), 0))
    except (TypeError, ValueError):
        raise BadData(
            f"{called}: edge {u} to {v} has a length, time or osmid that is no number"
        ) from None
    if not (np.isfinite(length) and length >= 0 and np.isfinite(seconds) and seconds >= 0):
        raise BadData(
            f"{called}: edge {u} to {v} has length {length} m, time {seconds} s; expected 0 or more"
        )
    times = [max(1, round(seconds * 1000)), CLOSED]
    return _Edge(u, v, shape, length, way, CLASSES.index(kind), tagged, times)


def _seconds(data: Mapping[str, Any], kind: str, length: float, name: str) -> tuple[float, int]:
    """Return (seconds, where the speed comes from) of an edge."""
    tagged = limit_kmh(";".join(_words(data.get("maxspeed"))))
    if "travel_time" in data:
        return float(data["travel_time"]), TAGGED if tagged else TABLE
    judge = profile(name)
    table = judge.speeds.get(kind, judge.opens or 30.0)
    speed = (
        float(data["speed_kph"])
        if "speed_kph" in data
        else (tagged if judge.heeds_limits else None) or table
    )
    return length * 3.6 / speed if speed > 0 else np.nan, TAGGED if tagged else TABLE


def _words(value: Any) -> list[str]:
    values: Iterable[Any] = (
        value if isinstance(value, list | tuple | set) else () if value is None else (value,)
    )
    return [str(v) for v in values]


def _steps(shape: Shape) -> Iterator[float]:
    for (lat1, lon1), (lat2, lon2) in pairwise(shape):
        yield float(distance_m(*(np.float64(v / SCALE) for v in (lat1, lon1, lat2, lon2))))


def _unlooped(edge: _Edge) -> Iterator[_Edge]:
    """Yield the edge, or the two parts of a loop; a loop without a line has no place and leads nowhere: nothing."""
    if edge.begin != edge.end:
        yield edge
        return
    if len(edge.shape) < 3:
        return
    lat, lon = min(edge.shape[1:-1])  # the same point whichever way the loop runs
    middle = edge.shape.index((lat, lon), 1)
    node = -((lat + 90 * SCALE) << 32 | (lon + 180 * SCALE)) - 1
    steps = list(_steps(edge.shape))
    share = sum(steps[:middle]) / (sum(steps) or 1.0)
    for begin, end, shape, part in (
        (edge.begin, node, edge.shape[: middle + 1], share),
        (node, edge.end, edge.shape[middle:], 1 - share),
    ):
        ms = [max(1, round(edge.ms[0] * part)), CLOSED]
        yield _Edge(
            begin, end, shape, edge.length_m * part, edge.way, edge.kind, edge.speed_from, ms
        )


def _pair(edges: dict[tuple[Shape, int], list[_Edge]], edge: _Edge) -> None:
    """Put an edge beside the one that draws its line the other way, if that waits; else let it wait."""
    flipped = edge.shape[::-1]
    for other in edges.get((flipped, edge.end), ()):
        if (
            other.end == edge.begin
            and other.ms[1] == CLOSED
            and abs(other.length_m - edge.length_m) < 1
        ):
            other.ms[1] = edge.ms[0]
            return
    edges.setdefault((edge.shape, edge.begin), []).append(edge)


def _pieces(edges: list[_Edge]) -> Pieces:
    shape_n = np.array([len(edge.shape) for edge in edges], np.int64)
    points = np.array([point for edge in edges for point in edge.shape], np.int32).reshape(-1, 2)
    return Pieces(
        begin=np.array([edge.begin for edge in edges], np.int64),
        end=np.array([edge.end for edge in edges], np.int64),
        along_ms=np.array([edge.ms[0] for edge in edges], np.int32),
        against_ms=np.array([edge.ms[1] for edge in edges], np.int32),
        length_m=np.array([edge.length_m for edge in edges], np.float64),
        way=np.array([edge.way for edge in edges], np.int64),
        kind=np.array([edge.kind for edge in edges], np.uint8),
        speed_from=np.array([edge.speed_from for edge in edges], np.uint8),
        shape_at=np.cumsum(shape_n) - shape_n,
        shape_n=shape_n,
        lat=points[:, 0],
        lon=points[:, 1],
    )

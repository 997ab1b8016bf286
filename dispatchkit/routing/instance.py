"""Standalone problems as text: our own JSON, and the pickup-and-delivery files of Li and Lim.

JSON, all numbers whole, times in one unit of your choice:

    {"nodes":    [{"id": 0},
                  {"id": 1, "load": 1, "earliest": 0, "service": 2, "delivery": 2},
                  {"id": 2, "due": 30}],
     "vehicles": [{"id": 9, "start": 0, "capacity": 3}],
     "time":     [[0, 5, 9], [5, 0, 4], [9, 4, 0]],
     "weights":  {"late": 10, "finish": 1, "travel": 1, "vehicle": 0}}

A node may have `earliest`, `latest` (hard), `due` (soft), `service`, `load`; a pickup names its
`delivery`. A drop-off that no pickup names is on board already and names its `vehicle`. A vehicle
may have `at`, `load`, `first`, `end`, `end_by`. Nodes where vehicles start or end are no stops.
Rows and columns of `time` follow `nodes`; -1 means unreachable.

Li and Lim: first a line with vehicles, capacity, speed; then a line per node with id, x, y, demand,
earliest, latest, service, pickup, delivery. Node 0 is the depot. Travel time is the Euclidean
distance. The fewest vehicles count first, then the distance.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from dispatchkit.kernel.errors import BadData, shown
from dispatchkit.routing.problem import Problem, Task, VehicleType, Weights

Node = Mapping[str, int]
NODE = {"id", "earliest", "latest", "due", "service", "load", "delivery", "vehicle"}
SIGNED = {"earliest", "latest", "due", "load"}  # all else is 0 or more
LARGEST = 10**9  # so that sums of costs stay far below 2**63
VEHICLE_COST = 100_000  # in units of distance: more than any route saves


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A problem, with what its file calls things.

    nodes: node id of each task. distance: between places, in the unit of the file. scale: units of
    the problem per unit of the file.
    """

    problem: Problem
    nodes: tuple[int, ...]
    distance: Sequence[Sequence[float]]
    scale: int = 1


def read_lilim(text: str, *, scale: int = 1000, up: bool = True) -> Instance:
    """Return a Li and Lim instance, times in whole 1/`scale` units. Raises BadData with the line.

    up: round legs up, so that a plan is also valid in exact distances. To check plans of others,
    round down, so that no valid plan is refused.
    """
    rows = [_numbers(line, n) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(rows) < 2 or len(rows[0]) != 3 or min(rows[0][:2]) < 1:
        raise BadData("line 1: expected vehicles, capacity and speed, then one line for each node")
    count, capacity, _ = rows[0]
    table = {}
    for n, row in enumerate(rows[1:], 2):
        if len(row) != 9:
            raise BadData(f"line {n}: {len(row)} of 9 numbers")
        if row[0] in table:
            raise BadData(f"line {n}: node {row[0]} is there twice")
        table[row[0]] = row
    if 0 not in table:
        raise BadData("there is no node 0, the depot")
    ids = sorted(table)
    points = [(table[i][1], table[i][2]) for i in ids]
    distance = [[math.dist(a, b) for b in points] for a in points]
    whole = math.ceil if up else math.floor
    time = [[whole(round(d * scale, 6)) for d in row] for row in distance]
    nodes = [_lilim_node(table, i, scale) for i in ids]
    horizon = scale * table[0][5]
    cars = [
        {"id": v, "start": 0, "end": 0, "end_by": horizon, "capacity": capacity}
        for v in range(1, count + 1)
    ]
    weights = Weights(late=0, finish=0, travel=1, vehicle=VEHICLE_COST * scale)
    return _instance(nodes, cars, time, weights, distance=distance, scale=scale)


def _numbers(line: str, n: int) -> list[int]:
    try:
        return [int(word) for word in line.split()]
    except ValueError:
        raise BadData(
            f"line {n}: {shown(line.strip())!r} has something other than whole numbers"
        ) from None


def _lilim_node(table: Mapping[int, Sequence[int]], i: int, scale: int) -> Node:
    _, _, _, load, earliest, latest, service, pickup, delivery = table[i]
    if i == 0:
        return {"id": 0}
    partner = pickup or delivery
    if (
        partner not in table
        or (table[partner][7] or table[partner][8]) != i
        or bool(pickup) == bool(delivery)
    ):
        raise BadData(
            f"node {i}: it and node {partner} do not name each other as pickup and delivery"
        )
    times = {"earliest": scale * earliest, "latest": scale * latest, "service": scale * service}
    return {"id": i, "load": load, **times} | ({"delivery": delivery} if delivery else {})


def read_json(text: str) -> Instance:
    """Return an instance of our JSON format. Raises BadData with the entry and its fault."""
    try:
        whole = json.loads(text, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as fault:
        raise BadData(f"not JSON as expected: {fault}") from None
    if not isinstance(whole, dict) or not {"nodes", "vehicles", "time"} <= set(whole):
        raise BadData("expected an object with nodes, vehicles and time (and weights)")
    if unknown := sorted(set(whole) - {"nodes", "vehicles", "time", "weights"}):
        raise BadData(f"unknown key {shown(unknown[0])!r}")
    nodes = _entries(whole["nodes"], "node", NODE, {"id"})
    cars = _entries(
        whole["vehicles"],
        "vehicle",
        {f.name for f in fields(VehicleType)},
        {"id", "start", "capacity"},
    )
    time = whole["time"]
    if not isinstance(time, list) or [len(r) if isinstance(r, list) else -1 for r in time] != [
        len(nodes)
    ] * len(nodes):
        raise BadData(f"time is not a table of {len(nodes)} rows and columns, one for each node")
    for i, row in enumerate(time):
        if any(type(leg) is not int or not -1 <= leg <= LARGEST for leg in row):
            raise BadData(f"time, row {i}: expected whole numbers up to {LARGEST}, -1 for no way")
    (weights,) = _entries(
        [whole.get("weights", {})], "weights", {f.name for f in fields(Weights)}, set()
    )
    if any(weight > 1000 for name, weight in weights.items() if name != "vehicle"):
        raise BadData("weights are at most 1000")
    return _instance(nodes, cars, time, Weights(**weights), distance=time)


def _no_float(word: str) -> int:
    raise ValueError(f"{word} is not a whole number")


def _entries(items: object, what: str, known: set[str], needed: set[str]) -> list[dict[str, int]]:
    """Return objects of whole numbers with known keys, without null values."""
    if not isinstance(items, list):
        raise BadData(f"{what}s are not a list")
    entries = []
    for i, entry in enumerate(items):
        if not isinstance(entry, dict):
            raise BadData(f"{what} number {i} is not an object")
        values = {key: value for key, value in entry.items() if value is not None}
        if unknown := sorted(set(values) - known):
            raise BadData(f"{what} number {i}: unknown key {shown(unknown[0])!r}")
        if missing := sorted(needed - set(values)):
            raise BadData(f"{what} number {i}: {missing[0]} is missing")
        if wrong := [
            key
            for key, value in sorted(values.items())
            if type(value) is not int or abs(value) > LARGEST
        ]:
            raise BadData(f"{what} number {i}: {wrong[0]} is not a whole number of sensible size")
        if below := [
            key for key, value in sorted(values.items()) if value < 0 and key not in SIGNED
        ]:
            raise BadData(f"{what} number {i}: {below[0]} is below zero")
        entries.append(values)
    return entries


def _instance(
    nodes: Sequence[Node],
    cars: Sequence[Node],
    time: Sequence[Sequence[int]],
    weights: Weights,
    *,
    distance: Sequence[Sequence[float]],
    scale: int = 1,
) -> Instance:
    """Return the instance of nodes and vehicles. Raises BadData for an unknown id in one of them."""
    place = _numbered([node["id"] for node in nodes], "node")
    car = _numbered([vehicle["id"] for vehicle in cars], "vehicle")
    for i, vehicle in enumerate(cars):
        for key in ("start", "end", "first"):
            _find(place, vehicle.get(key), f"vehicle number {i}: {key}")
    bases = {vehicle[key] for vehicle in cars for key in ("start", "end") if key in vehicle}
    stops = [node for node in nodes if node["id"] not in bases]
    task = {node["id"]: i for i, node in enumerate(stops)}
    pickup = {node["delivery"]: node["id"] for node in stops if "delivery" in node}
    for node in stops:
        _find(task, node.get("delivery"), f"node {node['id']}: delivery")
        _find(car, node.get("vehicle"), f"node {node['id']}: vehicle")
    tasks = tuple(_task(node, place, task, car, pickup) for node in stops)
    vehicles = tuple(
        VehicleType(
            id=v["id"],
            start=place[v["start"]],
            at=v.get("at", 0),
            capacity=v["capacity"],
            load=v.get("load", 0),
            first=_find(task, v.get("first"), f"vehicle {v['id']}: first"),
            end=_find(place, v.get("end"), f"vehicle {v['id']}: end"),
            end_by=v.get("end_by"),
        )
        for v in cars
    )
    problem = Problem(tasks=tasks, vehicles=vehicles, time=time, weights=weights)
    return Instance(
        problem=problem, nodes=tuple(node["id"] for node in stops), distance=distance, scale=scale
    )


def _task(
    node: Node,
    place: Mapping[int, int],
    task: Mapping[int, int],
    car: Mapping[int, int],
    pickup: Mapping[int, int],
) -> Task:
    id_ = node["id"]
    if (
        id_ not in pickup
        and "delivery" not in node
        and node.get("load", 0) < 0
        and "vehicle" not in node
    ):
        raise BadData(
            f"node {id_}: no pickup names it as its delivery, "
            "so it must name the vehicle that has the goods"
        )
    return Task(
        job=pickup.get(id_, id_),
        kind="pickup" if "delivery" in node else "dropoff",
        place=place[id_],
        load=node.get("load", 0),
        earliest=node.get("earliest", 0),
        latest=node.get("latest"),
        due=node.get("due"),
        service=node.get("service", 0),
        after=task[pickup[id_]] if id_ in pickup else None,
        only=car[node["vehicle"]] if "vehicle" in node else None,
    )


def _numbered(ids: Sequence[int], what: str) -> dict[int, int]:
    index = {id_: i for i, id_ in enumerate(ids)}
    if not ids or len(index) != len(ids):
        raise BadData(f"expected at least one {what}, and each id once")
    return index


def _find(known: Mapping[int, int], name: int | None, where: str) -> int | None:
    if name is not None and name not in known:
        raise BadData(f"{where} names {name}, which is not there")
    return None if name is None else known[name]

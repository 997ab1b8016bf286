"""Standalone routing: a problem file in, a plan out; and a check of anyone's plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

from dispatchkit.kernel.errors import BadData, InputMissing, Usage
from dispatchkit.kernel.files import write_whole
from dispatchkit.routing.check import PlanFault, PlanViolation, timed, violations
from dispatchkit.routing.engines import answer
from dispatchkit.routing.instance import Instance, read_json, read_lilim
from dispatchkit.routing.problem import Plan, VehicleRoute

FORMATS = ("json", "lilim")
JUDGE_SCALE = 1_000_000  # others' plans are judged to the millionth of a unit
Document = dict[str, Any]


def plan(
    file: Path, form: str, *, engine: str, seconds: float | None, seed: int, solutions: int
) -> Document:
    """Return the plan of a problem file as a document; `seconds` is null without a time limit.

    Raises InputMissing or BadData for the file, Usage for the engine.
    """
    instance = _read(file, form)
    began = monotonic()
    solution = answer(
        instance.problem, engine=engine, seconds=seconds, seed=seed, solutions=solutions
    )
    duration_s = None if seconds is None else round(monotonic() - began, 2)
    broken = violations(instance.problem, solution)
    assert not broken, f"the engine broke a rule: {broken[0]}"
    return _document(instance, solution) | {"seconds": duration_s}


def check(file: Path, form: str, plan_file: Path) -> list[PlanViolation]:
    """Return every violation of a plan file, which `plan` wrote or which has only `routes`."""
    instance = _read(file, form, judge=True)
    document = _json(plan_file)
    task_index = {node: i for i, node in enumerate(instance.nodes)}
    vehicle_index = {vehicle.id: i for i, vehicle in enumerate(instance.problem.vehicles)}
    node_lists = _routes(document, plan_file)
    ids = document.get("vehicle_ids") or list(vehicle_index)[: len(node_lists)]
    faults: list[PlanViolation] = []
    routes: list[VehicleRoute] = []
    for n, nodes in enumerate(node_lists):
        unknown = [node for node in nodes if node not in task_index]
        faults += [
            PlanViolation(PlanFault.UNKNOWN, None, None, f"route {n + 1} names node {node}")
            for node in unknown
        ]
        if n < len(ids) and ids[n] in vehicle_index:
            routes.append(
                timed(
                    instance.problem,
                    vehicle_index[ids[n]],
                    [task_index[node] for node in nodes if node in task_index],
                )
            )
        else:
            faults.append(
                PlanViolation(PlanFault.UNKNOWN, None, None, f"route {n + 1} has no vehicle")
            )
    solution = Plan(
        routes=tuple(routes), unplanned=_left_out(document, plan_file), cost=0, engine="given"
    )
    return (
        faults
        + violations(instance.problem, solution, check_cost=False)
        + _figures(instance, solution, document)
    )


def write(document: Document, out: Path) -> None:
    """Write a plan to a file, whole or not at all. Raises CannotCreate, NotPermitted, IOFailed."""
    write_whole(out, (json.dumps(document, sort_keys=True) + "\n").encode())


def _document(instance: Instance, plan: Plan) -> Document:
    distance, duration = _totals(instance, plan)
    return {
        "vehicles": len(plan.routes),
        "vehicle_ids": [instance.problem.vehicles[route.vehicle].id for route in plan.routes],
        "distance": round(distance, 4),
        "duration": duration,
        "routes": [[instance.nodes[visit.task] for visit in route.visits] for route in plan.routes],
        "unassigned": [{"id": job, "reason": reason} for job, reason in plan.unplanned],
        "engine": plan.engine,
        "proven": plan.proven,
    }


def _totals(instance: Instance, plan: Plan) -> tuple[float, float]:
    """Return travel and time from start to end over all routes, in the file's unit."""
    problem, distance, duration = instance.problem, 0.0, 0
    for route in plan.routes:
        car = problem.vehicles[route.vehicle]
        places = [car.start, *(problem.tasks[v.task].place for v in route.visits)]
        home = 0 if car.end is None else problem.time[places[-1]][car.end]
        places += [] if car.end is None else [car.end]
        distance += sum(instance.distance[a][b] for a, b in pairwise(places))
        duration += (route.visits[-1].leave if route.visits else car.at) + home - car.at
    return distance, duration if instance.scale == 1 else round(duration / instance.scale, 3)


def _figures(instance: Instance, judged: Plan, document: Mapping[str, Any]) -> list[PlanViolation]:
    """Return the figures that a plan states and its routes belie."""
    true = {
        "vehicles": sum(1 for r in judged.routes if r.visits),
        "distance": _totals(instance, judged)[0],
    }
    stated = {name: document[name] for name in true if isinstance(document.get(name), int | float)}
    return [
        PlanViolation(
            PlanFault.FIGURE_WRONG,
            None,
            None,
            f"the plan says {name} {said}, its routes give {true[name]:.10g}",
        )
        for name, said in stated.items()
        if not abs(said - true[name]) <= 0.01
    ]


def _read(file: Path, form: str, *, judge: bool = False) -> Instance:
    if form not in FORMATS:
        raise Usage(f"{form!r} is no format; choose one of {', '.join(FORMATS)}")
    text = _text(file)
    try:
        if form == "json":
            return read_json(text)
        return read_lilim(text, scale=JUDGE_SCALE, up=False) if judge else read_lilim(text)
    except BadData as fault:
        raise BadData(f"{file}: {fault}") from None


def _text(file: Path) -> str:
    if file.is_dir():
        raise InputMissing(f"{file} is a directory, not a file")
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        raise InputMissing(f"there is no file {file}") from None
    except UnicodeDecodeError as fault:
        raise BadData(f"{file} is not UTF-8 at byte {fault.start}") from None


def _json(file: Path) -> Document:
    try:
        document = json.loads(_text(file))
    except (ValueError, RecursionError) as fault:
        raise BadData(f"{file} is not JSON: {fault}") from None
    if not isinstance(document, dict):
        raise BadData(f"{file}: expected an object with routes")
    return document


def _routes(document: Document, file: Path) -> list[list[int]]:
    routes = document.get("routes")
    if not isinstance(routes, list) or not all(
        isinstance(r, list) and all(type(n) is int for n in r) for r in routes
    ):
        raise BadData(f"{file}: expected `routes`, a list of lists of node ids")
    return routes


def _left_out(document: Document, file: Path) -> tuple[tuple[int, str], ...]:
    try:
        return tuple((int(job["id"]), str(job["reason"])) for job in document.get("unassigned", []))
    except (TypeError, ValueError, KeyError):
        raise BadData(
            f"{file}: expected `unassigned`, a list of objects with id and reason"
        ) from None

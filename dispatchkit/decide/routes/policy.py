"""Plan the stops of every driver with work; write only what a driver would notice.

A plan is made anew when what it depends on has changed (`inputs_sha256`: work, promises, position, parameters), and
written when stops differ or an ETA moved. The stop in motion stays first, and a known order is kept unless a new one
clearly gains: drivers who see their list reshuffled every minute stop trusting it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import polars as pl

from dispatchkit.decide.routes.board import Board, Row, board, problem_of
from dispatchkit.decide.routes.engines import answer, as_plan
from dispatchkit.decide.routes.model import READS, Params
from dispatchkit.decide.routes.problem import Plan, Problem, Visit, schedule
from dispatchkit.kernel.change import Change, Value, canonical
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.feature import Feature, Frames, Travel
from dispatchkit.kernel.states import ROUTE

_COLUMNS = ("driver_id", "state", "planned_at", "stops", "distance_m", "duration_s", "engine", "inputs_sha256")


def decide(frames: Frames, params: Params, now: datetime, travel: Travel) -> list[Change]:
    """Return one change for each driver whose plan differs from the stored one, by driver id."""
    held = frames["held"].sort("driver_id", "id").iter_rows(named=True)
    carriers, pings = _by(frames["carriers"], "id"), _by(frames["pings"], "driver_id")
    stored = _by(frames["plans"], "id")
    changes: list[Change] = []
    busy = set()
    for driver_id, rows in groupby(held, key=lambda row: int(row["driver_id"])):
        busy.add(driver_id)
        work = board(list(rows), carriers[driver_id], pings.get(driver_id))
        change = _replan(work, stored.get(driver_id), params, now, travel)
        changes += [change] if change else []
    ended = [row for id_, row in stored.items() if id_ not in busy and row["state"] == "PLANNED"]
    changes += [_emptied(row, now) for row in ended]
    return sorted(changes, key=lambda change: change.id)


def _replan(work: Board, stored: Row | None, params: Params, now: datetime, travel: Travel) -> Change | None:
    """Return the change to one driver's plan, or None if nothing they would notice is new."""
    planned = stored if stored and stored["state"] == "PLANNED" else None
    inputs = work.fingerprint(params, travel.name)
    if planned and planned["inputs_sha256"] == inputs:
        return None
    problem, metres = problem_of(work, params, now, travel)
    known = json.loads(planned["stops"]) if planned else []
    best = answer(problem, exact_up_to=params.exact_up_to, solutions=params.solutions, seed=params.seed)
    plan, known_cost = _keep_known(problem, work, known, best, params.min_gain)
    stops = _stops(work, plan, now)
    if planned and not _differs(known, stops, params.eta_tolerance):
        return None
    visits = plan.routes[0].visits if plan.routes else ()
    after: dict[str, Value] = {
        "driver_id": work.driver_id,
        "state": "PLANNED",
        "planned_at": now,
        "stops": canonical(stops),
        "distance_m": _metres(problem, visits, metres),
        "duration_s": visits[-1].leave if visits else 0,
        "engine": plan.engine,
        "inputs_sha256": inputs,
    }
    why = {
        "engine": plan.engine,
        "proven": plan.proven,
        "cost": plan.cost,
        "best_cost": best.cost,
        "known_cost": known_cost,
        "late_s": _late(problem, visits),
        "start": work.start_from,
        "in_motion": None if work.first is None else list(work.stops[work.first].key),
        "travel": travel.name,
    }
    return _change(work.driver_id, stored, after, _reason(planned, known, stops), now, why=why, held=work.held)


def _keep_known(
    problem: Problem, work: Board, known: Sequence[Mapping[str, Any]], best: Plan, min_gain: timedelta
) -> tuple[Plan, int | None]:
    """Return the stored order if it has the same stops and costs little more, else the best; and the stored one's."""
    index = {stop.key: i for i, stop in enumerate(work.stops)}
    keys = [(stop["delivery"], stop["kind"]) for stop in known if stop["eta"] is not None]
    order = [index[key] for key in keys if key in index]
    if best.unplanned or len(order) != len(index) or not order:
        return best, None
    found = schedule(problem, 0, order)
    if found is None:
        return best, None
    if found[1] - best.cost < min_gain.total_seconds() or found[1] == best.cost:
        proven = best.proven and found[1] == best.cost
        return as_plan(problem, [order], engine=best.engine, proven=proven), found[1]
    return best, found[1]


def _stops(work: Board, plan: Plan, now: datetime) -> list[dict[str, str | int | None]]:
    """Return the stops as they are stored: the planned ones in order with their times, then the others with reasons."""
    stops: list[dict[str, str | int | None]] = []
    for visit in plan.routes[0].visits if plan.routes else ():
        delivery, kind = work.stops[visit.task].key
        eta, leave = (rfc3339(now + timedelta(seconds=s)) for s in (visit.arrive, visit.leave))
        stops.append({"delivery": delivery, "kind": kind, "eta": eta, "leave": leave})
    reasons = dict(plan.unplanned)
    left_out = [(*stop.key, reasons[stop.key[0]]) for stop in work.stops if stop.key[0] in reasons]
    for delivery, kind, reason in sorted([*left_out, *work.unplaced], key=lambda entry: entry[0]):
        stops.append({"delivery": delivery, "kind": kind, "eta": None, "reason": reason})
    return stops


def _differs(known: Sequence[Mapping[str, Any]], stops: Sequence[Mapping[str, Any]], tolerance: timedelta) -> bool:
    """Return whether the stops are others, or in another order, or any ETA moved by more than the tolerance."""
    if _listed(known) != _listed(stops):
        return True
    pairs = [(a["eta"], b["eta"]) for a, b in zip(known, stops, strict=True) if a["eta"] is not None]
    return any(abs(datetime.fromisoformat(a) - datetime.fromisoformat(b)) > tolerance for a, b in pairs)


def _listed(stops: Sequence[Mapping[str, Any]]) -> list[tuple[int, str, str | None]]:
    return [(stop["delivery"], stop["kind"], stop.get("reason")) for stop in stops]


def _reason(planned: Row | None, known: Sequence[Mapping[str, Any]], stops: Sequence[Mapping[str, Any]]) -> str:
    if planned is None:
        return "FIRST_PLAN"
    if sorted(_listed(known)[i][:2] for i in range(len(known))) != sorted(entry[:2] for entry in _listed(stops)):
        return "WORK_CHANGED"
    return "TIMES_MOVED" if _listed(known) == _listed(stops) else "ORDER_IMPROVED"


def _metres(problem: Problem, visits: Sequence[Visit], metres: Sequence[Sequence[int]]) -> int:
    places = [0, *(problem.tasks[visit.task].place for visit in visits)]
    return sum(metres[a][b] for a, b in pairwise(places))


def _late(problem: Problem, visits: Sequence[Visit]) -> int:
    dues = [(visit.leave, problem.tasks[visit.task].due) for visit in visits]
    return sum(max(0, leave - due) for leave, due in dues if due is not None)


def _emptied(stored: Row, now: datetime) -> Change:
    """Return the change that empties the plan of a driver whose deliveries have all ended."""
    after: dict[str, Value] = {
        "driver_id": stored["driver_id"],
        "state": "EMPTY",
        "planned_at": now,
        "stops": "[]",
        "distance_m": 0,
        "duration_s": 0,
        "engine": stored["engine"],
        "inputs_sha256": sha256(b"").hexdigest(),
    }
    return _change(stored["driver_id"], stored, after, "WORK_ENDED", now, why={}, held=())


def _change(
    driver_id: int,
    stored: Row | None,
    after: dict[str, Value],
    reason: str,
    now: datetime,
    *,
    why: Mapping[str, Any],
    held: Sequence[Row],
) -> Change:
    """Return the change with only the columns that differ; all of them at birth."""
    if stored is None or stored["state"] != after["state"]:
        ROUTE.step("" if stored is None else stored["state"], str(after["state"]))
    changed = {name: after[name] for name in _COLUMNS if stored is None or stored[name] != after[name]}
    return Change(
        entity="route",
        id=driver_id,
        version=0 if stored is None else stored["version"],
        event="route_planned" if after["state"] == "PLANNED" else "route_emptied",
        before={} if stored is None else {name: stored[name] for name in changed},
        after=changed,
        reason=reason,
        at=now,
        root=("driver", driver_id),
        expects=tuple(("delivery", row["id"], row["version"]) for row in held),
        payload={"driver_id": driver_id, "stops": json.loads(str(after["stops"]))},
        why=why,
        unit=driver_id,
    )


def _by(frame: pl.DataFrame, key: str) -> dict[int, Row]:
    return {int(row[key]): row for row in frame.sort(key).iter_rows(named=True)}


FEATURE = Feature(
    name="routes",
    flag="routes",
    sql=Path(__file__).with_name("reads.sql"),
    reads=tuple(READS),
    params=Params,
    decide=decide,
)

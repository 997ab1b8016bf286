"""Plan the stops of every driver with work; write only what a driver would notice.

A plan is made anew when what it depends on has changed (`inputs_sha256`: work, promises, position, parameters) or its
first stop is overdue, and written when stops differ or an ETA moved. The stop in motion stays first, and a known order
is kept unless a new one clearly gains: drivers who see their list reshuffled every minute stop trusting it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import groupby, pairwise
from pathlib import Path

from dispatchkit.decide.routes.board import Board, board, problem_of
from dispatchkit.decide.routes.model import READS, Carrier, Held, Params, Ping, Stored
from dispatchkit.decide.routes.stops import Stop, differs, listed, overdue, parse
from dispatchkit.domain.change_set import ChangeExtras, ChangeSet
from dispatchkit.domain.changes import Change, Value
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Decision, Feature, Frames
from dispatchkit.kernel.canonical_json import canonical
from dispatchkit.routing.engines import answer
from dispatchkit.routing.problem import Plan, Problem, Visit, as_plan, schedule
from dispatchkit.travel.interface import Travel

NO_INPUTS = sha256(b"").hexdigest()


def decide(frames: Frames, params: Params, now: datetime, travel: Travel, seed: int) -> Decision:
    """Return one change for each driver whose plan differs from the stored one, by driver id."""
    held = sorted(rows(frames["held"], Held), key=lambda row: (row.driver_id, row.id))
    carriers = {driver.id: driver for driver in rows(frames["carriers"], Carrier)}
    pings = {ping.driver_id: ping for ping in rows(frames["pings"], Ping)}
    stored = {plan.id: plan for plan in rows(frames["plans"], Stored)}
    changes: list[Change] = []
    for id_, of_driver in groupby(held, key=lambda row: row.driver_id):
        if id_ not in carriers:
            continue  # the driver's row broke its contract and was set aside, by name, at the border
        work = board(list(of_driver), carriers[id_], pings.get(id_))
        changes += _replan(work, stored.get(id_), params, now, travel, seed)
    busy = {row.driver_id for row in held}
    for plan in stored.values():
        changes += _emptied(plan, now) if plan.id not in busy and plan.state == "PLANNED" else []
    return Decision(sorted(changes, key=lambda change: change.id))


def _replan(
    work: Board, stored: Stored | None, params: Params, now: datetime, travel: Travel, seed: int
) -> list[Change]:
    """Return the change to one driver's plan, if there is anything new in it that they would notice."""
    stands = stored is not None and stored.state == "PLANNED"
    inputs = work.fingerprint(params, travel.name, seed)
    known = parse(stored.stops) if stored and stands else []
    if (
        stored
        and stands
        and stored.inputs_sha256 == inputs
        and not overdue(known, params.eta_tolerance, now)
    ):
        return []
    problem, metres = problem_of(work, params, now, travel)
    best = answer(problem, exact_up_to=params.exact_up_to, solutions=params.solutions, seed=seed)
    plan, known_cost = _prefer_known(problem, work, known, best, params.min_gain)
    stops = listed(work, plan, now)
    if stands and not differs(known, stops, params.eta_tolerance):
        return []
    visits = plan.routes[0].visits if plan.routes else ()
    after: dict[str, Value] = {
        "driver_id": work.driver.id,
        "state": "PLANNED",
        "planned_at": now,
        "stops": canonical([stop.entry() for stop in stops]),
        "distance_m": _metres(problem, visits, metres),
        "duration_s": visits[-1].leave if visits else 0,
        "engine": plan.engine,
        "inputs_sha256": inputs,
    }
    said: ChangeExtras = {
        "expects": tuple(("delivery", row.id, row.version) for row in work.held),
        "payload": {"driver_id": work.driver.id, "stops": [stop.entry() for stop in stops]},
        "why": {
            "proven": plan.proven,
            "cost": plan.cost,
            "best_cost": best.cost,
            "known_cost": known_cost,
            "late_s": _late(problem, visits),
            "start": work.start_from,
            "in_motion": None if work.first is None else list(work.places[work.first].key),
            "travel": travel.name,
        },
    }
    return _written(work.driver.id, stored, _reason(known, stops), after, said, now)


def _prefer_known(
    problem: Problem, work: Board, known: Sequence[Stop], best: Plan, min_gain: timedelta
) -> tuple[Plan, int | None]:
    """Return the known order if it has the same stops left and costs little more, else the best; and what it costs."""
    index = {place.key: i for i, place in enumerate(work.places)}
    order = [index[stop.key] for stop in known if stop.eta is not None and stop.key in index]
    found = (
        schedule(problem, 0, order)
        if order and len(order) == len(index) and not best.unplanned
        else None
    )
    if found is None:
        return best, None
    if found[1] > best.cost and found[1] - best.cost >= min_gain.total_seconds():
        return best, found[1]
    proven = best.proven and found[1] == best.cost
    return as_plan(problem, [order], engine=best.engine, proven=proven), found[1]


def _reason(known: Sequence[Stop], stops: Sequence[Stop]) -> str:
    before, after = [stop.key for stop in known], [stop.key for stop in stops]
    if not known:
        return "FIRST_PLAN"
    if sorted(before) != sorted(after):
        return "WORK_CHANGED"
    return "TIMES_MOVED" if before == after else "ORDER_IMPROVED"


def _metres(problem: Problem, visits: Sequence[Visit], metres: Sequence[Sequence[int]]) -> int:
    return sum(
        metres[a][b]
        for a, b in pairwise([0, *(problem.tasks[visit.task].place for visit in visits)])
    )


def _late(problem: Problem, visits: Sequence[Visit]) -> int:
    dues = [(visit.leave, problem.tasks[visit.task].due) for visit in visits]
    return sum(max(0, leave - due) for leave, due in dues if due is not None)


def _emptied(stored: Stored, now: datetime) -> list[Change]:
    """Return the change that empties the plan of a driver whose deliveries have all ended."""
    nothing: dict[str, Value] = {
        "stops": "[]",
        "distance_m": 0,
        "duration_s": 0,
        "inputs_sha256": NO_INPUTS,
    }
    said: ChangeExtras = {"payload": {"driver_id": stored.driver_id, "stops": []}}
    after: dict[str, Value] = {"state": "EMPTY", "planned_at": now, **nothing}
    return _written(stored.driver_id, stored, "WORK_ENDED", after, said, now)


def _written(
    driver_id: int,
    stored: Stored | None,
    reason: str,
    after: dict[str, Value],
    said: ChangeExtras,
    now: datetime,
) -> list[Change]:
    """Return the change with the columns that differ from the stored ones, all of them at birth."""
    group = ChangeSet(("driver", driver_id), now)
    event = "route_planned" if after["state"] == "PLANNED" else "route_emptied"
    if stored is None:
        group.insert("route", driver_id, event, reason, after, **said)
    else:
        changed = {name: value for name, value in after.items() if getattr(stored, name) != value}
        group.change("route", stored, event, reason, changed, **said)
    return group.changes


FEATURE = Feature(
    name="routes",
    flag="routes",
    sql=Path(__file__).with_name("reads.sql"),
    reads=READS,
    units={"held": "driver_id", "plans": "id"},
    params=Params,
    decide=decide,
)

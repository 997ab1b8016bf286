"""The routes sweep: plans the stops of every driver with work, and writes only what the driver would notice.

A plan is made again when its inputs have changed (`inputs_sha256`: work, promises, position,
parameters, seed) or its first stop is overdue. It is written if the stops differ or an ETA has moved.

The stop in motion stays first, and the order that the driver knows is kept unless a new one clearly
saves time: drivers whose list changes every minute stop trusting it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import groupby, pairwise
from pathlib import Path

from dispatchkit.decide.routes.driver_work import DriverWork, problem_of, work_of
from dispatchkit.decide.routes.model import READS, Carrier, HeldDelivery, Params
from dispatchkit.decide.routes.stops import ListedStop, differs, list_stops, overdue, parse
from dispatchkit.domain.change_set import ChangeExtras, ChangeSet
from dispatchkit.domain.changes import Change, Value
from dispatchkit.domain.codes import ChangeReason, EventName
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Decision, Feature, Frames
from dispatchkit.domain.rows import Ping, Route
from dispatchkit.kernel.canonical_json import canonical
from dispatchkit.routing.engines import answer
from dispatchkit.routing.problem import Plan, Problem, Visit, as_plan, schedule
from dispatchkit.travel.interface import Travel

NO_INPUTS = sha256(b"").hexdigest()


def decide(frames: Frames, params: Params, now: datetime, travel: Travel, seed: int) -> Decision:
    """Return one change for each driver whose plan differs from the stored one, by driver id."""
    held = sorted(rows(frames["held"], HeldDelivery), key=lambda row: (row.driver_id, row.id))
    carriers = {driver.id: driver for driver in rows(frames["carriers"], Carrier)}
    pings = {ping.driver_id: ping for ping in rows(frames["pings"], Ping)}
    stored_plans = {plan.id: plan for plan in rows(frames["plans"], Route)}

    changes: list[Change] = []
    for driver_id, deliveries in groupby(held, key=lambda row: row.driver_id):
        if driver_id not in carriers:
            continue  # the driver's row broke its contract and is reported as such
        work = work_of(list(deliveries), carriers[driver_id], pings.get(driver_id))
        changes += _replan(work, stored_plans.get(driver_id), params, now, travel, seed)

    with_work = {row.driver_id for row in held}
    for stored in stored_plans.values():
        if stored.id not in with_work and stored.state == "PLANNED":
            changes += _empty(stored, now)
    return Decision(sorted(changes, key=lambda change: change.id))


def _replan(
    work: DriverWork,
    stored: Route | None,
    params: Params,
    now: datetime,
    travel: Travel,
    seed: int,
) -> list[Change]:
    """Return the change to a driver's plan, if the driver would notice it."""
    is_planned = stored is not None and stored.state == "PLANNED"
    known = parse(stored.stops) if stored and is_planned else []
    inputs_sha256 = work.fingerprint(params, travel.name, seed)
    same_inputs = stored is not None and is_planned and stored.inputs_sha256 == inputs_sha256
    if same_inputs and not overdue(known, params.eta_tolerance, now):
        return []

    problem, metres = problem_of(work, params, now, travel)
    best = answer(problem, exact_up_to=params.exact_up_to, solutions=params.solutions, seed=seed)
    plan, known_cost = _prefer_known(problem, work, known, best, params.min_gain)
    stops = list_stops(work, plan, now)
    if is_planned and not differs(known, stops, params.eta_tolerance):
        return []

    visits = plan.routes[0].visits if plan.routes else ()
    columns: dict[str, Value] = {
        "driver_id": work.driver.id,
        "state": "PLANNED",
        "planned_at": now,
        "stops": canonical([stop.entry() for stop in stops]),
        "distance_m": _distance_m(problem, visits, metres),
        "duration_s": visits[-1].leave if visits else 0,
        "engine": plan.engine,
        "inputs_sha256": inputs_sha256,
    }
    extras: ChangeExtras = {
        "expects": tuple(("delivery", row.id, row.version) for row in work.held),
        "payload": {"driver_id": work.driver.id, "stops": [stop.entry() for stop in stops]},
        "why": {
            "proven": plan.proven,
            "cost": plan.cost,
            "best_cost": best.cost,
            "known_cost": known_cost,
            "late_s": _late_s(problem, visits),
            "start": work.start_from,
            "in_motion": None if work.first is None else list(work.stops[work.first].key),
            "travel": travel.name,
        },
    }
    return _write(work.driver.id, stored, _reason(known, stops), columns, extras, now)


def _prefer_known(
    problem: Problem,
    work: DriverWork,
    known: Sequence[ListedStop],
    best: Plan,
    min_gain: timedelta,
) -> tuple[Plan, int | None]:
    """Return the plan to use and the cost of the known order, None if that is no longer possible.

    The known order is kept if the same stops are left and the best plan saves less than `min_gain`.
    """
    index = {stop.key: i for i, stop in enumerate(work.stops)}
    order = [index[stop.key] for stop in known if stop.eta is not None and stop.key in index]
    if not order or len(order) != len(index) or best.unplanned:
        return best, None
    timed = schedule(problem, 0, order)
    if timed is None:
        return best, None
    _, known_cost = timed
    if known_cost > best.cost and known_cost - best.cost >= min_gain.total_seconds():
        return best, known_cost
    proven = best.proven and known_cost == best.cost
    return as_plan(problem, [order], engine=best.engine, proven=proven), known_cost


def _reason(known: Sequence[ListedStop], stops: Sequence[ListedStop]) -> str:
    """Return why a plan is written."""
    before, after = [stop.key for stop in known], [stop.key for stop in stops]
    if not known:
        return ChangeReason.FIRST_PLAN
    if sorted(before) != sorted(after):
        return ChangeReason.WORK_CHANGED
    return ChangeReason.TIMES_MOVED if before == after else ChangeReason.ORDER_IMPROVED


def _distance_m(problem: Problem, visits: Sequence[Visit], metres: Sequence[Sequence[int]]) -> int:
    """Return the length of a route from its start to its last stop."""
    places = [0, *(problem.tasks[visit.task].place for visit in visits)]
    return sum(metres[a][b] for a, b in pairwise(places))


def _late_s(problem: Problem, visits: Sequence[Visit]) -> int:
    """Return how many seconds late the drop-offs are, in sum."""
    dues = [(visit.leave, problem.tasks[visit.task].due) for visit in visits]
    return sum(max(0, leave - due) for leave, due in dues if due is not None)


def _empty(stored: Route, now: datetime) -> list[Change]:
    """Return the change that empties the plan of a driver whose deliveries have all ended."""
    columns: dict[str, Value] = {
        "state": "EMPTY",
        "planned_at": now,
        "stops": "[]",
        "distance_m": 0,
        "duration_s": 0,
        "inputs_sha256": NO_INPUTS,
    }
    extras: ChangeExtras = {"payload": {"driver_id": stored.driver_id, "stops": []}}
    return _write(stored.driver_id, stored, ChangeReason.WORK_ENDED, columns, extras, now)


def _write(
    driver_id: int,
    stored: Route | None,
    reason: str,
    columns: dict[str, Value],
    extras: ChangeExtras,
    now: datetime,
) -> list[Change]:
    """Return the change of a driver's plan: of a stored one only the columns that differ."""
    changes = ChangeSet(("driver", driver_id), now)
    event = EventName.ROUTE_PLANNED if columns["state"] == "PLANNED" else EventName.ROUTE_EMPTIED
    if stored is None:
        changes.insert("route", driver_id, event, reason, columns, **extras)
    else:
        changed = {k: value for k, value in columns.items() if getattr(stored, k) != value}
        changes.change("route", stored, event, reason, changed, **extras)
    return changes.changes


FEATURE = Feature(
    name="routes",
    flag="routes",
    sql=Path(__file__).with_name("reads.sql"),
    reads=READS,
    units={"held": "driver_id", "plans": "id"},
    params=Params,
    decide=decide,
)

"""Why a delivery is with this driver, or with none: what was decided and done, and what a sweep would say now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from dispatchkit.config import Settings
from dispatchkit.decide.offers.why_not import why_not as bars
from dispatchkit.domain.feature import Frames
from dispatchkit.domain.states import DELIVERY, OPEN, WITH_DRIVER
from dispatchkit.flows.explain import explanation_text as because
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.gather import gather, queries
from dispatchkit.kernel.canonical_json import plain
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import Refused
from dispatchkit.kernel.flags import bucket
from dispatchkit.store import read
from dispatchkit.store.postgres import PostgresStore

SQL = Path(__file__).with_name("why.sql")
AHEAD = ("CREATED", "SCHEDULED")
Said = dict[str, Any]


def why(store: PostgresStore, settings: Settings, delivery: int) -> Said:
    """Return what is known of a delivery, fit for JSON: its state, and what that came of.

    With a driver: `assigned`, and the `suspicion` against him. Seeking one: `seeking`. Over: `ended`. Beside that who
    was asked, from whom it was taken, and which acts were refused; `because` says it in sentences. Raises Refused if
    there is no such delivery.
    """
    now = store.clock()
    told = _told(store, delivery)
    row = told["delivery"][0]
    said: Said = {
        "delivery": delivery,
        "state": row["state"],
        "driver": row["driver_id"],
        "now": rfc3339(now),
    }
    if row["state"] in WITH_DRIVER and row["driver_id"] is not None:
        said |= {"assigned": _assigned(told), "suspicion": next(iter(told["suspicion"]), None)}
    if row["state"] in OPEN or row["state"] in AHEAD:
        said["seeking"] = _seeking(store, settings, told, now)
    if row["state"] in DELIVERY.terminal:
        by = {key: row[key] for key in ("ended_at", "ended_by", "ended_while", "liable")}
        said["ended"] = by | {"step": _step(told["steps"], "state", row["state"])}
    said |= {"asked": told["offers"], "released": told["releases"], "refused": told["refusals"]}
    said = plain(said)
    return said | {"because": because.why(said)}


def why_not(store: PostgresStore, settings: Settings, delivery: int, driver: int) -> Said:
    """Return why a delivery is not with a driver: the first rule that bars him, in numbers, and what would relax it.

    Raises Refused if there is no such delivery or driver.
    """
    now = store.clock()
    told = _told(store, delivery)
    if store.read({"driver": queries(SQL)["driver"]}, {"driver": driver})["driver"].is_empty():
        raise Refused(f"there is no driver {driver}")
    row = told["delivery"][0]
    said: Said = {
        "delivery": delivery,
        "driver": driver,
        "state": row["state"],
        "now": rfc3339(now),
    }
    if row["state"] in OPEN or row["state"] in AHEAD:
        frames, held = _frames(store, settings, delivery, now)
        if not held and delivery not in frames["deliveries"]["id"]:
            held = {"rule": "NOT_DUE", "relax": f"from {rfc3339(row['dispatch_at'])} on"}
        params = catalog.params(catalog.feature("offers"), settings)
        found = held or bars(frames, params, now, catalog.travel(settings), delivery, driver)
        said |= {
            key: value for key, value in found.items() if key not in ("delivery_id", "driver_id")
        }
    else:
        said |= _settled(told, driver)
    said["asked"] = [offer for offer in told["offers"] if offer["driver_id"] == driver]
    said["released"] = [case for case in told["releases"] if case["driver_id"] == driver]
    said = plain(said)
    return said | {"because": because.why_not(said)}


def _told(store: PostgresStore, delivery: int) -> dict[str, list[Said]]:
    named = {name: sql for name, sql in queries(SQL).items() if name != "driver"}
    found = read.frames(store.engine, named, {"delivery": delivery}, store.waits, "dk_verify")
    if found["delivery"].is_empty():
        raise Refused(f"there is no delivery {delivery}")
    return {name: frame.to_dicts() for name, frame in found.items()}


def _assigned(told: Mapping[str, list[Said]]) -> Said:
    """Return the step by which the present driver got it, the offer he accepted, and the decision behind either."""
    row = told["delivery"][0]
    step = _step(told["steps"], "driver_id", row["driver_id"])
    accepted = [
        o for o in told["offers"] if o["state"] == "ACCEPTED" and o["driver_id"] == row["driver_id"]
    ]
    offer = next((o for o in accepted if o["episode"] == row["episode"]), None)
    decision = None
    if offer:
        decision = _decision(told["decisions"], "offer", offer["id"], 0)
    elif step:
        decision = _decision(told["decisions"], "delivery", row["id"], step["row_version"] - 1)
    return {
        "since": row["assigned_at"],
        "lock_until": row["lock_until"],
        "step": step,
        "offer": offer and offer["id"],
        "decision": decision,
    }


def _step(steps: Sequence[Said], column: str, value: object) -> Said | None:
    """Return the latest step that gave a column this value, None if the trail does not hold it any more."""
    for before, step in reversed(list(zip([None, *steps], steps, strict=False))):
        if step[column] == value and (before is None or before[column] != value):
            return step
    return None


def _decision(decisions: Sequence[Said], entity: str, id_: int, version: int) -> Said | None:
    """Return the decision that took a row from a version on, its explanation and its run's parameters unpacked."""
    wanted = (entity, id_, version)
    found = next(
        (d for d in decisions if (d["entity"], d["row_id"], d["row_version"]) == wanted), None
    )
    if found is None:
        return None
    unpacked = {key: json.loads(found[key]) if found[key] else None for key in ("why", "params")}
    return {
        "rule": found["reason"],
        **{k: v for k, v in found.items() if k not in ("reason", "row_version")},
        **unpacked,
    }


def _seeking(
    store: PostgresStore, settings: Settings, told: Mapping[str, list[Said]], now: datetime
) -> Said:
    """Return its search and ladder, who is being asked and why him, and what the offers sweep would do with it now."""
    row = told["delivery"][0]
    pending = [o for o in told["offers"] if o["state"] == "PENDING"]
    asked = [
        {"driver": o["driver_id"], "offer": o["id"], "until": o["expires_at"]}
        | {"decision": _decision(told["decisions"], "offer", o["id"], 0)}
        for o in pending
    ]
    return {
        "search": next(iter(told["search"]), None),
        "attempts": row["attempt"],
        "due": row["dispatch_at"],
        "last_release": told["releases"][-1] if told["releases"] else None,
        "asking": asked,
        "next": _next(store, settings, row["id"], now),
    }


def _next(store: PostgresStore, settings: Settings, delivery: int, now: datetime) -> Said:
    """Return what the offers sweep would do now: ask somebody (`driver`), or nobody, by which `rule`."""
    frames, held = _frames(store, settings, delivery, now)
    if held:
        return held
    offers, travel = catalog.feature("offers"), catalog.travel(settings)
    params = catalog.params(offers, settings)
    assert offers.decide is not None
    decision = offers.decide(frames, params, now, travel, seed=0)
    for change in decision.changes:
        if change.root == ("delivery", delivery) and change.event == "offer_created":
            return {
                "rule": change.reason,
                "driver": change.after["driver_id"],
                "why": dict(change.why),
            }
    for found in decision.explanations():
        if found["delivery_id"] == delivery:
            return {key: value for key, value in found.items() if key != "delivery_id"}
    row = frames["deliveries"].filter(pl.col("id") == delivery)
    waits = "ROUND_UNDER_WAY" if row["state"].to_list() == ["OFFERING"] else "NOT_DUE"
    return {"rule": waits}


def _frames(
    store: PostgresStore, settings: Settings, delivery: int, now: datetime
) -> tuple[Frames, Said]:
    """Return what the offers sweep would read now, and why this delivery is not in it, if the rollout leaves it out."""
    offers = catalog.feature("offers")
    flag = settings.flag(offers.flag)
    wanted = f"above {bucket(flag.name, delivery) / 100:g} %" if flag.enabled else "switched on"
    held = (
        {}
        if flag.admits(delivery)
        else {"rule": "HELD_BY_FLAG", "relax": f"flag {flag.name} {wanted}"}
    )
    return gather(store, offers, flag, now).frames, held


def _settled(told: Mapping[str, list[Said]], driver: int) -> Said:
    """Return why a delivery that seeks nobody is not with a driver: it is his, it has ended, or another has it."""
    row = told["delivery"][0]
    if row["driver_id"] == driver:
        return {"rule": None, "relax": None}
    if row["driver_id"] is None:
        return {"rule": f"IS_{row['state']}", "relax": None}
    decision = _assigned(told)["decision"]
    known = (decision or {}).get("why") or {}
    second = known.get("runner_up") == driver
    return {
        "rule": "OTHERS_SOONER" if second else "WITH_ANOTHER",
        "relax": f"an expected pickup more than {known['margin_s']} s sooner"
        if second and "margin_s" in known
        else None,
        "chosen": row["driver_id"],
        "decision": decision,
    }

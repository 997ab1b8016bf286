"""Why a delivery is with its driver, or with none: past decisions and acts, and what a sweep would do now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from dispatchkit.config import Settings
from dispatchkit.decide.offers.not_offered import why_not as check_driver
from dispatchkit.domain.feature import Frames
from dispatchkit.domain.states import DELIVERY, OPEN, WITH_DRIVER
from dispatchkit.flows.explain import explanation_text
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.gather import gather, queries
from dispatchkit.kernel.canonical_json import plain
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import Refused
from dispatchkit.kernel.flags import bucket
from dispatchkit.store.contract import Store

SQL = Path(__file__).with_name("why.sql")
NOT_YET_DUE = ("CREATED", "SCHEDULED")
OLD_KEYS = {  # of a decision's `why`, as the first version wrote them
    "chosen": "chosen_driver_id",
    "runner_up": "runner_up_driver_id",
    "refused": "refused_offers",
    "seen": "evidence",
    "other": "other_driver_id",
    "gained_s": "time_saved_s",
    "soonest": "soonest_driver_id",
}
Document = dict[str, Any]


def why(store: Store, settings: Settings, delivery: int) -> Document:
    """Return what is known of a delivery, fit for JSON: its state and the reasons for it.

    With a driver: `assignment`, and the `suspicion` against the driver. Open: `search`. Ended:
    `ending`. In every case the `offers` made, the `releases` from earlier drivers and the
    `refused_acts`; `explanation` says it in sentences. Raises Refused for an unknown delivery.
    """
    now = store.clock()
    history = _history(store, delivery)
    row = history["delivery"][0]
    document: Document = {
        "delivery_id": delivery,
        "state": row["state"],
        "driver_id": row["driver_id"],
        "now": rfc3339(now),
    }
    if row["state"] in WITH_DRIVER and row["driver_id"] is not None:
        document["assignment"] = _assignment(history)
        document["suspicion"] = next(iter(history["suspicion"]), None)
    if row["state"] in OPEN or row["state"] in NOT_YET_DUE:
        document["search"] = _search(store, settings, history, now)
    if row["state"] in DELIVERY.terminal:
        ending = {key: row[key] for key in ("ended_at", "ended_by", "ended_while", "liable")}
        document["ending"] = ending | {"step": _step(history["steps"], "state", row["state"])}
    document["offers"] = history["offers"]
    document["releases"] = history["releases"]
    document["refused_acts"] = history["refusals"]
    document = plain(document)
    return document | {"explanation": explanation_text.why(document)}


def why_not(store: Store, settings: Settings, delivery: int, driver: int) -> Document:
    """Return why a delivery is not with a driver: the first rule against it, figures, the relaxation.

    Raises Refused if there is no such delivery or driver.
    """
    now = store.clock()
    history = _history(store, delivery)
    if store.read({"driver": queries(SQL)["driver"]}, {"driver": driver})["driver"].is_empty():
        raise Refused(f"there is no driver {driver}")
    row = history["delivery"][0]
    document: Document = {
        "delivery_id": delivery,
        "driver_id": driver,
        "state": row["state"],
        "now": rfc3339(now),
    }
    if row["state"] in OPEN or row["state"] in NOT_YET_DUE:
        frames, blocked = _frames(store, settings, delivery, now)
        if not blocked and delivery not in frames["deliveries"]["id"]:
            blocked = {"rule": "NOT_DUE", "relaxation": f"from {rfc3339(row['dispatch_at'])} on"}
        params = catalog.params(catalog.feature("offers"), settings)
        document |= blocked or check_driver(
            frames, params, now, catalog.travel(settings), delivery, driver
        )
    else:
        document |= _not_open(history, driver)
    document["offers"] = [o for o in history["offers"] if o["driver_id"] == driver]
    document["releases"] = [case for case in history["releases"] if case["driver_id"] == driver]
    document = plain(document)
    return document | {"explanation": explanation_text.why_not(document)}


def _history(store: Store, delivery: int) -> dict[str, list[Document]]:
    """Return the rows of every query of why.sql. Raises Refused if there is no such delivery."""
    named = {name: sql for name, sql in queries(SQL).items() if name != "driver"}
    frames = store.trail.read(named, {"delivery": delivery})
    if frames["delivery"].is_empty():
        raise Refused(f"there is no delivery {delivery}")
    return {name: frame.to_dicts() for name, frame in frames.items()}


def _assignment(history: Mapping[str, list[Document]]) -> Document:
    """Return the step that assigned the present driver, the accepted offer, and the decision behind it."""
    row = history["delivery"][0]
    step = _step(history["steps"], "driver_id", row["driver_id"])
    accepted = [
        o
        for o in history["offers"]
        if o["state"] == "ACCEPTED" and o["driver_id"] == row["driver_id"]
    ]
    offer = next((o for o in accepted if o["episode"] == row["episode"]), None)
    decision = None
    if offer:
        decision = _decision(history["decisions"], "offer", offer["id"], 0)
    elif step:
        decision = _decision(history["decisions"], "delivery", row["id"], step["row_version"] - 1)
    return {
        "since": row["assigned_at"],
        "lock_until": row["lock_until"],
        "step": step,
        "offer_id": offer and offer["id"],
        "decision": decision,
    }


def _step(steps: Sequence[Document], column: str, value: object) -> Document | None:
    """Return the latest step that gave a column this value, None if the trail no longer has it."""
    for before, step in reversed(list(zip([None, *steps], steps, strict=False))):
        if step[column] == value and (before is None or before[column] != value):
            return step
    return None


def _decision(
    decisions: Sequence[Document], entity: str, id_: int, version: int
) -> Document | None:
    """Return the decision that changed this version of a row, with `why` and `params` as JSON."""
    wanted = (entity, id_, version)
    decision = next(
        (d for d in decisions if (d["entity"], d["row_id"], d["row_version"]) == wanted), None
    )
    if decision is None:
        return None
    why = json.loads(decision["why"]) if decision["why"] else None
    return {
        "rule": decision["reason"],
        **{k: v for k, v in decision.items() if k not in ("reason", "row_version")},
        "why": why and {OLD_KEYS.get(key, key): value for key, value in why.items()},
        "params": json.loads(decision["params"]) if decision["params"] else None,
    }


def _search(
    store: Store, settings: Settings, history: Mapping[str, list[Document]], now: datetime
) -> Document:
    """Return the open episode, the pending offers with their decisions, and what a sweep would do now."""
    row = history["delivery"][0]
    pending = [
        {
            "offer_id": offer["id"],
            "driver_id": offer["driver_id"],
            "expires_at": offer["expires_at"],
            "decision": _decision(history["decisions"], "offer", offer["id"], 0),
        }
        for offer in history["offers"]
        if offer["state"] == "PENDING"
    ]
    return {
        "episode": next(iter(history["episode"]), None),
        "attempts": row["attempt"],
        "due_at": row["dispatch_at"],
        "last_release": history["releases"][-1] if history["releases"] else None,
        "pending_offers": pending,
        "next": _next(store, settings, row["id"], now),
    }


def _next(store: Store, settings: Settings, delivery: int, now: datetime) -> Document:
    """Return what the offers sweep would do now: make an offer (`driver_id`), or none, by which `rule`."""
    frames, blocked = _frames(store, settings, delivery, now)
    if blocked:
        return blocked
    offers, travel = catalog.feature("offers"), catalog.travel(settings)
    params = catalog.params(offers, settings)
    assert offers.decide is not None
    decision = offers.decide(frames, params, now, travel, seed=0)
    for change in decision.changes:
        if change.root == ("delivery", delivery) and change.event == "offer_created":
            return {
                "rule": change.reason,
                "driver_id": change.after["driver_id"],
                "why": dict(change.why),
            }
    for reasons in decision.explanations():
        if reasons["delivery_id"] == delivery:
            return {key: value for key, value in reasons.items() if key != "delivery_id"}
    row = frames["deliveries"].filter(pl.col("id") == delivery)
    offering = row["state"].to_list() == ["OFFERING"]
    return {"rule": "ROUND_UNDER_WAY" if offering else "NOT_DUE"}


def _frames(
    store: Store, settings: Settings, delivery: int, now: datetime
) -> tuple[Frames, Document]:
    """Return the frames of the offers sweep, and the rule if the rollout leaves this delivery out."""
    offers = catalog.feature("offers")
    flag = settings.flag(offers.flag)
    wanted = f"above {bucket(flag.name, delivery) / 100:g} %" if flag.enabled else "switched on"
    blocked: Document = {}
    if not flag.admits(delivery):
        blocked = {"rule": "HELD_BY_FLAG", "relaxation": f"flag {flag.name} {wanted}"}
    return gather(store, offers, flag, now).frames, blocked


def _not_open(history: Mapping[str, list[Document]], driver: int) -> Document:
    """Return why a delivery without an open search is not with a driver: ended, or with another one.

    The rule is None if it is with this driver.
    """
    row = history["delivery"][0]
    if row["driver_id"] == driver:
        return {"rule": None, "relaxation": None}
    if row["driver_id"] is None:
        return {"rule": f"IS_{row['state']}", "relaxation": None}
    decision = _assignment(history)["decision"]
    why = (decision or {}).get("why") or {}
    runner_up = why.get("runner_up_driver_id") == driver
    relaxation = None
    if runner_up and "margin_s" in why:
        relaxation = f"an expected pickup more than {why['margin_s']} s sooner"
    return {
        "rule": "OTHERS_SOONER" if runner_up else "WITH_ANOTHER",
        "relaxation": relaxation,
        "chosen_driver_id": row["driver_id"],
        "decision": decision,
    }

"""A refused act is recorded in both stores: actor, event, state found, and code."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dispatchkit.domain.feature import Event
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.act import act
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.store.memory import MemoryStore
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.contract.both import Either, table

COLUMNS = ("actor", "event", "root", "root_id", "offer_id", "was", "code")


def lines(store: Either) -> list[tuple[Any, ...]]:
    """Return the recorded refusals by COLUMNS, in order."""
    if isinstance(store, MemoryStore):
        rows = [r | {"root": r["root"][0], "root_id": r["root"][1]} for r in store.refusals]
        return [tuple(r[name] for name in COLUMNS) for r in rows]
    with store.engine.connect() as on:
        return [
            tuple(r)
            for r in on.exec_driver_sql(f"SELECT {', '.join(COLUMNS)} FROM dk.refusals ORDER BY id")
        ]


def first(table: str, **columns: Any) -> dict[str, Any]:
    return databases.sample_frames()[table].filter(**columns).sort("id").row(0, named=True)


def at(store: Either, now: datetime) -> Either:
    """Return the store with its clock set."""
    if isinstance(store, PostgresStore):
        return PostgresStore(store.engine, now=now)
    store.now = now
    return store


def refused_case(case: str) -> tuple[Event, tuple[Any, ...]]:
    """Return an event that is refused, and the line it leaves."""
    done, taken = (
        first("deliveries", state="DELIVERED")["id"],
        first("driver_offers", state="ACCEPTED"),
    )
    off, nobody = first("drivers", duty="OFF_DUTY")["id"], 999_999_999
    offer, driver, delivery = taken["id"], taken["driver_id"], taken["delivery_id"]
    asked = first("driver_offers", state="PENDING")["driver_id"]
    away = {"to": None, "reason": "FLAT_TYRE"}
    cases = {
        "an offer that is not there": (
            Event(name="accept", actor="driver:1", offer_id=nobody, driver_id=1),
            ("driver:1", "accept", "delivery", 0, nobody, None, "NOT_FOUND"),
        ),
        "an offer that is not there, by a driver who is being asked": (
            Event(name="accept", actor="driver:0", offer_id=nobody, driver_id=asked),
            ("driver:0", "accept", "delivery", 0, nobody, None, "NOT_FOUND"),
        ),
        "an offer that was accepted": (
            Event(name="decline", actor="driver:0", offer_id=offer, driver_id=driver),
            ("driver:0", "decline", "delivery", delivery, offer, "ACCEPTED", "ILLEGAL_TRANSITION"),
        ),
        "a delivery that has ended": (
            Event(name="reassign", actor="ops", delivery_id=done, args=away),
            ("ops", "reassign", "delivery", done, None, "DELIVERED", "ILLEGAL_TRANSITION"),
        ),
        "a delivery that is not there": (
            Event(name="reassign", actor="ops", delivery_id=nobody, args=away),
            ("ops", "reassign", "delivery", nobody, None, None, "NOT_FOUND"),
        ),
        "a driver at home": (
            Event(name="break", actor="driver:0", driver_id=off),
            ("driver:0", "break", "driver", off, None, "OFF_DUTY", "ILLEGAL_TRANSITION"),
        ),
    }
    return cases[case]


@pytest.mark.parametrize(
    "case",
    [
        "an offer that is not there",
        "an offer that is not there, by a driver who is being asked",
        "an offer that was accepted",
        "a delivery that has ended",
        "a delivery that is not there",
        "a driver at home",
    ],
)
def test_refusal_records_actor_event_state_and_code(store, case):
    event, line = refused_case(case)
    dry = act(store, catalog.settings(), event, dry_run=True)
    assert (dry.answer.refused, lines(store)) == (True, [])
    assert act(store, catalog.settings(), event).answer.code == line[-1]
    assert lines(store) == [line]


@pytest.mark.parametrize(
    "name", ["accept", "decline", "viewed", "undeliverable", "cancel", "break"]
)
def test_answer_before_the_offer_is_clock_skew(store, now, name):
    sweep(store, catalog.settings(), "offers", Options())
    asked = table(store, "driver_offers").filter(sent_at=now).row(0, named=True)
    roots = {
        "cancel": {"delivery_id": asked["delivery_id"]},
        "break": {"driver_id": asked["driver_id"]},
    }
    of = roots.get(name, {"offer_id": asked["id"], "driver_id": asked["driver_id"]})
    event = Event(name=name, actor="ops", args={"by": "customer"}, **of)
    early = act(at(store, now - timedelta(microseconds=1)), catalog.settings(), event).answer
    assert (early.code, early.refused) == ("CLOCK_SKEW", True)
    assert act(at(store, now), catalog.settings(), event).answer.code == "OK"

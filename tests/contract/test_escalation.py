"""Escalation beside people who act, in both stores: the first commit wins, no event twice."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from dispatchkit.config import Settings
from dispatchkit.decide.escalation.model import Params
from dispatchkit.decide.escalation.policy import FEATURE, decide
from dispatchkit.domain.feature import Event
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.act import act
from dispatchkit.flows.live.gather import gather
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.flags import Flag
from dispatchkit.store.contract import Outcome, Run, RunRequest
from dispatchkit.travel.straight_line import StraightLine
from tests.contract.both import Either, events, row, table, written

SECOND = timedelta(seconds=1)
AT_ONCE = Params(age_1=SECOND, age_2=SECOND, age_3=SECOND, age_4=SECOND, unfulfilled=SECOND)
ESCALATED = "unassigned_order_escalated"


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    """Return the settings that hold where no file says otherwise."""
    monkeypatch.chdir(tmp_path)
    return catalog.settings()


@pytest.fixture
def offer(store, settings) -> dict[str, Any]:
    """Return an offer that has just been sent."""
    sweep(store, settings, "offers", Options())
    pending = table(store, "driver_offers").filter(pl.col("state") == "PENDING")
    return pending.sort("sent_at", "id").row(-1, named=True)


def decided(run: Run, params: Params = AT_ONCE) -> list[Any]:
    frames = gather(run, FEATURE, Flag(name="escalation"), run.now).frames
    return list(decide(frames, params, run.now, StraightLine(), 0).changes)


def giving_up(store: Either) -> Outcome:
    """Return what became of a sweep that gives every search up, after one that climbed."""
    _swept(store)
    return _swept(store)


def _swept(store: Either) -> Outcome:
    with store.sweeping(RunRequest(sweep="escalation")) as run:
        assert run is not None
        return written(run, decided(run))


def accepted(store: Either, settings: Settings, offer: dict[str, Any]) -> str:
    driver = offer["driver_id"]
    event = Event(name="accept", actor=f"driver:{driver}", offer_id=offer["id"], driver_id=driver)
    return act(store, settings, event).answer.code


def test_acceptance_during_escalation_wins(store, settings, offer):
    """The changes for that delivery are stale, and no escalation event leaves."""
    delivery = offer["delivery_id"]
    with store.sweeping(RunRequest(sweep="escalation")) as run:
        changes = decided(run)
        assert accepted(store, settings, offer) == "OK"
        outcome = written(run, changes)
    its = [change for change in changes if change.root == ("delivery", delivery)]
    assert its and len(outcome.stale) == len(its)
    assert (outcome.applied, outcome.poison) == (len(changes) - len(its), 0)
    assert row(store, "deliveries", delivery)["state"] == "ASSIGNED"
    assert not [
        event
        for event in events(store)
        if event[0] == ESCALATED and event[3]["deliveryId"] == str(delivery)
    ]


def test_pending_offer_survives_unfulfilled_searches(store, settings, offer):
    outcome = giving_up(store)
    assert (outcome.stale, outcome.poison) == ([], 0)
    assert table(store, "deliveries").filter(pl.col("state") == "UNASSIGNED").is_empty()
    assert accepted(store, settings, offer) == "OK"
    assert row(store, "deliveries", offer["delivery_id"])["state"] == "ASSIGNED"


def test_repeated_sweep_escalates_nothing_again(store, settings, offer):
    giving_up(store)
    sent = events(store)
    assert giving_up(store) == Outcome()
    assert events(store) == sent
    levels = Counter(
        (event[3]["deliveryId"], event[3]["level"]) for event in sent if event[0] == ESCALATED
    )
    assert set(levels.values()) == {1}


def test_level_raised_by_hand_is_announced_once(store, settings):
    searching = table(store, "unassigned_orders").filter(
        (pl.col("state") == "OPEN") & (pl.col("level") == 0)
    )
    delivery = int(searching.sort("id")["delivery_id"][0])
    soon = Params(age_1=SECOND, age_2=SECOND, age_3=SECOND)
    with store.sweeping(RunRequest(sweep="escalation")) as run:
        changes = decided(run, soon)
        raised = Event(name="escalate", actor="ops", delivery_id=delivery, args={"level": 3})
        assert act(store, settings, raised).answer.code == "OK"
        outcome = written(run, changes)
    assert {(stale.entity) for stale in outcome.stale} >= {"episode", "ticket"}
    sent = [
        event[3]["level"]
        for event in events(store)
        if event[0] == ESCALATED and event[3]["deliveryId"] == str(delivery)
    ]
    assert sent == [1, 2, 3]
    tickets = table(store, "support_tickets").filter(
        (pl.col("delivery_id") == delivery) & (pl.col("state") == "OPEN")
    )
    assert tickets.height == 1

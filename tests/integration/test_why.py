"""`why` explains an assignment or a waiting delivery: the decision, act or rule, and refused acts."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from dispatchkit.config import Settings
from dispatchkit.domain.feature import Event
from dispatchkit.flows.explain.why import why, why_not
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.act import Acted, act
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.errors import Refused
from dispatchkit.store.postgres import PostgresStore
from tests import databases

NOW = databases.NOW
SOON = NOW + timedelta(seconds=5)
ASKED = """SELECT f.id, f.driver_id, f.delivery_id, encode(o.decision_id, 'hex')
  FROM dk.driver_offers f
  JOIN dk.outbox o ON o.row_id = f.id AND o.event = 'offer_created' ORDER BY o.id"""
IDLE = """SELECT min(id) FROM dk.drivers r WHERE duty = 'ON_DUTY'
  AND NOT EXISTS (SELECT FROM dk.driver_offers o WHERE o.driver_id = r.id AND o.state = 'PENDING')
  AND NOT EXISTS (SELECT FROM dk.deliveries d WHERE d.driver_id = r.id AND d.active)"""


def one(engine: Engine, query: str) -> Any:
    with engine.connect() as connection:
        return connection.exec_driver_sql(query).scalar_one()


@pytest.fixture
def run(sample_db) -> str:
    """Return the id of the run that made the offers."""
    swept = sweep(PostgresStore(sample_db, now=NOW), catalog.settings(), "offers", Options())
    assert swept.run_id
    return swept.run_id


@pytest.fixture
def offer(sample_db, run) -> Any:
    """Return (offer, driver, delivery, decision id) of the first offer that has a runner-up."""
    with sample_db.connect() as connection:
        found = connection.exec_driver_sql(ASKED).all()
    return next(row for row in found if _explained(sample_db, row[3])["runner_up_driver_id"])


def _explained(sample_db: Engine, decision: str) -> dict[str, Any]:
    with sample_db.connect() as connection:
        query = "SELECT why FROM dk.decisions WHERE decision_id = decode(%s, 'hex')"
        return dict(connection.exec_driver_sql(query, (decision,)).scalar_one())


def do(sample_db: Engine, name: str, actor: str, **event: Any) -> Acted:
    return act(
        PostgresStore(sample_db, now=SOON),
        catalog.settings(),
        Event(name=name, actor=actor, **event),
    )


def asked(sample_db: Engine, delivery: int, settings: Settings | None = None) -> dict[str, Any]:
    return why(PostgresStore(sample_db, now=SOON), settings or catalog.settings(), delivery)


def test_accepted_delivery_names_driver_decision_and_run(sample_db, run, offer):
    offer_id, driver, delivery, decision = offer
    do(sample_db, "accept", f"driver:{driver}", offer_id=offer_id, driver_id=driver)
    said = asked(sample_db, delivery)
    given = said["assignment"]
    assert (said["state"], said["driver_id"], given["offer_id"]) == ("ASSIGNED", driver, offer_id)
    assert (given["step"]["actor"], given["step"]["reason"], given["step"]["run_id"]) == (
        f"driver:{driver}",
        "accept",
        None,
    )
    behind = given["decision"]
    assert (behind["decision_id"], behind["run_id"], behind["rule"]) == (
        decision,
        run,
        "SOONEST_AT_PICKUP",
    )
    assert behind["why"] == _explained(sample_db, decision)
    assert behind["why"]["chosen_driver_id"] == driver
    assert len(behind["inputs_sha256"]) == 64
    assert behind["params"]["params"]["max_attempts"] == 8
    assert said["explanation"][:2] == [
        f"Delivery {delivery} is ASSIGNED, with driver {driver} since {SOON:%FT%TZ}.",
        f"Driver {driver} accepted offer {offer_id}.",
    ]
    assert f"before driver {behind['why']['runner_up_driver_id']}." in said["explanation"][2]


def test_second_candidate_is_shown_with_difference(sample_db, offer):
    offer_id, driver, delivery, decision = offer
    do(sample_db, "accept", f"driver:{driver}", offer_id=offer_id, driver_id=driver)
    told = _explained(sample_db, decision)
    said = why_not(
        PostgresStore(sample_db, now=SOON),
        catalog.settings(),
        delivery,
        told["runner_up_driver_id"],
    )
    assert (said["rule"], said["chosen_driver_id"]) == ("OTHERS_SOONER", driver)
    assert said["relaxation"] == f"an expected pickup more than {told['margin_s']} s sooner"
    assert (
        why_not(PostgresStore(sample_db, now=SOON), catalog.settings(), delivery, driver)["rule"]
        is None
    )


def test_manual_assignment_names_person_and_reason(sample_db, offer):
    _, driver, delivery, _ = offer
    to = one(sample_db, IDLE)
    done = do(
        sample_db,
        "reassign",
        "ops",
        delivery_id=delivery,
        driver_id=to,
        args={"to": to, "reason": "FLAT_TYRE"},
    )
    assert done.answer.code == "OK", done
    said = asked(sample_db, delivery)
    given = said["assignment"]
    assert (said["driver_id"], given["offer_id"], given["decision"]) == (to, None, None)
    assert (given["step"]["actor"], given["step"]["reason"]) == ("ops", "FLAT_TYRE")
    assert given["lock_until"] is not None
    assert "Assigned by ops: FLAT_TYRE." in said["explanation"]
    assert (
        why_not(PostgresStore(sample_db, now=SOON), catalog.settings(), delivery, driver)["rule"]
        == "WITH_ANOTHER"
    )


def test_pending_offer_explains_chosen_driver(sample_db, offer):
    offer_id, driver, delivery, decision = offer
    said = asked(sample_db, delivery)
    (asking,) = said["search"]["pending_offers"]
    assert (asking["driver_id"], asking["offer_id"], asking["decision"]["decision_id"]) == (
        driver,
        offer_id,
        decision,
    )
    assert said["search"]["next"] == {"rule": "ROUND_UNDER_WAY"}


def test_delivery_without_candidates_names_rule_and_relaxation(sample_db, offer):
    """The driver says no, and nobody else is within reach any more."""
    offer_id, driver, delivery, _ = offer
    do(
        sample_db,
        "decline",
        f"driver:{driver}",
        offer_id=offer_id,
        driver_id=driver,
        args={"reason": "TOO_FAR"},
    )
    near = Settings(tables={"offers": {"radius_start_m": 1, "radius_step_m": 0}})
    said = asked(sample_db, delivery, near)
    coming = said["search"]["next"]
    assert (coming["rule"], coming["radius_m"]) == ("OUTSIDE_RADIUS", 1)
    assert coming["relaxation"].startswith("radius ")
    assert any(
        f"(OUTSIDE_RADIUS). What would change it: {coming['relaxation']}." in line
        for line in said["explanation"]
    )
    assert said["search"]["episode"]["level"] == 0
    metres, other = (int(word) for word in coming["relaxation"].split() if word.isdigit())
    wider = Settings(tables={"offers": {"radius_start_m": metres, "radius_step_m": 0}})
    assert asked(sample_db, delivery, wider)["search"]["next"]["driver_id"] == other, (
        "the relaxation is enough"
    )
    barely = Settings(tables={"offers": {"radius_start_m": metres - 1, "radius_step_m": 0}})
    assert asked(sample_db, delivery, barely)["search"]["next"]["rule"] == "OUTSIDE_RADIUS", (
        "and no smaller one is"
    )


def test_declined_driver_differs_from_never_asked(sample_db, offer):
    offer_id, driver, delivery, _ = offer
    do(
        sample_db,
        "decline",
        f"driver:{driver}",
        offer_id=offer_id,
        driver_id=driver,
        args={"reason": "TOO_FAR"},
    )
    said = why_not(PostgresStore(sample_db, now=SOON), catalog.settings(), delivery, driver)
    assert said["rule"] == "ASKED_BEFORE"
    assert [(o["state"], o["cause"]) for o in said["offers"]] == [("DECLINED", "TOO_FAR")]


def test_delivery_outside_rollout_says_so(sample_db, offer):
    _, _, delivery, _ = offer
    off = Settings(tables={"flags": {"offers": {"enabled": False}}})
    assert asked(sample_db, delivery, off)["search"]["next"]["rule"] == "HELD_BY_FLAG"
    assert why_not(PostgresStore(sample_db, now=SOON), off, delivery, 1)["rule"] == "HELD_BY_FLAG"


def test_released_delivery_names_earlier_driver(sample_db, offer):
    offer_id, driver, delivery, _ = offer
    do(sample_db, "accept", f"driver:{driver}", offer_id=offer_id, driver_id=driver)
    do(sample_db, "reassign", "ops", delivery_id=delivery, args={"to": None, "reason": "CAR_BROKE"})
    said = asked(sample_db, delivery)
    assert said["state"] == "UNASSIGNED"
    last = said["search"]["last_release"]
    assert (last["driver_id"], last["trigger"], last["actor"]) == (driver, "OPS", "ops")
    assert said["search"]["episode"]["episode"] == 2


def test_suspected_assignment_tells_cause_and_start(sample_db):
    suspected = one(
        sample_db,
        "SELECT min(c.delivery_id) FROM dk.reassignment_cases c JOIN dk.deliveries d "
        "ON d.id = c.delivery_id "
        "WHERE c.state IN ('SUSPECTED', 'GRACE', 'CONFIRMED') AND d.driver_id = c.driver_id",
    )
    said = asked(sample_db, suspected)
    told = [line for line in said["explanation"] if line.startswith("Under suspicion since ")]
    assert len(told) == 1
    assert f"({said['suspicion']['trigger']})" in told[0]
    assert ("grace until" in told[0]) == (said["suspicion"]["grace_until"] is not None)


def test_ended_delivery_tells_how_and_by_whom(sample_db):
    delivery = one(
        sample_db,
        "SELECT min(id) FROM dk.deliveries WHERE state = 'CANCELLED' AND ended_by = 'customer'",
    )
    said = asked(sample_db, delivery)
    assert re.match(
        rf"Delivery {delivery} ended CANCELLED at .*, by customer, while ", said["explanation"][0]
    )
    assert "search" not in said
    assert (
        why_not(PostgresStore(sample_db, now=SOON), catalog.settings(), delivery, 1)["rule"]
        == "IS_CANCELLED"
    )


def test_refused_act_shows_actor_state_and_rule(sample_db, offer):
    offer_id, driver, delivery, _ = offer
    do(sample_db, "accept", f"driver:{driver}", offer_id=offer_id, driver_id=driver)
    do(sample_db, "decline", f"driver:{driver}", offer_id=offer_id, driver_id=driver)
    do(sample_db, "accept", f"driver:{driver + 1}", offer_id=offer_id, driver_id=driver + 1)
    told = [
        tuple(r[k] for k in ("actor", "event", "offer_id", "state_before", "code"))
        for r in asked(sample_db, delivery)["refused_acts"]
    ]
    assert told == [
        (f"driver:{driver}", "decline", offer_id, "ACCEPTED", "ILLEGAL_TRANSITION"),
        (f"driver:{driver + 1}", "accept", offer_id, "ACCEPTED", "NOT_FOUND"),
    ]


def test_what_is_not_there_is_refused_by_name(sample_db, offer):
    store = PostgresStore(sample_db, now=SOON)
    with pytest.raises(Refused, match="no delivery 999999999"):
        why(store, catalog.settings(), 999_999_999)
    with pytest.raises(Refused, match="no driver 999999999"):
        why_not(store, catalog.settings(), offer[2], 999_999_999)

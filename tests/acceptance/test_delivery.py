"""A delivery's life by the real command line: what drivers and operations tell, and what is refused by name."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from dispatchkit.kernel.clock import rfc3339
from tests import databases

NOW = databases.NOW
IDLE = """SELECT min(id) FROM dk.drivers r WHERE duty = 'ON_DUTY'
  AND NOT EXISTS (SELECT FROM dk.deliveries d WHERE d.driver_id = r.id AND d.active)"""


@pytest.fixture
def tell(cli, sample_db):
    """Return a function that runs `act delivery ...` and returns (exit, code)."""

    def told(*words: Any, seconds: int = 0) -> tuple[int, str]:
        ran = cli(
            "--json",
            "act",
            "delivery",
            *words,
            "--now",
            rfc3339(NOW + timedelta(seconds=seconds)),
            db=sample_db,
        )
        assert ran.stdout, ran.stderr
        return ran.exit, json.loads(ran.stdout)["code"]

    return told


def ask(made, query: str) -> Any:
    """Return one row of a query."""
    with made.connect() as on:
        return tuple(on.exec_driver_sql(query).one())


def a_delivery(made, state: str) -> tuple[int, int]:
    """Return the first delivery in a state, and its driver."""
    delivery, driver = ask(
        made, f"SELECT id, driver_id FROM dk.deliveries WHERE state = '{state}' ORDER BY id LIMIT 1"
    )
    return delivery, driver


def test_a_delivery_goes_from_assignment_to_the_door(tell, sample_db):
    delivery, driver = a_delivery(sample_db, "ASSIGNED")
    steps = ("start", "arrive-pickup", "pickup", "depart", "arrive-dropoff", "deliver")
    for i, step in enumerate(steps):
        assert tell(step, delivery, "--driver", driver, seconds=60 * i) == (0, "OK"), step
    assert tell("deliver", delivery, "--driver", driver, seconds=400) == (0, "OK_REPLAY")
    after = ask(
        sample_db,
        f"SELECT state, ended_by, picked_up_at, slot FROM dk.deliveries WHERE id = {delivery}",
    )
    assert after == ("DELIVERED", "driver", NOW + timedelta(minutes=2), None)


def test_goods_under_way_go_back_or_change_hands_and_are_never_cancelled(tell, sample_db):
    delivery, driver = a_delivery(sample_db, "EN_ROUTE_DROPOFF")
    (idle,) = ask(sample_db, IDLE)
    assert tell("handover", delivery, "--to", idle) == (3, "ILLEGAL_TRANSITION")
    assert tell("rescue", delivery, "--reason", "FLAT_TYRE") == (0, "OK")
    assert tell("handover", delivery, "--to", idle) == (0, "OK")
    assert tell("arrive-dropoff", delivery, "--driver", driver) == (3, "NOT_FOUND")
    assert tell("cancel", delivery, "--by", "customer") == (0, "OK")
    assert tell("returned", delivery, "--driver", idle, seconds=900) == (0, "OK")
    ended = ask(
        sample_db, f"SELECT state, ended_by, ended_while FROM dk.deliveries WHERE id = {delivery}"
    )
    assert ended == ("RETURNED", "customer", "PICKED_UP")


def test_a_driver_gives_back_and_picks_up_after_all(tell, sample_db):
    delivery, driver = a_delivery(sample_db, "ASSIGNED")
    assert tell("breakdown", delivery, "--driver", driver) == (0, "OK")
    assert tell("unassign", delivery, "--driver", driver, "--reason", "FLAT_TYRE") == (0, "OK")
    assert tell("pickup", delivery, "--driver", driver, seconds=60) == (0, "CUSTODY_RESTORED")
    assert tell("return", delivery, "--driver", driver, "--reason", "SPILT", seconds=90) == (
        0,
        "OK",
    )


def test_an_order_gets_a_second_try_once(tell, sample_db):
    delivery, order = ask(
        sample_db, "SELECT min(id), min(order_id) FROM dk.deliveries WHERE state = 'CANCELLED'"
    )
    assert tell("create", order) == (3, "ILLEGAL_TRANSITION")
    assert tell("create", order, "--replaces", delivery) == (0, "OK")
    assert tell("create", order, "--replaces", delivery) == (0, "OK_REPLAY")
    assert tell("create", 999_999_999) == (3, "NOT_FOUND")
    refused = ask(
        sample_db, "SELECT count(*), count(DISTINCT code) FROM dk.refusals WHERE event = 'create'"
    )
    assert refused == (2, 2), "what was refused is recorded"


def test_a_clock_far_ahead_is_refused_and_one_a_little_off_is_ordered(tell, sample_db):
    delivery, driver = a_delivery(sample_db, "ARRIVED_PICKUP")
    ahead, behind = rfc3339(NOW + timedelta(minutes=3)), rfc3339(NOW - timedelta(seconds=40))
    assert tell("pickup", delivery, "--driver", driver, "--at", ahead) == (3, "CLOCK_SKEW")
    assert tell("deliver", delivery, "--driver", driver, "--at", rfc3339(NOW)) == (
        3,
        "ILLEGAL_TRANSITION",
    )
    assert tell("pickup", delivery, "--driver", driver, "--at", rfc3339(NOW)) == (0, "OK")
    assert tell("arrive-dropoff", delivery, "--driver", driver, "--at", behind, seconds=10) == (
        0,
        "OK",
    )
    times = ask(
        sample_db,
        f"SELECT picked_up_at, arrived_dropoff_at FROM dk.deliveries WHERE id = {delivery}",
    )
    assert times == (NOW, NOW)


def test_free_text_and_unknown_parties_are_usage_errors_that_repeat_nothing(cli, sample_db):
    delivery, driver = a_delivery(sample_db, "EN_ROUTE_DROPOFF")
    told = cli(
        "act",
        "delivery",
        "fail",
        delivery,
        "--driver",
        driver,
        "--reason",
        "Ann hit me",
        db=sample_db,
    )
    assert (told.exit, "Ann" in told.stdout + told.stderr) == (2, False)
    assert cli("act", "delivery", "cancel", delivery, "--by", "neighbour", db=sample_db).exit == 2

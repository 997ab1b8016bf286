"""Why not driver X: every rule by name, its numbers, and a relaxation that is as small as it says and works."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from dispatchkit.decide.offers.model import Params
from dispatchkit.decide.offers.not_offered import why_not
from dispatchkit.decide.offers.policy import FEATURE
from tests.builders import (
    NOW,
    Row,
    Rows,
    Tables,
    a_case,
    a_delivery,
    a_driver,
    an_offer,
    minutes,
    seconds,
    tables,
)
from tests.unit.decide.corridor import gather
from tests.unit.decide.offers.rounds import TRAVEL, asked, run


def barred(
    tables: Tables, driver: int = 7, *, delivery: int = 1, now: datetime = NOW, **params: Any
) -> dict[str, Any]:
    return dict(
        why_not(gather(FEATURE, tables, now), Params(**params), now, TRAVEL, delivery, driver)
    )


RULES: dict[str, tuple[Rows, str, str]] = {
    "NOT_ON_DUTY": (a_driver(7, duty="ON_BREAK"), "NOT_ON_DUTY", "on duty"),
    "OFFER_PENDING": (
        [*a_driver(7), *a_delivery(2, state="OFFERING"), *an_offer(5, delivery=2, driver=7)],
        "OFFER_PENDING",
        "once the driver has answered about delivery 2",
    ),
    "STACK_FULL": (
        [*a_driver(7, max_stack=1), *a_delivery(2, state="PICKED_UP", driver=7)],
        "STACK_FULL",
        "max_stack above 1",
    ),
    "NO_RECENT_PING": (
        a_driver(7, seen=seconds(181)),
        "NO_RECENT_PING",
        "a ping not older than 180 s",
    ),
    "TIMED_OUT": (
        a_driver(7, timeouts=3),
        "TIMED_OUT",
        "an answer: 3 silences in a row, 3 allowed",
    ),
    "COOLDOWN": (
        a_driver(7, cooldown_until=NOW + minutes(1)),
        "COOLDOWN",
        "from 2026-03-02T19:31:00.000000Z on",
    ),
    "ASKED_BEFORE": (
        [*a_driver(7), *an_offer(5, driver=7, state="DECLINED")],
        "ASKED_BEFORE",
        "nothing in this episode: the driver was asked before, or lost the delivery",
    ),
    "released": (
        [
            *a_driver(7),
            *a_case(3, driver=7, state="RELEASED", released_at=NOW - minutes(3), episode=4),
        ],
        "ASKED_BEFORE",
        "nothing in this episode: the driver was asked before, or lost the delivery",
    ),
    "OUTSIDE_RADIUS": (
        a_driver(7, at=(1600, 0)),
        "OUTSIDE_RADIUS",
        "radius 1600 m instead of 1500 m",
    ),
    "far away": (a_driver(7, at=(9000, 0)), "OUTSIDE_RADIUS", "radius 9000 m instead of 1500 m"),
    "SHIFT_ENDS": (
        a_driver(7, shift_end=NOW + minutes(4)),
        "SHIFT_ENDS_BEFORE_PICKUP",
        "a shift that ends at 2026-03-02T19:35:00.000000Z or later",
    ),
}


@pytest.mark.parametrize("case", RULES)
def test_a_rule_about_the_driver_is_named_with_what_would_help(case):
    driver, rule, relax = RULES[case]
    town = tables(a_delivery(1), driver)
    assert run(town) == []
    found = barred(town)
    assert (found["rule"], found["relaxation"]) == (rule, relax)


def test_who_is_asked_has_no_rule_against_him():
    found = barred(tables(a_delivery(1), a_driver(7)))
    assert (found["rule"], found["relaxation"], found["chosen_driver_id"], found["margin_s"]) == (
        None,
        None,
        7,
        0,
    )


def test_a_farther_driver_learns_who_is_preferred_and_by_how_much():
    town = tables(a_delivery(1), a_driver(7, at=(900, 0)), a_driver(8, at=(400, 0)))
    found = barred(town)
    assert (found["rule"], found["chosen_driver_id"]) == ("OTHERS_SOONER", 8)
    assert found["margin_s"] == found["expected_s"] - found["chosen_expected_s"] > 0
    assert found["relaxation"] == f"an expected pickup more than {found['margin_s']} s sooner"
    assert 0 < found["cost_s"] <= found["expected_s"] and 0 < found["p_accept"] < 1


def test_a_driver_asked_about_another_delivery_in_this_run_is_said_to_be():
    town = tables(a_delivery(1), a_delivery(2, priority=1), a_driver(7))
    assert barred(town)["relaxation"] == "delivery 2 chose first and takes this driver"
    assert barred(town)["rule"] == "TAKEN_THIS_RUN"


def test_a_delivery_that_asks_nobody_says_so_before_anything_of_the_driver():
    assert barred(tables(a_delivery(1, attempt=8), a_driver(7)))["rule"] == "ATTEMPTS_USED_UP"
    ahead = barred(tables(a_delivery(1, state="CREATED", due=minutes(-10)), a_driver(7)))
    assert (ahead["rule"], ahead["relaxation"]) == (
        "NOT_DUE",
        "from 2026-03-02T19:40:00.000000Z on",
    )
    offered = barred(tables(a_delivery(1, state="OFFERING"), an_offer(5, driver=8), a_driver(7)))
    assert offered["rule"] == "ROUND_UNDER_WAY" and "19:30:22" in offered["relaxation"]
    assert (
        barred(tables(a_delivery(1, state="ASSIGNED", driver=8), a_driver(7)))["rule"]
        == "NOT_SEEKING"
    )


def test_the_relaxation_of_the_radius_is_the_smallest_that_works():
    town = tables(a_delivery(1), a_driver(7, at=(1600, 0)))
    assert asked(run(town, radius_start_m=1600)) == [(1, 7)]
    assert asked(run(town, radius_start_m=1599)) == []


def test_who_refused_before_learns_from_when_on_and_for_what_he_is_asked_again():
    refused = an_offer(5, driver=7, state="DECLINED", answered=minutes(4), pay_cents=1050)
    town = tables(a_delivery(1, episode=2), a_driver(7), refused)
    found = barred(town)
    assert found["rule"] == "NOT_IMPROVED"
    assert (
        found["relaxation"]
        == "from 2026-03-02T19:36:00.000000Z on for a pay of 1150 cents, or a nearer pickup"
    )


def test_a_delivery_whose_goods_a_driver_says_to_have_asks_nobody():
    ticket = {
        "id": 1,
        "delivery_id": 1,
        "episode": 1,
        "level": 2,
        "cause": "CUSTODY_CONFLICT",
        "state": "OPEN",
    }
    said = barred(
        tables(
            a_delivery(1),
            a_driver(7),
            [Row("support_tickets", ticket | {"opened_at": NOW, "due_at": NOW, "version": 1})],
        )
    )
    assert said["rule"] == "GOODS_DISPUTED"

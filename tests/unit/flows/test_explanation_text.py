"""What `why` found out reads as sentences: the answer first, no key, no empty phrase."""

from __future__ import annotations

import re
from inspect import getsource

import pytest

from dispatchkit.decide.offers import not_offered, propose
from dispatchkit.domain import dispatching as dispatch
from dispatchkit.flows.explain.explanation_text import MEANING, why, why_not

BEFORE: dict[str, object] = {"offers": [], "releases": [], "refused_acts": []}
CHOICE = {
    "rule": "SOONEST_AT_PICKUP",
    "why": {
        "candidates": 4,
        "radius_m": 1500,
        "expected_s": 533,
        "margin_s": 27,
        "runner_up_driver_id": 107,
    },
}
SEARCH = {
    "episode": {"opened_at": "2026-03-07T19:30:00.000000Z", "episode": 2, "level": 3},
    "attempts": 1,
    "due_at": "2026-03-07T19:07:54.299000Z",
    "pending_offers": [],
    "next": {"rule": "OUTSIDE_RADIUS", "relaxation": "radius 1700 m reaches driver 9"},
}


def said(**of: object) -> dict[str, object]:
    return {
        "delivery_id": 12,
        "state": "UNASSIGNED",
        "driver_id": None,
        "now": "2026-03-07T19:31:00.000000Z",
        **BEFORE,
        **of,
    }


def test_a_search_tells_how_long_it_goes_on_and_what_would_help():
    assert why(said(search=SEARCH)) == [
        "Delivery 12 is UNASSIGNED: searching for a driver since 2026-03-07T19:30:00Z, episode 2, "
        "level 3, 1 attempts without an acceptance.",
        "A sweep now would make no offer: too far from the pickup for now (OUTSIDE_RADIUS). "
        "What would change it: radius 1700 m reaches driver 9.",
    ]


def test_who_is_being_asked_is_named_with_the_driver_he_was_preferred_to():
    offer = {
        "driver_id": 16,
        "offer_id": 81,
        "expires_at": "2026-03-07T19:31:30.000000Z",
        "decision": CHOICE,
    }
    told = why(
        said(search={**SEARCH, "pending_offers": [offer], "next": {"rule": "ROUND_UNDER_WAY"}})
    )
    assert told[1:] == [
        "Driver 16 has an offer until 2026-03-07T19:31:30Z. The soonest at the pickup (533 s) of "
        "4 drivers within 1500 m, 27 s before driver 107.",
        "A sweep now would make no other offer: a pending offer has not been answered yet "
        "(ROUND_UNDER_WAY).",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"offer_id": 81, "decision": CHOICE},
            ["Driver 7 accepted offer 81.", "The soonest at the pickup"],
        ),
        ({"step": {"actor": "ops", "reason": "FLAT_TYRE"}}, ["Assigned by ops: FLAT_TYRE."]),
        (
            {"lock_until": "2026-03-07T20:00:00.000000Z"},
            ["The audit trail no longer", "Locked against sweeps until 2026-03-07T20"],
        ),
        ({"lock_until": "2026-03-07T19:00:00.000000Z"}, ["The audit trail no longer"]),
    ],
    ids=["accepted", "given", "locked", "no longer locked"],
)
def test_an_assignment_tells_how_it_came_about(given, expected):
    blank = dict.fromkeys(("since", "lock_until", "step", "offer_id", "decision"))
    told = why(said(state="ASSIGNED", driver_id=7, assignment={**blank, **given}))
    assert told[0] == "Delivery 12 is ASSIGNED, with driver 7."
    assert len(told) == len(expected) + 1
    assert all(line.startswith(start) for line, start in zip(told[1:], expected, strict=True)), told


def test_a_driver_under_suspicion_is_told_since_when_for_what_and_until_when():
    assigned = dict.fromkeys(("since", "lock_until", "step", "offer_id", "decision"))
    doubt = {"state": "GRACE", "trigger": "NO_START", "suspected_at": "2026-03-07T19:30:00.000000Z"}
    for until, end in (
        ("2026-03-07T19:34:00.000000Z", ", grace until 2026-03-07T19:34:00Z."),
        (None, "."),
    ):
        case = {**doubt, "grace_until": until}
        told = why(said(state="ASSIGNED", driver_id=7, assignment=assigned, suspicion=case))
        assert told[-1] == f"Under suspicion since 2026-03-07T19:30:00Z (NO_START){end}"


def test_what_was_before_is_counted_and_its_latest_named():
    release = {"driver_id": 26, "trigger": "NO_START", "actor": "system:reassignment"}
    refusal = {"event": "accept", "actor": "driver:5", "code": "LOST_RACE"}
    asked = [{"state": "DECLINED"}, {"state": "EXPIRED"}, {"state": "DECLINED"}]
    told = why(
        said(search=SEARCH, offers=asked, releases=[release, release], refused_acts=[refusal])
    )
    assert told[2:] == [
        "Offers so far: 2 DECLINED, 1 EXPIRED.",
        "Released 2 times, last from driver 26 (NO_START), by system:reassignment.",
        "Refused acts: 1, last accept by driver:5 (LOST_RACE).",
    ]


def test_a_barred_driver_learns_the_rule_the_relaxation_and_his_figures():
    figures = {"travel_s": 169, "expected_s": 560, "chosen_driver_id": 16, "chosen_expected_s": 533}
    told = why_not(
        said(
            driver_id=107,
            rule="OTHERS_SOONER",
            relaxation="a pickup more than 27 s sooner",
            **figures,
        )
    )
    assert told == [
        "Delivery 12 is not for driver 107: another driver is expected there sooner (OTHERS_SOONER).",
        "What would change it: a pickup more than 27 s sooner.",
        "169 s to the pickup; 560 s with the stops already accepted and the expected cost of a "
        "decline; driver 16: 533 s.",
    ]
    assert (
        why_not(said(driver_id=5, rule="IS_CANCELLED", relaxation=None))[0]
        == "Delivery 12 is not for driver 5: it is CANCELLED."
    )


def test_every_rule_of_offers_has_a_meaning():
    text = "".join(getsource(module) for module in (not_offered, propose, dispatch))
    named = set(re.findall(r'return "([A-Z]+_[A-Z_]+)"|\bRule\.([A-Z_]+)', text))
    named = {literal or member for literal, member in named}
    assert len(named) > 10
    assert named - set(MEANING) == set()

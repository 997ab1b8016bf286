"""The offers sweep: what is due, what ran out, who is asked, and why nobody is."""

from __future__ import annotations

import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

import polars as pl
import pytest

from dispatchkit.decide.offers.model import Params
from dispatchkit.decide.offers.policy import FEATURE, decide
from dispatchkit.kernel.errors import BadConfig
from dispatchkit.kernel.stable_random import stable_id
from dispatchkit.travel.interface import Times
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import (
    NOW,
    Row,
    Rows,
    Tables,
    a_case,
    a_delivery,
    a_driver,
    an_episode,
    an_offer,
    minutes,
    seconds,
    tables,
)
from tests.unit.decide.corridor import apply, gather
from tests.unit.decide.offers.rounds import asked, run, said


def test_a_due_delivery_is_offered_to_the_driver_soonest_at_the_pickup():
    town = tables(a_delivery(1), a_driver(7, at=(900, 0)), a_driver(8, at=(400, 0)))
    changes = run(town)
    assert [c.event for c in changes] == ["delivery_offering", "offer_created"]
    offer = changes[1]
    assert offer.id == stable_id("offer", 1, 1, 1, 8)
    assert (offer.after["sent_at"], offer.after["expires_at"]) == (NOW, NOW + seconds(30))
    assert offer.after["hard_deadline"] == NOW + seconds(32)
    assert offer.expects == (("driver", 8, 1),)
    assert (
        offer.why["chosen_driver_id"],
        offer.why["runner_up_driver_id"],
        offer.why["candidates"],
    ) == (8, 7, 2)
    assert offer.why["cost_s"] < offer.why["runner_up_cost_s"]


def test_an_offer_freezes_pay_distance_and_pickup_and_names_no_place():
    [_, offer] = run(tables(a_delivery(1, dropoff=(2000, 0), ready_in=minutes(9)), a_driver(7)))
    told = json.loads(str(offer.after["payload"]))
    assert offer.after["payload_sha256"] == sha256(str(offer.after["payload"]).encode()).hexdigest()
    assert told == {
        "delivery_id": "1",
        "merchant_id": "1",
        "distance_m": 2600,  # 2 km by air, 1.3 by street
        "pay_cents": 1049,  # 10.00, and 0.19 a km: 49.4 cents
        "boost_cents": 0,
        "estimated_earning_cents": 1049,
        "held": 0,
        "pickup_s": 0,
        "pickup_eta": "2026-03-02T19:39:00.000000Z",
        "dropoff_eta": "2026-03-02T19:49:19.000000Z",
    }


def test_the_soonest_is_measured_in_time_not_in_metres():
    town = tables(
        a_delivery(1),
        a_driver(7, at=(300, 0), vehicle="walker"),
        a_driver(8, at=(700, 0), vehicle="car"),
    )
    assert asked(run(town)) == [(1, 8)]


def test_equal_drivers_are_asked_by_id():
    town = tables(a_delivery(1), *(a_driver(id, at=(500, 0)) for id in (9, 8)))
    assert asked(run(town)) == [(1, 8)]


def disputed(state: str = "OPEN", *others: Row) -> Tables:
    """Delivery 1 is sought for, and a driver who had lost it says in this episode that he has its goods."""
    ticket = {
        "id": 1,
        "delivery_id": 1,
        "episode": 2,
        "level": 2,
        "cause": "CUSTODY_CONFLICT",
        "state": state,
    }
    ticket |= {
        "opened_at": NOW,
        "due_at": NOW,
        "closed_at": None if state == "OPEN" else NOW,
        "version": 1,
    }
    delivery = a_delivery(1, episode=2, state="OFFERING" if others else "UNASSIGNED")
    return tables(delivery, a_driver(7), a_driver(8), [Row("support_tickets", ticket)], others)


def test_nobody_is_asked_for_goods_that_are_gone_until_a_person_has_looked():
    assert run(disputed()) == []
    assert asked(run(disputed("CLOSED"))) == [(1, 7)]
    over = an_offer(5, driver=7, episode=2, sent=seconds(32))
    assert [c.event for c in run(disputed("OPEN", *over))] == [
        "offer_expired", "driver_cooled_down", "delivery_unassigned",
    ], "what is out comes to its end"  # fmt: skip


CANDIDATES: dict[str, tuple[Rows, str]] = {
    "he is on a break": (a_driver(7, duty="ON_BREAK"), "NO_FREE_DRIVER_IN_REACH"),
    "his last ping is old": (a_driver(7, seen=seconds(181)), "NO_FREE_DRIVER_IN_REACH"),
    "he was never seen": (a_driver(7, at=None), "NO_FREE_DRIVER_IN_REACH"),
    "he rests": (a_driver(7, cooldown_until=NOW + seconds(1)), "NO_FREE_DRIVER_IN_REACH"),
    "he goes home before the goods are ready": (
        a_driver(7, shift_end=NOW + minutes(4)),
        "SHIFT_ENDS_BEFORE_PICKUP",
    ),
    "he is out of the radius": (a_driver(7, at=(1600, 0)), "OUTSIDE_RADIUS"),
    "his hands are full": (
        [*a_driver(7, max_stack=1), *a_delivery(2, state="PICKED_UP", driver=7)],
        "NO_FREE_DRIVER_IN_REACH",
    ),
    "he is asked about another": (
        [*a_driver(7), *a_delivery(2, state="OFFERING"), *an_offer(5, delivery=2, driver=7)],
        "NO_FREE_DRIVER_IN_REACH",
    ),
    "he declined it": (
        [*a_driver(7), *an_offer(5, driver=7, state="DECLINED", cause="TOO_FAR")],
        "ASKED_BEFORE",
    ),
    "it was taken from him": (
        [
            *a_driver(7),
            *a_case(3, driver=7, state="RELEASED", released_at=NOW - minutes(3), episode=4),
        ],
        "ASKED_BEFORE",
    ),
}


@pytest.mark.parametrize("because", CANDIDATES)
def test_a_driver_is_not_asked_because(because):
    driver, rule = CANDIDATES[because]
    town = tables(a_delivery(1), driver)
    assert run(town) == []
    assert [(e["delivery_id"], e["rule"]) for e in said(town)] == [(1, rule)]


STILL_ASKED: dict[str, Rows] = {
    "his ping is three minutes old to the second": a_driver(7, seen=seconds(180)),
    "he has rested until this instant": a_driver(7, cooldown_until=NOW),
    "his shift ends as the goods are ready": a_driver(7, shift_end=NOW + minutes(5)),
    "he holds one and may hold two": [*a_driver(7), *a_delivery(2, state="PICKED_UP", driver=7)],
}


@pytest.mark.parametrize("though", STILL_ASKED)
def test_a_driver_is_asked_though(though):
    assert asked(run(tables(a_delivery(1), STILL_ASKED[though]))) == [(1, 7)]


def test_a_driver_with_hands_full_is_asked_after_an_idle_one_a_little_farther():
    busy = [*a_driver(7, at=(100, 0)), *a_delivery(2, state="PICKED_UP", driver=7)]
    assert asked(run(tables(a_delivery(1), busy, a_driver(8, at=(1000, 0))))) == [(1, 8)]
    assert asked(
        run(tables(a_delivery(1), busy, a_driver(8, at=(1000, 0))), stack_detour=timedelta())
    ) == [(1, 7)]


def test_each_driver_is_asked_once_a_run_and_the_released_delivery_chooses_first():
    town = tables(
        a_delivery(1, due=minutes(1)),
        a_delivery(2, due=minutes(2)),
        a_delivery(3, priority=1),
        a_driver(7),
    )
    assert asked(run(town)) == [(3, 7)]
    assert {e["delivery_id"]: e["rule"] for e in said(town)} == {
        1: "TAKEN_THIS_RUN",
        2: "TAKEN_THIS_RUN",
    }
    second = tables(a_delivery(1, due=minutes(1)), a_delivery(2, due=minutes(2)), a_driver(7))
    assert asked(run(second)) == [(2, 7)]


WIDER = [({"attempt": 1}, [(1, 7)]), ({"due": minutes(3)}, [(1, 7)]), ({"due": minutes(2.9)}, [])]


@pytest.mark.parametrize(("delivery", "offers"), WIDER)
def test_the_radius_widens_with_attempts_and_with_waiting(delivery, offers):
    assert asked(run(tables(a_delivery(1, **delivery), a_driver(7, at=(2900, 0))))) == offers


def test_why_nobody_is_asked_names_what_would_change_it():
    [why] = said(
        tables(a_delivery(1), a_driver(7, at=(1600, 0)), a_driver(8, duty="ON_DUTY", at=None))
    )
    assert why["relaxation"] == "radius 1600 m reaches driver 7"
    assert (why["radius_m"], why["rejected_by_rule"], why["unavailable_by_rule"]) == (
        1500,
        {"OUTSIDE_RADIUS": 1},
        {"NO_RECENT_PING": 1},
    )


def test_after_the_last_attempt_nobody_is_asked():
    town = tables(a_delivery(1, attempt=8), a_driver(7))
    assert (run(town), said(town)[0]["rule"]) == ([], "ATTEMPTS_USED_UP")
    assert asked(run(tables(a_delivery(1, attempt=7), a_driver(7)))) == [(1, 7)]


def test_a_new_delivery_waits_for_its_dispatch_time():
    [change] = run(tables(a_delivery(1, state="CREATED", due=minutes(-10)), a_driver(7)))
    assert (change.event, change.after) == ("delivery_scheduled", {"state": "SCHEDULED"})
    assert run(tables(a_delivery(1, state="SCHEDULED", due=seconds(-1)), a_driver(7))) == []


@pytest.mark.parametrize("state", ["CREATED", "SCHEDULED"])
def test_a_delivery_that_becomes_due_is_offered_in_the_same_run(state):
    town = tables(a_delivery(1, state=state, due=minutes(1)), a_driver(7))
    changes = run(town)
    assert [(c.event, c.version) for c in changes] == [
        ("delivery_dispatchable", 1),
        ("episode_opened", 0),
        ("delivery_offering", 2),
        ("offer_created", 0),
    ]
    assert changes[1].after["opened_at"] == NOW - minutes(
        1
    )  # when it was due, not when a late sweep noticed
    assert run(apply(town, changes)) == []


def offered(**offer: Any) -> Tables:
    return tables(a_delivery(1, state="OFFERING"), an_offer(5, driver=7, **offer), a_driver(7))


def test_an_offer_lives_until_its_hard_deadline_and_not_a_moment_longer():
    assert run(offered(sent=seconds(31.999999))) == []
    changes = run(offered(sent=seconds(32)))
    assert [c.event for c in changes] == [
        "offer_expired",
        "driver_cooled_down",
        "delivery_unassigned",
    ]
    assert changes[0].after == {"state": "EXPIRED", "responded_at": NOW}
    assert changes[2].after == {"state": "UNASSIGNED", "attempt": 1}


def test_silence_counts_as_a_timeout_only_if_the_offer_reached_the_phone():
    unseen, seen = (
        offered(sent=seconds(40)),
        offered(sent=seconds(40), delivered_at=NOW - seconds(39)),
    )
    assert [run(town)[1].after["timeouts"] for town in (unseen, seen)] == [0, 1]
    assert run(seen)[1].after["cooldown_until"] == NOW + seconds(60)


@pytest.mark.parametrize(("rested", "then"), [(15, minutes(15)), (0.5, seconds(60))])
def test_silence_never_cuts_a_longer_rest_short(rested, then):
    town = tables(
        a_delivery(1, state="OFFERING"),
        an_offer(5, driver=7, sent=seconds(40)),
        a_driver(7, cooldown_until=NOW + minutes(rested)),
    )
    assert run(town)[1].after["cooldown_until"] == NOW + then


def test_an_offer_to_a_driver_who_has_left_is_withdrawn_and_the_next_is_asked_at_once():
    town = tables(
        a_delivery(1, state="OFFERING"),
        a_driver(7, duty="FORCED_OFF"),
        a_driver(8),
        an_offer(5, driver=7),
    )
    withdrawn, over, _, asked_anew = run(town)
    assert (withdrawn.event, withdrawn.after["cause"]) == ("offer_revoked", "DRIVER_UNAVAILABLE")
    assert over.after == {"state": "UNASSIGNED", "attempt": 1}
    assert asked_anew.after["driver_id"] == 8


def test_an_expired_delivery_is_offered_to_the_next_driver_in_the_same_run():
    town = tables(
        a_delivery(1, state="OFFERING"),
        an_offer(5, driver=7, sent=minutes(1)),
        a_driver(7),
        a_driver(8),
    )
    changes = run(town)
    assert [(c.event, c.version) for c in changes if c.entity == "delivery"] == [
        ("delivery_unassigned", 1),
        ("delivery_offering", 2),
    ]
    assert asked(changes) == [(1, 8)]
    assert changes[-1].after["attempt"] == 2
    assert run(apply(town, changes)) == []


def test_a_silent_driver_is_not_asked_about_another_delivery_at_once():
    town = tables(
        a_delivery(1, state="OFFERING"),
        a_delivery(2),
        an_offer(5, driver=7, sent=minutes(1)),
        a_driver(7),
    )
    changes = run(town)
    assert asked(changes) == []
    assert run(apply(town, changes)) == []


def test_a_round_ends_only_when_no_offer_of_it_is_left():
    both = [*an_offer(5, driver=7, sent=minutes(1)), *an_offer(6, driver=8)]
    assert [c.event for c in run(tables(a_delivery(1, state="OFFERING"), both, a_driver(7)))] == [
        "offer_expired",
        "driver_cooled_down",
    ]


def test_a_delivery_left_offering_without_any_offer_is_searched_again():
    withdrawn = an_offer(5, driver=7, state="REVOKED", cause="DRIVER_UNAVAILABLE")
    changes = run(tables(a_delivery(1, state="OFFERING"), withdrawn, a_driver(8)))
    assert [c.event for c in changes] == [
        "delivery_unassigned",
        "delivery_offering",
        "offer_created",
    ]


def test_a_delivery_whose_door_is_unknown_pays_the_base():
    [_, offer] = run(tables(a_delivery(1, dropoff=None), a_driver(7)))
    assert (offer.after["distance_m"], offer.after["pay_cents"]) == (0, 1000)


def test_an_imported_delivery_without_an_episode_counts_from_its_dispatch_time():
    town = tables(a_delivery(1, due=minutes(3)), a_driver(7, at=(2900, 0)))
    town["unassigned_orders"] = town["unassigned_orders"].clear()
    assert asked(run(town)) == [(1, 7)]


def test_a_closed_episode_does_not_date_the_open_one():
    town = tables(
        a_delivery(1, episode=2, due=minutes(1)),
        an_episode(1, 1, opened=minutes(9), state="ASSIGNED"),
    )
    assert said(town)[0]["waited_s"] == 60


CONTRADICTIONS = [
    ({"accept_grace": seconds(31)}, "accept_grace", "timeout"),
    ({"radius_start_m": 7000}, "radius_start_m", "radius_max_m"),
    ({"fresh": minutes(4)}, "fresh", "aging"),
    ({"cooldown_expire": timedelta()}, "cooldown_expire", "longer than zero"),
    ({"pay_base_cents": -1}, "pay_base_cents", "below zero"),
    ({"max_stack": 4}, "max_stack", "slots"),
]


@pytest.mark.parametrize(("settings", "one", "other"), CONTRADICTIONS)
def test_settings_that_contradict_are_refused_by_name(settings, one, other):
    with pytest.raises(BadConfig, match=f"{one}.*{other}"):
        Params(**settings)


def test_a_merchant_without_a_position_stops_nobody_elses_search_and_is_named():
    town = tables(a_delivery(1), a_delivery(2), a_driver(7, at=(100, 0)))
    town["merchants"] = town["merchants"].with_columns(lat=pl.when(pl.col("id") != 1).then("lat"))
    assert asked(run(town)) == [(2, 7)]
    assert [(e["delivery_id"], e["rule"]) for e in said(town)] == [(1, "PICKUP_UNKNOWN")]
    town["merchants"] = town["merchants"].with_columns(lat=pl.lit(None, pl.Float64))
    assert asked(run(town)) == []


class CountingTravel(StraightLine):
    """Straight lines that count the matrices asked for."""

    matrices = 0

    def matrix(self, *args: Any, **words: Any) -> Times:
        type(self).matrices += 1
        return super().matrix(*args, **words)


def test_explanations_are_made_from_the_same_pass():
    town = tables(a_driver(1, at=(0, 0)), a_delivery(1, pickup=(300, 0)), a_delivery(2))
    decision = decide(gather(FEATURE, town, NOW), Params(), NOW, CountingTravel(), 0)
    planned = CountingTravel.matrices
    explained = {row["delivery_id"] for row in decision.explanations()}
    asked = {c.root[1] for c in decision.changes if c.event == "offer_created"}
    assert planned > 0
    assert asked.isdisjoint(explained)
    assert explained
    assert CountingTravel.matrices == planned + 1  # one survey; the plan is not made again

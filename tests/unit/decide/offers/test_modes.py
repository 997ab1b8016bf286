"""Cascade, waves, broadcast, forced: one switch, and the same accounting for all."""

from __future__ import annotations

from typing import Any

import pytest

from dispatchkit.decide.offers.model import Params
from dispatchkit.decide.offers.policy import FEATURE
from dispatchkit.domain.feature import Event
from dispatchkit.domain.search import episode_id
from dispatchkit.kernel.errors import BadConfig
from tests.builders import (
    NOW,
    Rows,
    Tables,
    a_delivery,
    a_driver,
    an_offer,
    minutes,
    seconds,
    tables,
)
from tests.unit.decide.corridor import apply, locked
from tests.unit.decide.offers.rounds import after, asked, offer, run, said


def drivers(*ids: int) -> list[Rows]:
    """Drivers in a row, the first nearest."""
    return [a_driver(id, at=(100 * n, 0)) for n, id in enumerate(ids, 1)]


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ({"mode": "cascade"}, 1),
        ({"mode": "waves", "wave_size": 2}, 2),
        ({"mode": "broadcast"}, 5),
        ({"mode": "broadcast", "broadcast_limit": 4}, 4),
        ({"mode": "forced"}, 1),
    ],
)
def test_the_mode_says_how_many_are_asked_at_once(params, count):
    changes = run(tables(a_delivery(1), *drivers(11, 12, 13, 14, 15)), **params)
    assert asked(changes) == [(1, id) for id in (11, 12, 13, 14, 15)[:count]]
    offers = [c.after for c in changes if c.event == "offer_created"]
    assert {(o["mode"], o["attempt"], o["episode"]) for o in offers} == {(params["mode"], 1, 1)}


def test_a_broadcast_reaches_no_farther_than_the_radius():
    town = tables(a_delivery(1), *drivers(11, 12), a_driver(13, at=(1600, 0)))
    assert asked(run(town, mode="broadcast")) == [(1, 11), (1, 12)]


def test_who_asks_several_leaves_the_others_their_only_one():
    town = tables(
        a_delivery(1, due=minutes(2)), a_delivery(2, due=minutes(1)), *drivers(11, 12, 13)
    )
    assert asked(run(town, mode="broadcast")) == [(1, 11), (1, 13), (2, 12)]


def wave(attempt: int, *ids: int, sent: Any, **more: Any) -> list[Rows]:
    return [an_offer(id, driver=id, sent=sent, attempt=attempt, mode="waves", **more) for id in ids]


def waving(*offers: Rows, attempt: int = 0) -> Tables:
    return tables(
        a_delivery(1, state="OFFERING", attempt=attempt), *offers, *drivers(11, 12, 13, 14, 15, 16)
    )


WAVES: dict[str, Any] = {"mode": "waves", "wave_size": 2}


def test_the_next_wave_goes_out_while_the_last_is_pending_and_counts_as_an_attempt():
    town = waving(*wave(1, 11, 12, sent=seconds(20)))
    changes = run(town, **WAVES)
    assert (changes[0].event, changes[0].reason, changes[0].after) == (
        "delivery_offering", "NEXT_WAVE", {"attempt": 1},
    )  # fmt: skip
    assert asked(changes) == [(1, 13), (1, 14)]
    assert {c.after["attempt"] for c in changes[1:]} == {2}
    left = after(town, **WAVES)
    assert left["driver_offers"].filter(state="PENDING").height == 4


def test_a_wave_waits_its_gap_unless_all_of_the_last_have_answered():
    assert run(waving(*wave(1, 11, 12, sent=seconds(19.9))), **WAVES) == []
    first, second = wave(1, 11, sent=seconds(25)), wave(2, 12, sent=seconds(5))
    assert run(waving(*first, *second, attempt=1), **WAVES) == []
    declined = wave(2, 12, sent=seconds(5), state="DECLINED")
    assert asked(run(waving(*first, *declined, attempt=1), **WAVES)) == [(1, 13), (1, 14)]


def test_a_cascade_sends_no_second_wave():
    assert run(waving(*wave(1, 11, sent=seconds(25))), mode="cascade") == []


def test_waves_end_with_the_last_attempt():
    town = waving(*wave(2, 11, sent=seconds(25)), attempt=1)
    assert run(town, max_attempts=2, **WAVES) == []
    assert said(town, max_attempts=2, **WAVES) == []  # somebody is still being asked
    assert len(asked(run(town, max_attempts=3, **WAVES))) == 2


def test_when_the_last_pending_offer_of_all_waves_runs_out_the_round_is_over():
    town = waving(
        *wave(1, 11, sent=minutes(2), state="EXPIRED"), *wave(2, 12, sent=seconds(40)), attempt=1
    )
    changes = run(town, **WAVES)
    assert [c.after.get("attempt") for c in changes if c.entity == "delivery"] == [2, None]
    assert {c.after["attempt"] for c in changes if c.event == "offer_created"} == {3}


def test_the_first_yes_of_any_wave_wins_and_the_others_are_withdrawn():
    town = waving(*wave(1, 11, sent=seconds(25)), *wave(2, 12, 13, sent=seconds(5)), attempt=1)
    event = Event(name="accept", actor="driver:12", driver_id=12, offer_id=12)
    assert FEATURE.respond is not None
    given = FEATURE.respond(locked(town, event), event, Params(**WAVES), NOW)
    left = apply(town, given.changes)
    assert left["driver_offers"]["state"].to_list() == ["REVOKED", "ACCEPTED", "REVOKED"]
    assert run(left, **WAVES) == []


def test_forced_assigns_without_asking_and_leaves_an_offer_for_the_account():
    busy = a_delivery(2, state="PICKED_UP", driver=11, slot=1, pickup=(3000, 0))
    town = tables(a_delivery(1), a_driver(11, timeouts=2), busy)
    changes = run(town, mode="forced")
    assert [c.event for c in changes] == [
        "offer_created", "offer_accepted", "delivery_assigned", "episode_closed", "driver_given",
    ]  # fmt: skip
    left = after(town, mode="forced")
    delivery, made = left["deliveries"].row(0, named=True), left["driver_offers"].row(0, named=True)
    assert (delivery["state"], delivery["driver_id"], delivery["slot"]) == ("ASSIGNED", 11, 2)
    assert (made["state"], made["mode"], made["responded_at"], made["late"]) == (
        "ACCEPTED",
        "forced",
        NOW,
        False,
    )
    assert left["unassigned_orders"].row(0, named=True)["state"] == "ASSIGNED"
    driver = left["drivers"].row(0, named=True)
    assert (driver["timeouts"], driver["version"]) == (
        2,
        2,
    )  # no answer, so no silence is forgotten


def test_forced_assigns_in_the_run_in_which_a_delivery_becomes_due():
    left = after(
        tables(a_delivery(1, state="SCHEDULED", due=minutes(1)), a_driver(11)), mode="forced"
    )
    assert left["deliveries"]["state"].to_list() == ["ASSIGNED"]
    episode = left["unassigned_orders"].row(0, named=True)
    assert (episode["id"], episode["state"], episode["closed_at"]) == (
        episode_id(1, 1),
        "ASSIGNED",
        NOW,
    )


def test_forced_gives_a_driver_one_delivery_a_run_and_asks_nobody_who_may_not_be_asked():
    town = tables(a_delivery(1), a_delivery(2), a_driver(11), a_driver(12, duty="ON_BREAK"))
    changes = run(town, mode="forced")
    assert [c.root[1] for c in changes if c.event == "delivery_assigned"] == [1]
    assert [e["rule"] for e in said(town, mode="forced")] == ["TAKEN_THIS_RUN"]


def test_a_repeated_forced_run_gives_nobody_a_second_delivery_and_the_next_one_may():
    town = tables(a_delivery(1), a_delivery(2), a_driver(11))
    left = after(town, mode="forced")  # looks again at the same instant
    assert left["deliveries"]["state"].to_list() == ["ASSIGNED", "UNASSIGNED"]
    assert [e["rule"] for e in said(left, mode="forced")] == ["TAKEN_THIS_RUN"]
    assert after(left, NOW + minutes(1), mode="forced")["deliveries"]["slot"].to_list() == [1, 2]


def test_switching_the_mode_with_offers_out_goes_on_from_where_it_is():
    town = waving(*wave(1, 11, 12, 13, sent=seconds(40)))
    assert offer(run(town, mode="cascade")).after["attempt"] == 2


@pytest.mark.parametrize("mode", ["cascade", "waves", "broadcast", "forced"])
def test_in_every_mode_the_whole_search_keeps_the_rules(mode):
    town = tables(
        *(a_delivery(n, pickup=(0, 300 * n)) for n in range(1, 5)), *drivers(*range(11, 20))
    )
    for n in range(12):
        town = after(town, NOW + seconds(20 * n), mode=mode)
    offers = town["driver_offers"]
    assert offers.select("delivery_id", "driver_id").is_unique().all()  # nobody is asked twice
    assert set(offers["attempt"]) <= set(range(1, 9))


def test_an_unknown_mode_is_refused_naming_the_known_ones():
    with pytest.raises(BadConfig, match=r"lottery.*cascade, waves, broadcast, forced"):
        Params(mode="lottery")

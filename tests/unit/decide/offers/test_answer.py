"""A driver's answer to an offer: every code of the concurrent events table that an answer can meet."""

from __future__ import annotations

from typing import Any

import pytest

from dispatchkit.decide.offers.model import Params
from dispatchkit.decide.offers.policy import FEATURE
from dispatchkit.domain.feature import Answer, Event
from dispatchkit.kernel.errors import Usage
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


def answer(
    tables: Tables, name: str = "accept", *, driver: int = 7, offer: int = 5, **args: Any
) -> Answer:
    event = Event(name=name, actor=f"driver:{driver}", driver_id=driver, offer_id=offer, args=args)
    assert FEATURE.respond is not None
    return FEATURE.respond(locked(tables, event), event, Params(), NOW)


def offered(*more: Rows, **offer: Any) -> Tables:
    """Delivery 1 offered to driver 7 by offer 5."""
    told = an_offer(5, driver=7, **offer)
    return tables(a_delivery(1, state="OFFERING"), told, a_driver(7), *more)


def test_an_acceptance_assigns_the_delivery_closes_the_episode_and_withdraws_rival_offers():
    town = offered(an_offer(6, driver=8))
    given = answer(town)
    assert (given.code, given.refused) == ("OK", False)
    assert [c.event for c in given.changes] == [
        "offer_accepted", "offer_revoked", "delivery_assigned", "episode_closed", "driver_answered",
    ]  # fmt: skip
    assert given.changes[0].payload["responseTime"] == 10.0
    after = apply(town, given.changes)
    delivery = after["deliveries"].row(0, named=True)
    assert (delivery["state"], delivery["driver_id"], delivery["slot"]) == ("ASSIGNED", 7, 1)
    assert delivery["assigned_at"] == NOW
    assert after["driver_offers"]["cause"].to_list() == [None, "TAKEN_BY_OTHER"]
    assert after["unassigned_orders"].row(0, named=True)["closed_at"] == NOW
    assert answer(after).code == "OK_REPLAY" and answer(after).changes == ()
    assert answer(after, driver=8, offer=6).code == "LOST_RACE"


@pytest.mark.parametrize(
    ("sent", "code"),
    [(29.999, "OK"), (30, "OK_LATE"), (31.999999, "OK_LATE"), (32, "OFFER_EXPIRED")],
)
def test_the_hard_deadline_decides_to_the_microsecond(sent, code):
    given = answer(offered(sent=seconds(sent)))
    assert given.code == code
    assert [c.after["late"] for c in given.changes[:1]] == {"OK": [False], "OK_LATE": [True]}.get(
        code, []
    )


REFUSED: dict[str, tuple[Tables, dict[str, Any], str]] = {
    "no such offer": (offered(), {"offer": 99}, "NOT_FOUND"),
    "somebody else's offer": (offered(a_driver(8)), {"driver": 8}, "NOT_FOUND"),
    "it ran out": (offered(state="EXPIRED", sent=minutes(1)), {}, "OFFER_EXPIRED"),
    "it was withdrawn": (offered(state="REVOKED", cause="OPS"), {}, "OFFER_REVOKED"),
    "the push failed": (offered(state="UNDELIVERABLE"), {}, "OFFER_REVOKED"),
    "another was faster": (offered(state="REVOKED", cause="TAKEN_BY_OTHER"), {}, "LOST_RACE"),
    "the customer cancelled": (
        offered(state="REVOKED", cause="DELIVERY_CANCELLED"),
        {},
        "DELIVERY_CANCELLED",
    ),
    "he declined it before": (offered(state="DECLINED"), {}, "ILLEGAL_TRANSITION"),
    "the terms changed": (offered(), {"payload_sha256": "0" * 64}, "PAYLOAD_CHANGED"),
    "he went on a break": (
        tables(
            a_delivery(1, state="OFFERING"), an_offer(5, driver=7), a_driver(7, duty="ON_BREAK")
        ),
        {},
        "ILLEGAL_TRANSITION",
    ),
    "his hands are full": (
        offered(
            a_delivery(2, state="PICKED_UP", driver=7, slot=1),
            a_delivery(3, state="PICKED_UP", driver=7, slot=2),
        ),
        {},
        "ILLEGAL_TRANSITION",
    ),
    "the delivery is cancelled and the offer not yet": (
        tables(a_delivery(1, state="CANCELLED"), an_offer(5, driver=7), a_driver(7)),
        {},
        "DELIVERY_CANCELLED",
    ),
    "the delivery was cancelled after he accepted it": (
        tables(
            a_delivery(1, state="CANCELLED"), an_offer(5, driver=7, state="ACCEPTED"), a_driver(7)
        ),
        {},
        "DELIVERY_CANCELLED",
    ),
    "the offer is of an old episode": (
        tables(a_delivery(1, state="OFFERING", episode=2), an_offer(5, driver=7), a_driver(7)),
        {},
        "ILLEGAL_TRANSITION",
    ),
}


@pytest.mark.parametrize("because", REFUSED)
def test_an_acceptance_is_refused_by_name_and_changes_nothing_when(because):
    tables, event, code = REFUSED[because]
    given = answer(tables, **event)
    assert (given.code, given.changes, given.refused) == (code, (), True)


def test_a_withdrawn_offer_tells_why_it_was_withdrawn():
    assert answer(offered(state="REVOKED", cause="OPS")).details == {"cause": "OPS"}
    assert answer(offered(state="REVOKED", cause="TAKEN_BY_OTHER")).details == {}, (
        "LOST_RACE says it already"
    )


def test_the_terms_the_driver_saw_are_the_terms_that_count():
    town = offered()
    assert answer(town, payload_sha256=town["driver_offers"]["payload_sha256"][0]).code == "OK"


def test_the_lowest_free_slot_is_taken():
    town = offered(a_delivery(2, state="PICKED_UP", driver=7, slot=2))
    assert answer(town).changes[1].after["slot"] == 1
    town = offered(a_delivery(2, state="PICKED_UP", driver=7, slot=1))
    assert answer(town).changes[1].after["slot"] == 2


def test_a_decline_ends_the_round_with_its_reason():
    town = offered()
    given = answer(town, "decline", reason="TOO_FAR")
    assert [c.event for c in given.changes] == ["offer_rejected", "delivery_unassigned"]
    assert given.changes[0].after["cause"] == "TOO_FAR"
    assert given.changes[1].after == {"state": "UNASSIGNED", "attempt": 1}
    assert answer(apply(town, given.changes), "decline").code == "OK_REPLAY"


def test_a_decline_leaves_the_round_open_while_another_offer_is_pending():
    given = answer(offered(an_offer(6, driver=8)), "decline")
    assert [c.event for c in given.changes] == ["offer_rejected"]
    assert given.changes[0].after["cause"] == "OTHER"


@pytest.mark.parametrize("name", ["accept", "decline"])
def test_any_answer_ends_a_run_of_timeouts(name):
    town = tables(a_delivery(1, state="OFFERING"), an_offer(5, driver=7), a_driver(7, timeouts=2))
    [driver] = [c for c in answer(town, name).changes if c.entity == "driver"]
    assert driver.after == {"timeouts": 0}


def test_a_decline_after_the_deadline_is_too_late():
    assert answer(offered(sent=seconds(32)), "decline").code == "OFFER_EXPIRED"


def test_an_unknown_reason_to_decline_is_a_usage_error_naming_the_known_ones():
    with pytest.raises(Usage, match=r"BORED.*TOO_FAR"):
        answer(offered(), "decline", reason="BORED")

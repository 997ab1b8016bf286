"""Word of an offer's push: it arrived, it was looked at, or it failed; and what that does to silence."""

from __future__ import annotations

from typing import Any

import pytest

from dispatchkit.decide.offers.model import Params
from dispatchkit.decide.offers.policy import FEATURE, decide
from dispatchkit.domain.feature import Answer, Event
from dispatchkit.kernel.errors import Usage
from dispatchkit.travel.straight_line import StraightLine
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
from tests.unit.decide.corridor import apply, gather, locked


def hears(tables: Tables, name: str, *, driver: int = 7, **args: Any) -> Answer:
    event = Event(name=name, actor="system:push", driver_id=driver, offer_id=5, args=args)
    assert FEATURE.respond is not None
    return FEATURE.respond(locked(tables, event), event, Params(), NOW)


def offered(*more: Rows, **offer: Any) -> Tables:
    """Delivery 1 offered to driver 7 by offer 5, ten seconds ago."""
    return tables(
        a_delivery(1, state="OFFERING"), an_offer(5, driver=7, **offer), a_driver(7), *more
    )


def test_a_receipt_is_noted_once_and_leaves_the_offer_pending():
    town = offered()
    given = hears(town, "delivered")
    assert [(c.event, c.after) for c in given.changes] == [
        ("offer_delivered", {"delivered_at": NOW})
    ]
    after = apply(town, given.changes)
    assert after["driver_offers"]["state"].to_list() == ["PENDING"]
    assert hears(after, "delivered") == Answer("OK_REPLAY")
    assert hears(after, "viewed").changes[0].after == {"viewed_at": NOW}


def test_who_has_looked_at_an_offer_has_received_it():
    assert hears(offered(), "viewed").changes[0].after == {"delivered_at": NOW, "viewed_at": NOW}


@pytest.mark.parametrize(("sent", "code"), [(29.999, "OK"), (30, "OFFER_EXPIRED")])
def test_a_receipt_counts_only_while_the_offer_is_shown(sent, code):
    """Else a push that arrives with the deadline would count as the driver's silence."""
    assert hears(offered(sent=seconds(sent)), "delivered").code == code


@pytest.mark.parametrize("state", ["ACCEPTED", "DECLINED"])
def test_a_receipt_after_the_answer_says_nothing_new(state):
    assert hears(offered(state=state), "delivered") == Answer("OK_REPLAY")


def test_a_failed_push_ends_the_offer_and_the_round_and_counts_against_nobody():
    town = tables(
        a_delivery(1, state="OFFERING"), an_offer(5, driver=7), a_driver(7, timeouts=2), a_driver(8)
    )
    given = hears(town, "undeliverable", reason="NO_ACKNOWLEDGEMENT")
    assert [c.event for c in given.changes] == [
        "offer_undeliverable",
        "delivery_unassigned",
        "driver_cooled_down",
    ]
    assert given.changes[0].after["cause"] == "NO_ACKNOWLEDGEMENT"
    assert given.changes[1].after == {"state": "UNASSIGNED", "attempt": 1}
    assert given.changes[2].after == {"cooldown_until": NOW + minutes(1)}
    after = apply(town, given.changes)
    assert hears(after, "undeliverable") == Answer("OK_REPLAY")
    assert hears(after, "accept") == Answer(
        "OFFER_REVOKED", refused=True, details={"cause": "NO_ACKNOWLEDGEMENT"}
    )
    asked = decide(gather(FEATURE, after, NOW), Params(), NOW, StraightLine(), 0).changes
    assert [c.after["driver_id"] for c in asked if c.event == "offer_created"] == [8]


def test_a_failed_push_never_cuts_a_longer_rest_short():
    town = tables(
        a_delivery(1, state="OFFERING"),
        an_offer(5, driver=7),
        a_driver(7, cooldown_until=NOW + minutes(9)),
    )
    assert hears(town, "undeliverable").changes[2].after == {"cooldown_until": NOW + minutes(9)}


def test_a_failed_push_leaves_the_round_open_while_another_offer_is_pending():
    given = hears(offered(an_offer(6, driver=8)), "undeliverable")
    assert [c.event for c in given.changes] == ["offer_undeliverable", "driver_cooled_down"]


def test_what_the_phone_has_shown_cannot_have_failed():
    assert hears(offered(delivered_at=NOW - seconds(5)), "undeliverable") == Answer(
        "ILLEGAL_TRANSITION", refused=True
    )


def test_a_push_that_failed_is_told_from_silence_even_after_the_deadline():
    assert hears(offered(sent=seconds(40)), "undeliverable").code == "OK"
    assert (
        hears(offered(sent=seconds(40), state="EXPIRED"), "undeliverable").code == "OFFER_EXPIRED"
    )


def test_only_the_driver_who_was_asked_is_heard():
    assert hears(offered(a_driver(8)), "delivered", driver=8) == Answer("NOT_FOUND", refused=True)


def test_a_reason_of_several_words_is_refused():
    with pytest.raises(Usage, match="one word"):
        hears(offered(), "undeliverable", reason="the phone of Mr Smith")

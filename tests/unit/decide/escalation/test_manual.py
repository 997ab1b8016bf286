"""What operations say of an open search, and what becomes of it; a repeated word has the same answer."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from dispatchkit.decide.escalation.manual import respond
from dispatchkit.decide.escalation.params import Params
from dispatchkit.domain.feature import Answer, Event
from dispatchkit.kernel.errors import Usage
from tests.builders import NOW, Tables, a_case, a_delivery, an_episode, an_offer, minutes, tables
from tests.unit.decide.corridor import apply, locked
from tests.unit.decide.escalation.ladder import ESCALATED, a_ticket, episode, events, levels, run


def said(tables: Tables, name: str, delivery: int = 1, **args: Any) -> Answer:
    event = Event(name=name, actor="ops", delivery_id=delivery, args=args)
    return respond(locked(tables, event), event, Params(), NOW)


def climbed(level: int = 0, **notes: Any) -> Tables:
    """Return a town with one delivery whose search stands at a level."""
    reached: dict[str, Any] = (
        {"level": level, "level_at": NOW - minutes(1), "level_due_at": NOW - minutes(1)}
        if level
        else {}
    )
    town = tables(
        a_delivery(1, state="CREATED"), an_episode(1, opened=minutes(8), **reached, **notes)
    )
    return {**town, "deliveries": town["deliveries"].with_columns(state=pl.lit("UNASSIGNED"))}


ESCALATIONS = [
    (0, None, "OK", [1]),
    (1, None, "OK", [2]),
    (0, 3, "OK", [1, 2, 3]),
    (2, 2, "OK_REPLAY", []),
    (3, 2, "ILLEGAL_TRANSITION", []),
    (4, None, "ILLEGAL_TRANSITION", []),
    (4, 4, "OK_REPLAY", []),
]


@pytest.mark.parametrize(("at", "to", "code", "told"), ESCALATIONS)
def test_a_person_raises_a_search_and_never_lowers_it(at, to, code, told):
    answer = said(climbed(at), "escalate", level=to)
    assert (answer.code, answer.refused) == (code, code == "ILLEGAL_TRANSITION")
    assert [level for level, _, _, _ in levels(answer.changes)] == told
    assert ("support_ticket_created" in events(answer.changes)) == (3 in told)


def test_a_level_raised_by_hand_is_due_now_and_the_clocks_go_on_from_there():
    town = climbed(0)
    answer = said(town, "escalate", level=2)
    assert levels(answer.changes) == [(1, "OPS", 0, False), (2, "OPS", 0, True)]
    after = apply(town, answer.changes)
    assert run(after) == [], "six minutes have passed, but level 2 is reached"
    assert levels(run(after, NOW + minutes(2))) == [(3, "AGE", 0, True)]
    assert said(after, "escalate", level=2).code == "OK_REPLAY"


def test_a_cause_is_told_as_a_sweep_last_saw_it_or_as_the_locked_rows_tell():
    declined = {
        **climbed(0),
        **{
            "driver_offers": tables(an_offer(5, state="DECLINED", cause="LOW_PAY"))["driver_offers"]
        },
    }
    [change] = said(declined, "escalate").changes
    assert change.after["cause"] == "NO_ACCEPTANCE"
    [change] = said(climbed(1, cause="MERCHANT"), "escalate").changes
    assert change.after["cause"] == "MERCHANT"
    taken = tables(
        a_delivery(1, episode=2),
        a_case(3, driver=7, state="REOFFERING", trigger="MERCHANT_WAIT", released_at=NOW),
    )
    assert said(taken, "escalate").changes[0].after["cause"] == "MERCHANT"


CLOSED = [
    ("ASSIGNED", "ILLEGAL_TRANSITION"),
    ("DELIVERED", "ILLEGAL_TRANSITION"),
    ("CANCELLED", "DELIVERY_CANCELLED"),
]


@pytest.mark.parametrize("act", ["escalate", "ack", "snooze"])
@pytest.mark.parametrize(("state", "code"), CLOSED)
def test_a_delivery_that_seeks_nobody_is_refused(state, code, act):
    driver = None if state == "CANCELLED" else 7
    town = tables(
        a_delivery(1, state=state, driver=driver), an_episode(1, state="ASSIGNED", closed_at=NOW)
    )
    assert said(town, act, minutes=5) == Answer(code, refused=True)


@pytest.mark.parametrize("act", ["escalate", "ack", "snooze", "close_ticket"])
def test_a_delivery_that_is_not_there_is_not_found(act):
    assert said(climbed(2), act, delivery=9, minutes=5, ticket=4) == Answer(
        "NOT_FOUND", refused=True
    )


def test_an_acknowledgement_holds_until_the_next_level():
    town = climbed(2)
    first = said(town, "ack")
    assert (first.code, [dict(c.after) for c in first.changes]) == ("OK", [{"acked_at": NOW}])
    after = apply(town, first.changes)
    assert said(after, "ack") == Answer("OK_REPLAY")
    risen = climbed(3, acked_at=NOW - minutes(2))
    assert said(risen, "ack").code == "OK"
    assert said(climbed(0), "ack") == Answer("ILLEGAL_TRANSITION", refused=True), (
        "nothing has been said yet"
    )


def test_a_snooze_lasts_as_long_as_asked_and_a_repeat_changes_nothing():
    town = climbed(2)
    after = apply(town, said(town, "snooze", minutes=15).changes)
    assert episode(after)["snoozed_until"] == NOW + minutes(15)
    assert said(after, "snooze", minutes=15) == Answer("OK_REPLAY")
    assert said(after, "snooze", minutes=5).code == "OK"


def test_a_ticket_is_closed_once():
    town = tables(a_delivery(1), a_ticket(4))
    answer = said(town, "close_ticket", ticket=4)
    [change] = answer.changes
    assert (change.event, dict(change.after)) == (
        "support_ticket_closed",
        {"state": "CLOSED", "closed_at": NOW, "closed_by": "ops"},
    )
    assert said(apply(town, answer.changes), "close_ticket", ticket=4) == Answer("OK_REPLAY")
    assert said(town, "close_ticket", ticket=5) == Answer("NOT_FOUND", refused=True)


@pytest.mark.parametrize(
    ("act", "args"),
    [("escalate", {"level": 5}), ("escalate", {"level": 0}), ("snooze", {"minutes": 0})],
)
def test_a_level_or_a_time_that_there_is_not_is_a_usage_error(act, args):
    with pytest.raises(Usage):
        said(climbed(1), act, **args)


def test_each_level_by_hand_and_by_clock_is_told_once_in_a_lifetime():
    town = climbed(0)
    told: list[int] = []
    for at, level in ((NOW, 2), (NOW + minutes(5), None), (NOW + minutes(6), 4)):
        if level:
            event = Event(name="escalate", actor="ops", delivery_id=1, args={"level": level})
            changes = list(respond(locked(town, event), event, Params(), at).changes)
        else:
            changes = run(town, at)
        told += [change.payload["level"] for change in changes if change.event == ESCALATED]
        town = apply(town, changes)
    assert told == [1, 2, 3, 4]

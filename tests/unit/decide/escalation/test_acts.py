"""Acts of operations on an open search; a repeated act has the same result."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from dispatchkit.decide.escalation.acts import respond
from dispatchkit.decide.escalation.model import Params
from dispatchkit.domain.feature import Answer, Event
from dispatchkit.kernel.errors import Usage
from tests.builders import NOW, Tables, a_case, a_delivery, an_episode, an_offer, minutes, tables
from tests.unit.decide.corridor import apply, locked
from tests.unit.decide.escalation.scenario import ESCALATED, a_ticket, episode, events, levels, run


def act(tables: Tables, name: str, delivery: int = 1, **args: Any) -> Answer:
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


@pytest.mark.parametrize(("at", "to", "code", "announced"), ESCALATIONS)
def test_escalate_raises_level_never_lowers(at, to, code, announced):
    answer = act(climbed(at), "escalate", level=to)
    assert (answer.code, answer.refused) == (code, code == "ILLEGAL_TRANSITION")
    assert [level for level, _, _, _ in levels(answer.changes)] == announced
    assert ("support_ticket_created" in events(answer.changes)) == (3 in announced)


def test_manual_level_is_due_now_clocks_continue():
    town = climbed(0)
    answer = act(town, "escalate", level=2)
    assert levels(answer.changes) == [(1, "OPS", 0, False), (2, "OPS", 0, True)]
    after = apply(town, answer.changes)
    assert run(after) == [], "six minutes have passed, but level 2 is reached"
    assert levels(run(after, NOW + minutes(2))) == [(3, "AGE", 0, True)]
    assert act(after, "escalate", level=2).code == "OK_REPLAY"


def test_cause_from_last_sweep_or_locked_rows():
    declined = {
        **climbed(0),
        **{
            "driver_offers": tables(an_offer(5, state="DECLINED", cause="LOW_PAY"))["driver_offers"]
        },
    }
    [change] = act(declined, "escalate").changes
    assert change.after["cause"] == "NO_ACCEPTANCE"
    [change] = act(climbed(1, cause="MERCHANT"), "escalate").changes
    assert change.after["cause"] == "MERCHANT"
    taken = tables(
        a_delivery(1, episode=2),
        a_case(3, driver=7, state="REOFFERING", trigger="MERCHANT_WAIT", released_at=NOW),
    )
    assert act(taken, "escalate").changes[0].after["cause"] == "MERCHANT"


CLOSED = [
    ("ASSIGNED", "ILLEGAL_TRANSITION"),
    ("DELIVERED", "ILLEGAL_TRANSITION"),
    ("CANCELLED", "DELIVERY_CANCELLED"),
]


@pytest.mark.parametrize("name", ["escalate", "ack", "snooze"])
@pytest.mark.parametrize(("state", "code"), CLOSED)
def test_delivery_without_search_is_refused(state, code, name):
    driver = None if state == "CANCELLED" else 7
    town = tables(
        a_delivery(1, state=state, driver=driver), an_episode(1, state="ASSIGNED", closed_at=NOW)
    )
    assert act(town, name, minutes=5) == Answer(code, refused=True)


@pytest.mark.parametrize("name", ["escalate", "ack", "snooze", "close_ticket"])
def test_unknown_delivery_is_not_found(name):
    assert act(climbed(2), name, delivery=9, minutes=5, ticket=4) == Answer(
        "NOT_FOUND", refused=True
    )


def test_acknowledgement_holds_until_next_level():
    town = climbed(2)
    first = act(town, "ack")
    assert (first.code, [dict(c.after) for c in first.changes]) == ("OK", [{"acked_at": NOW}])
    after = apply(town, first.changes)
    assert act(after, "ack") == Answer("OK_REPLAY")
    risen = climbed(3, acked_at=NOW - minutes(2))
    assert act(risen, "ack").code == "OK"
    assert act(climbed(0), "ack") == Answer("ILLEGAL_TRANSITION", refused=True), (
        "the search has not reached a level"
    )


def test_snooze_repeat_changes_nothing():
    town = climbed(2)
    after = apply(town, act(town, "snooze", minutes=15).changes)
    assert episode(after)["snoozed_until"] == NOW + minutes(15)
    assert act(after, "snooze", minutes=15) == Answer("OK_REPLAY")
    assert act(after, "snooze", minutes=5).code == "OK"


def test_ticket_is_closed_once():
    town = tables(a_delivery(1), a_ticket(4))
    answer = act(town, "close_ticket", ticket=4)
    [change] = answer.changes
    assert (change.event, dict(change.after)) == (
        "support_ticket_closed",
        {"state": "CLOSED", "closed_at": NOW, "closed_by": "ops"},
    )
    assert act(apply(town, answer.changes), "close_ticket", ticket=4) == Answer("OK_REPLAY")
    assert act(town, "close_ticket", ticket=5) == Answer("NOT_FOUND", refused=True)


@pytest.mark.parametrize(
    ("name", "args"),
    [("escalate", {"level": 5}), ("escalate", {"level": 0}), ("snooze", {"minutes": 0})],
)
def test_impossible_level_or_minutes_is_usage_error(name, args):
    with pytest.raises(Usage):
        act(climbed(1), name, **args)


def test_each_level_is_announced_once():
    town = climbed(0)
    announced: list[int] = []
    for at, level in ((NOW, 2), (NOW + minutes(5), None), (NOW + minutes(6), 4)):
        if level:
            event = Event(name="escalate", actor="ops", delivery_id=1, args={"level": level})
            changes = list(respond(locked(town, event), event, Params(), at).changes)
        else:
            changes = run(town, at)
        announced += [change.payload["level"] for change in changes if change.event == ESCALATED]
        town = apply(town, changes)
    assert announced == [1, 2, 3, 4]

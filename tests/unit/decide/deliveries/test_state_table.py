"""Each act on a delivery in each state: legal or refused."""

from __future__ import annotations

import pytest

from dispatchkit.decide.deliveries.policy import ACTS
from dispatchkit.decide.deliveries.steps import STEPS
from dispatchkit.domain.states import CHAIN, DELIVERY, HOLDS_GOODS, TO_PICKUP
from tests.builders import Rows, a_driver, an_offer, tables
from tests.unit.decide.corridor import apply
from tests.unit.decide.deliveries.delivery_act import a_job, tell

LEADS = {act: to for act, (to, _, _) in STEPS.items()} | {
    "fail": "FAILED",
    "return": "RETURNING",
    "returned": "RETURNED",
    "rescue": "RESCUE",
    "handover": "PICKED_UP",
}
BEYOND_PICKUP = set(CHAIN[CHAIN.index("PICKED_UP") + 1 :])
# what only a sweep, the offers or the reassignment may do, and what only an import may
ELSEWHERE = {
    *((state, "UNASSIGNED") for state in ("CREATED", "SCHEDULED", "OFFERING", *TO_PICKUP)),
    ("CREATED", "SCHEDULED"),
    ("UNASSIGNED", "OFFERING"),
    *((state, to) for state in ("UNASSIGNED", "OFFERING") for to in ("ASSIGNED", "UNFULFILLED")),
    *((state, to) for state in TO_PICKUP for to in BEYOND_PICKUP),
}
RESTORED = {("UNASSIGNED", "PICKED_UP"), ("OFFERING", "PICKED_UP")}  # shown in test_custody.py


def target(act: str, state: str) -> str:
    """Return the state that an act leads to."""
    if act == "cancel":
        return "RETURNING" if state in HOLDS_GOODS else "CANCELLED"
    return LEADS[act]


def legal(act: str, state: str) -> bool:
    """Return whether the table allows an act in a state, by operations or by the delivery's driver."""
    to = target(act, state)
    if (state, to) in ELSEWHERE | RESTORED:
        return False
    if to == "PICKED_UP" and (state == "RESCUE") != (act == "handover"):
        return False  # goods change hands by a handover, which nothing but a rescue allows
    return DELIVERY.allows(state, to)


def town(state: str) -> Rows:
    asked = an_offer(5, driver=9) if state == "OFFERING" else []
    return [*a_job(state), *asked, *a_driver(7), *a_driver(8)]


def answer(act: str, state: str):
    frames = tables(town(state))
    return frames, tell(frames, act, driver=8 if act == "handover" else None)


PAIRS = [(act, state) for act in ACTS for state in sorted(DELIVERY.states)]
LEGAL = [pair for pair in PAIRS if legal(*pair)]


@pytest.mark.parametrize(("act", "state"), LEGAL)
def test_listed_act_moves_delivery(act, state):
    tables, given = answer(act, state)
    assert (given.code, given.refused) == ("OK", False)
    assert apply(tables, given.changes)["deliveries"]["state"].item() == target(act, state)


@pytest.mark.parametrize(("act", "state"), sorted(set(PAIRS) - set(LEGAL)))
def test_unlisted_act_changes_nothing(act, state):
    _, given = answer(act, state)
    assert given.changes == ()
    assert (given.code == "OK_REPLAY") != given.refused
    if given.refused:
        assert given.code == (
            "DELIVERY_CANCELLED" if state == "CANCELLED" else "ILLEGAL_TRANSITION"
        )


@pytest.mark.parametrize(("act", "state"), LEGAL)
def test_repeated_act_is_replay(act, state):
    tables, given = answer(act, state)
    again = tell(apply(tables, given.changes), act, driver=8 if act == "handover" else None)
    assert (again.code, again.changes) == ("OK_REPLAY", ())


def test_acts_and_other_writers_cover_every_transition():
    by_acts = {(state, target(act, state)) for act, state in LEGAL}
    told = {(was, to) for _, was, to in DELIVERY.rows() if was}
    assert told == by_acts | ELSEWHERE | RESTORED
    assert by_acts.isdisjoint(ELSEWHERE | RESTORED)

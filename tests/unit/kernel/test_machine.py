"""A state machine refuses what is not listed, and names both states when it does."""

from __future__ import annotations

import pytest

from dispatchkit.kernel.errors import IllegalTransition
from dispatchkit.kernel.machine import INITIAL, machine

DOOR = machine("doors", {INITIAL: "SHUT", "SHUT": "OPEN BRICKED", "OPEN": "SHUT"})


def test_legal_step_returns_new_state():
    assert DOOR.step("SHUT", "OPEN") == "OPEN"
    assert DOOR.step(INITIAL, "SHUT") == "SHUT"


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("OPEN", "BRICKED"),
        ("OPEN", "OPEN"),
        ("BRICKED", "OPEN"),
        (INITIAL, "OPEN"),
        ("GLASS", "OPEN"),
    ],
)
def test_unlisted_step_is_refused_by_name(was, becomes):
    with pytest.raises(IllegalTransition, match=f'doors: "{was}" may not become "{becomes}"'):
        DOOR.step(was, becomes)


def test_initial_is_not_state():
    assert DOOR.states == {"SHUT", "OPEN", "BRICKED"}
    assert DOOR.terminal == {"BRICKED"}


def test_rows_come_sorted():
    assert list(DOOR.rows()) == [
        ("doors", "", "SHUT"),
        ("doors", "OPEN", "SHUT"),
        ("doors", "SHUT", "BRICKED"),
        ("doors", "SHUT", "OPEN"),
    ]

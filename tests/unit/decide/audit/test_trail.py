"""A chain read back: what each event changed, and how the rows stood at an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dispatchkit.decide.audit.model import Params
from dispatchkit.decide.audit.trail import UNTOLD, TrailEvent, state_at, timeline
from dispatchkit.kernel.errors import BadConfig

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def told(
    seq: int,
    image: dict[str, Any] | None,
    *,
    row: tuple[str, int] = ("deliveries", 7),
    op: str = "U",
    **more: Any,
) -> TrailEvent:
    """Return an event `seq` seconds past noon, in a transaction of its own unless it says which."""
    values: dict[str, Any] = {
        "archived": False,
        "login": "cron",
        "actor": None,
        "run_id": None,
        "reason": "offers",
    }
    values |= {"at": NOON + timedelta(seconds=seq), "transaction": f"1/{seq}"} | more
    return TrailEvent(
        seq=seq, tbl=row[0], row_id=row[1], row_version=seq, op=op, image=image, **values
    )


BORN = told(1, {"id": 7, "state": "CREATED", "driver_id": None, "version": 1}, op="I")
SEEKS = told(2, {"id": 7, "state": "UNASSIGNED", "driver_id": None, "version": 2})
TAKEN = told(3, {"id": 7, "state": "ASSIGNED", "driver_id": 4, "version": 3})
GONE = told(4, None, op="D")


def test_step_shows_only_changed_values():
    changed = [step.changed for step in timeline([BORN, SEEKS, TAKEN, GONE])]
    assert changed == [
        {"id": (None, 7), "state": (None, "CREATED"), "version": (None, 1)},
        {"state": ("CREATED", "UNASSIGNED")},
        {"state": ("UNASSIGNED", "ASSIGNED"), "driver_id": (None, 4)},
        {},
    ]


def test_rows_of_one_chain_are_distinguished():
    offer = told(3, {"id": 9, "state": "PENDING", "version": 1}, row=("driver_offers", 9), op="I")
    assert [set(step.changed) for step in timeline([BORN, SEEKS, offer])][1:] == [
        {"state"},
        {"id", "state", "version"},
    ]


def test_column_that_came_later_was_nothing_before():
    later = told(2, {**(BORN.image or {}), "liable": "merchant"})
    assert timeline([BORN, later])[1].changed == {"liable": (None, "merchant")}


def test_value_before_archived_event_is_unknown():
    away = told(2, None, archived=True)
    steps = timeline([BORN, away, TAKEN])
    assert steps[1].changed == {}
    assert steps[2].changed == {
        "state": (UNTOLD, "ASSIGNED"),
        "driver_id": (UNTOLD, 4),
        "version": (UNTOLD, 3),
    }
    assert state_at([BORN, away], NOON + timedelta(seconds=2)) == {
        "deliveries": [{"id": 7, "version": 2, "image": UNTOLD}]
    }


@pytest.mark.parametrize(
    ("second", "state"),
    [(0, None), (1, "CREATED"), (1.5, "CREATED"), (2, "UNASSIGNED"), (3, "ASSIGNED"), (4, None)],
)
def test_instant_shows_version_that_stood_then(second, state):
    found = state_at([BORN, SEEKS, TAKEN, GONE], NOON + timedelta(seconds=second))
    assert [row["state"] for row in found.get("deliveries", [])] == ([state] if state else [])


def test_no_instant_shows_half_transaction():
    offer = told(5, {"id": 9, "state": "ACCEPTED"}, row=("driver_offers", 9), transaction="1/3")
    between = state_at([BORN, SEEKS, TAKEN, offer], TAKEN.at + timedelta(seconds=1))
    assert between == {"deliveries": [SEEKS.image]}
    whole = state_at([BORN, SEEKS, TAKEN, offer], offer.at)
    assert whole == {"deliveries": [TAKEN.image], "driver_offers": [offer.image]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seal": timedelta()}, "seal is"),
        ({"pings": timedelta(days=-1)}, "pings is"),
        ({"retention": timedelta(seconds=30)}, "seal (0:01:00) must be shorter than retention"),
    ],
)
def test_invalid_spans_are_refused_by_name(given, said):
    with pytest.raises(BadConfig) as fault:
        Params(**given)
    assert said in str(fault.value)

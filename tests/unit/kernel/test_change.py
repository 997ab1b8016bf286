"""A decision has one id, whatever process makes it and in whatever order its columns come."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from dispatchkit.domain.changes import Change
from dispatchkit.kernel.canonical_json import canonical

AT = datetime(2026, 3, 2, 19, 30, tzinfo=UTC)
CHANGE = Change(
    entity="offer",
    id=9,
    version=2,
    event="offer_expired",
    after={"state": "EXPIRED", "responded_at": AT, "late": False, "cause": None},
    before={"state": "PENDING"},
    reason="DEADLINE",
    at=AT,
    root=("delivery", 4),
)
SCRIPT = """
from datetime import UTC, datetime
from dispatchkit.domain.changes import Change
at = datetime(2026, 3, 2, 19, 30, tzinfo=UTC)
after = {"state": "EXPIRED", "responded_at": at, "late": False, "cause": None}
after = {name: after[name] for name in set(after)}  # an order that the hash seed decides
words = {"entity": "offer", "id": 9, "version": 2, "event": "offer_expired"}
print(Change(**words, after=after, reason="", at=at, root=("delivery", 4)).decision_id("offers").hex())
"""


def test_id_is_same_in_every_process():
    ids = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1", "2", "3")
    }
    assert ids == {CHANGE.decision_id("offers").hex()}


@pytest.mark.parametrize(
    "other",
    [
        {"entity": "delivery"},
        {"id": 10},
        {"version": 3},
        {"event": "offer_revoked"},
        {"after": {**CHANGE.after, "late": True}},
        {"after": {**CHANGE.after, "responded_at": AT + timedelta(microseconds=1)}},
    ],
)
def test_another_decision_has_another_id(other):
    assert replace(CHANGE, **other).decision_id("offers") != CHANGE.decision_id("offers")


def test_another_sweep_deciding_same_has_another_id():
    assert CHANGE.decision_id("offers") != CHANGE.decision_id("reassignment")


@pytest.mark.parametrize(
    "other",
    [
        {"reason": "LATE"},
        {"at": AT + timedelta(hours=1)},
        {"why": {"chosen": 1}},
        {"after": dict(reversed(list(CHANGE.after.items())))},
        {"after": {**CHANGE.after, "responded_at": AT.astimezone(timezone(timedelta(hours=5)))}},
    ],
)
def test_decision_id_ignores_reason_and_spelling(other):
    assert replace(CHANGE, **other).decision_id("offers") == CHANGE.decision_id("offers")


def test_change_is_shown_as_json():
    shown = json.loads(canonical(CHANGE.shown("offers")))
    assert shown["after"]["responded_at"] == "2026-03-02T19:30:00.000000Z"
    assert shown["decision_id"] == CHANGE.decision_id("offers").hex()
    assert (shown["entity"], shown["id"], shown["version"]) == ("offer", 9, 2)


def test_canonical_json_has_one_spelling():
    assert (
        canonical({"b": (1, 2), "a": {"d": None, "c": "ü"}}) == '{"a":{"c":"ü","d":null},"b":[1,2]}'
    )


def test_not_number_cannot_be_decided():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"score": float("nan")})

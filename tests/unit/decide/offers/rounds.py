"""One run of the offers sweep on a made-up town, and what it asked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dispatchkit.decide.offers.model import Params
from dispatchkit.decide.offers.policy import FEATURE, decide
from dispatchkit.domain.changes import Change
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import NOW, Tables
from tests.unit.decide.corridor import apply, gather

TRAVEL = StraightLine()


def run(tables: Tables, now: datetime = NOW, **params: Any) -> list[Change]:
    return list(decide(gather(FEATURE, tables, now), Params(**params), now, TRAVEL, 0).changes)


def after(tables: Tables, now: datetime = NOW, **params: Any) -> Tables:
    """Return the town after a run; a second at the same instant must find nothing to do."""
    left = apply(tables, run(tables, now, **params))
    assert run(left, now, **params) == []
    return left


def said(tables: Tables, now: datetime = NOW, **params: Any) -> list[dict[str, Any]]:
    decision = decide(gather(FEATURE, tables, now), Params(**params), now, TRAVEL, 0)
    return [dict(row) for row in decision.explanations()]


def asked(changes: list[Change]) -> list[tuple[int, int]]:
    """Return (delivery, driver) of the offers made."""
    return [
        (c.root[1], int(str(c.after["driver_id"]))) for c in changes if c.event == "offer_created"
    ]


def offer(changes: list[Change]) -> Change:
    """Return the only offer made."""
    [made] = [c for c in changes if c.event == "offer_created"]
    return made

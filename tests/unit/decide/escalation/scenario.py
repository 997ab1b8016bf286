"""Helpers for tests of escalation: sweep tables at an instant, and read the changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from dispatchkit.decide.escalation.model import Params
from dispatchkit.decide.escalation.policy import FEATURE, decide
from dispatchkit.domain.changes import Change
from dispatchkit.domain.feature import OUTSIDE
from dispatchkit.travel.straight_line import StraightLine
from tests.builders import NOW, Row, Rows, Tables
from tests.unit.decide.corridor import apply, gather

TRAVEL = StraightLine()
ESCALATED = "unassigned_order_escalated"


def a_ticket(
    id: int = 1, *, delivery: int = 1, cause: str = "NO_SUPPLY", level: int = 3, **columns: Any
) -> Rows:
    """Return an open ticket of a delivery's first search."""
    values = {
        "id": id,
        "delivery_id": delivery,
        "episode": 1,
        "level": level,
        "cause": cause,
        "state": "OPEN",
    }
    return [
        Row("support_tickets", values | {"opened_at": NOW, "due_at": NOW, "version": 1} | columns)
    ]


def run(
    tables: Tables, at: datetime = NOW, *, outside: bool = False, **params: Any
) -> list[Change]:
    """Return what one sweep decides. outside: no delivery is in the rollout."""
    frames = gather(FEATURE, tables, at)
    if outside:
        marked = {name: frame for name, frame in frames.items() if OUTSIDE in frame.columns}
        frames |= {
            name: frame.with_columns(outside=pl.lit(value=True)) for name, frame in marked.items()
        }
    return list(decide(frames, Params(**params), at, TRAVEL, 0).changes)


def swept(tables: Tables, at: datetime = NOW, **params: Any) -> Tables:
    """Return the tables after one sweep."""
    return apply(tables, run(tables, at, **params))


def queue(tables: Tables, at: datetime = NOW) -> list[Any]:
    """Return the open searches as operations read them, instants as text."""
    return list(decide(gather(FEATURE, tables, at), Params(), at, TRAVEL, 0).explanations())


def levels(changes: Sequence[Change]) -> list[tuple[Any, ...]]:
    """Return (level, clock, minutes it was late, notify) of each level that was climbed."""
    escalated = [change for change in changes if change.event == ESCALATED]
    return [
        (c.payload["level"], c.reason, c.payload["lagS"] / 60, c.payload["notify"])
        for c in escalated
    ]


def dues(changes: Sequence[Change]) -> list[datetime]:
    """Return when each level that was climbed was due."""
    return [
        due
        for c in changes
        if c.event == ESCALATED and isinstance(due := c.after["level_due_at"], datetime)
    ]


def events(changes: Sequence[Change]) -> list[str]:
    return [change.event for change in changes]


def seen(tables: Tables, at: datetime) -> Tables:
    """Return the tables with every driver seen again at this instant, at the same place."""
    pings = tables["driver_locations"].with_columns(
        at=pl.lit(at - timedelta(seconds=1), pl.Datetime("us", "UTC"))
    )
    return {**tables, "driver_locations": pings}


def episode(tables: Tables, delivery: int = 1, number: int = 1) -> dict[str, Any]:
    of = (pl.col("delivery_id") == delivery) & (pl.col("episode") == number)
    return tables["unassigned_orders"].row(by_predicate=of, named=True)

"""A chain of audit events as a timeline, and as the rows that stood at an instant. Pure: images in, steps out.

An event holds the row as it then became; what changed is told from the version before. An event counts from the moment
its whole transaction was recorded, so no instant shows half a decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Image = Mapping[str, Any]
UNTOLD = "(archived)"  # what stands for a value whose event is in an archive file


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEvent:
    """One version of one row. op: I born, U changed, D gone, B baseline; a row that is gone has no image."""

    seq: int
    tbl: str
    row_id: int
    row_version: int
    op: str
    image: Image | None
    archived: bool
    login: str | None
    actor: str | None
    run_id: str | None
    reason: str | None
    at: datetime
    transaction: str


@dataclass(frozen=True, slots=True)
class TrailStep:
    """An event with what it changed: column -> (was, is); a birth changes every column that has a value."""

    event: TrailEvent
    changed: Mapping[str, tuple[Any, Any]]


def timeline(events: Sequence[TrailEvent]) -> list[TrailStep]:
    """Return each event with what it changed, in the order of the chain."""
    images: dict[tuple[str, int], TrailEvent] = {}
    steps = []
    for event in events:
        steps.append(TrailStep(event, _changed(images.get((event.tbl, event.row_id)), event)))
        images[event.tbl, event.row_id] = event
    return steps


def state_at(events: Sequence[TrailEvent], at: datetime) -> dict[str, list[Image]]:
    """Return table -> rows as they stood at an instant, in ascending id; archived ones as id and version only."""
    recorded: dict[str, datetime] = {}
    for event in events:
        recorded[event.transaction] = max(event.at, recorded.get(event.transaction, event.at))
    newest: dict[tuple[str, int], TrailEvent] = {}
    for event in events:
        if recorded[event.transaction] <= at:
            newest[event.tbl, event.row_id] = event
    found: dict[str, list[Image]] = {}
    for (tbl, row_id), event in sorted(newest.items(), key=lambda item: item[0]):
        if event.archived:
            found.setdefault(tbl, []).append(
                {"id": row_id, "version": event.row_version, "image": UNTOLD}
            )
        elif event.image is not None:
            found.setdefault(tbl, []).append(event.image)
    return found


def _changed(before: TrailEvent | None, event: TrailEvent) -> dict[str, tuple[Any, Any]]:
    if event.image is None:
        return {}
    if before is None or (before.image is None and not before.archived):
        return {name: (None, value) for name, value in event.image.items() if value is not None}
    if before.image is None:
        return {
            name: (UNTOLD, value)
            for name, value in event.image.items()
            if value is not None and name != "id"
        }
    was = before.image
    return {
        n: (was.get(n), v) for n, v in event.image.items() if n != "version" and was.get(n) != v
    }

"""A Change is one decision as data: one row, one version step, one reason, one event.

Applied, it becomes exactly one row version, one audit row, one decision row and one outbox event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from dispatchkit.kernel.canonical_json import canonical, plain, text_ids
from dispatchkit.kernel.clock import rfc3339

Value = str | int | float | bool | datetime | None
Ref = tuple[str, int, int]  # (entity, id, version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One decided step of one row.

    entity: the kind of row (`tables.ROW_KINDS`: offer, delivery, driver, ...).
    version: the version that the decision saw, 0 for a new row.
    event: the name that leaves through the outbox (offer_created, ...).
    after: the columns to write. before: the same columns as seen, empty for a new row.
    root: the row that is locked first, normally the delivery. Changes of one root apply in their
    order, together or not at all.
    expects: rows that were read and must still be at that version, though they are not written.
    payload: what the event says to receivers.
    why: what an explanation needs (chosen, runner-up, binding rule).
    """

    entity: str
    id: int
    version: int
    event: str
    after: Mapping[str, Value]
    reason: str
    at: datetime
    root: tuple[str, int]
    before: Mapping[str, Value] = field(default_factory=dict)
    expects: tuple[Ref, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)
    why: Mapping[str, Any] = field(default_factory=dict)

    def decision_id(self, sweep: str) -> bytes:
        """Return SHA-256 over (sweep, entity, id, version, event, after): the same on any retry."""
        words = sweep, self.entity, self.id, self.version, self.event, canonical(self.after)
        return sha256(canonical(words).encode()).digest()

    def event_payload(self) -> dict[str, Any]:
        """Return the payload as it leaves with the event: with the row's own id, every id as text."""
        payload: dict[str, Any] = text_ids({f"{self.entity}Id": self.id, **self.payload})
        return payload

    def shown(self, sweep: str) -> dict[str, Any]:
        """Return the change as it stands in `--json` output."""
        return {
            "decision_id": self.decision_id(sweep).hex(),
            "entity": self.entity,
            "id": self.id,
            "version": self.version,
            "event": self.event,
            "reason": self.reason,
            "before": plain(self.before),
            "after": plain(self.after),
            "at": rfc3339(self.at),
            "why": plain(self.why),
        }


@dataclass(frozen=True, slots=True)
class Fact:
    """One append-only row, such as an ETA quote: it never changes, so it has no version, event or audit row.

    values: the columns of the table's contract. The same `id` a second time is the same fact, and is not written.
    """

    table: str
    values: Mapping[str, Value]

"""One event by a person or a system: lock, read, respond, write. A refusal is recorded too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dispatchkit.config import Settings
from dispatchkit.flows import catalog
from dispatchkit.flows.gather import queries
from dispatchkit.kernel.change import Change
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.feature import Answer, Event
from dispatchkit.store.contract import Args, Store

SQL = Path(__file__).with_name("act.sql")
NEIGHBOURS = {  # the locked rows of one delivery, by the table whose contract they keep
    "delivery": "deliveries",
    "order": "orders",
    "offers": "driver_offers",
    "episode": "unassigned_orders",
    "case": "reassignment_cases",
    "drivers": "drivers",
    "held": "deliveries",
    "pending": "driver_offers",
}


@dataclass(frozen=True)
class Acted:
    """An act's answer at the instant it was judged."""

    event: Event
    answer: Answer
    now: datetime
    dry_run: bool

    def document(self) -> dict[str, Any]:
        """Return the result as it stands in `--json` output."""
        return {
            "event": self.event.name,
            "actor": self.event.actor,
            "code": self.answer.code,
            "refused": self.answer.refused,
            "dry_run": self.dry_run,
            "now": rfc3339(self.now),
            "changes": [shown(change) for change in self.answer.changes],
        }


def shown(change: Change) -> dict[str, Any]:
    """Return a change of an act for output; acts have no decision id, a person decided."""
    return {key: value for key, value in change.shown("act").items() if key != "decision_id"}


def act(store: Store, settings: Settings, event: Event, *, dry_run: bool = False) -> Acted:
    """Return the answer to one event, written unless refused, repeated or dry. Raises TryLater on a locked row."""
    feature = catalog.answering(event.name)
    event = _located(store, event)
    drivers = [event.driver_id] if event.driver_id else []
    root = ("delivery", event.delivery_id or 0)
    with store.acting(root, drivers=drivers, actor=event.actor) as acting:
        if event.delivery_id is None:
            answer = Answer("NOT_FOUND", refused=True)
        else:
            args: Args = {"delivery": event.delivery_id, "driver": event.driver_id or 0}
            named = queries(SQL)
            frames = acting.read({name: (table, named[name]) for name, table in NEIGHBOURS.items()}, args)
            found = (
                feature.respond(frames, event, catalog.params(feature, settings), acting.now)
                if feature.respond
                else None
            )
            answer = found or Answer("ILLEGAL_TRANSITION", refused=True)
        if not dry_run:
            if answer.refused:
                acting.refuse(event.name, root, answer.code)
            elif answer.changes:
                acting.write(answer.changes, reason=str(event.args.get("reason") or event.name))
        return Acted(event, answer, acting.now, dry_run)


def _located(store: Store, event: Event) -> Event:
    """Return the event with the delivery its offer belongs to, if there is such an offer."""
    if event.offer_id is None:
        return event
    found = store.read({"offer": queries(SQL)["delivery_of_offer"]}, {"offer": event.offer_id})["offer"]
    return replace(event, delivery_id=found["delivery_id"][0]) if found.height else event

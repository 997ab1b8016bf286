"""One event by a person or a system: lock, read, respond, write. A refusal is recorded too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from dispatchkit.config import Settings
from dispatchkit.domain.changes import Change
from dispatchkit.domain.codes import ActResult
from dispatchkit.domain.feature import Answer, Event, Feature, Frames, refused
from dispatchkit.domain.hours import LOOK_BACK
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.gather import gather, queries
from dispatchkit.kernel.canonical_json import plain
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import IllegalTransition, Refused, TryLater
from dispatchkit.kernel.stable_random import stable_id
from dispatchkit.store.contract import Args, Store

SQL = Path(__file__).with_name("act.sql")
NEIGHBOURS = {  # query -> the table whose contract its rows keep
    "delivery": "deliveries",
    "order": "orders",
    "asked_for": "orders",
    "tries": "deliveries",
    "offers": "driver_offers",
    "episode": "unassigned_orders",
    "case": "reassignment_cases",
    "cases": "reassignment_cases",
    "raised": "support_tickets",
    "drivers": "drivers",
    "held": "deliveries",
    "pending": "driver_offers",
    "duties": "driver_availability_history",
}
STAMPS = {
    "delivery": ("created_at", "assigned_at"),
    "offers": ("sent_at",),
    "episode": ("opened_at",),
}  # never ahead
TRIES = 5


@dataclass(frozen=True)
class Acted:
    """An act's answer and the instant of its evaluation.

    state_before: the state that a refused act met. None also for NOT_FOUND, so that nobody learns
    the state of a row that is not theirs.
    """

    event: Event
    answer: Answer
    now: datetime
    dry_run: bool
    state_before: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the result as it stands in `--json` output."""
        return {
            "event": self.event.name,
            "actor": self.event.actor,
            "code": self.answer.code,
            "details": plain(self.answer.details),
            "refused": self.answer.refused,
            "state_before": self.state_before,
            "dry_run": self.dry_run,
            "now": rfc3339(self.now),
            "changes": [shown(change) for change in self.answer.changes],
        }


def shown(change: Change) -> dict[str, Any]:
    """Return a change for output without its decision id: an act is decided by a person."""
    return {key: value for key, value in change.shown("act").items() if key != "decision_id"}


def act(
    store: Store,
    settings: Settings,
    event: Event,
    *,
    dry_run: bool = False,
    limit: int | None = None,
) -> Acted:
    """Return the answer to one event; its changes are written unless it is a dry run.

    An act on a driver also locks the delivery of the driver's pending offer, before the driver. If
    the driver gets another offer meanwhile, everything is read again.

    Raises TryLater on a locked row, Refused if the answer has more changes than `limit`.
    """
    feature = catalog.answering(event.name)
    event = _located(store, event)
    preview = _preview(store, settings, feature, event)
    for _ in range(TRIES):
        delivery = event.delivery_id or (
            0 if event.offer_id else _offered_delivery(store, event.driver_id)
        )
        acted = _once(store, settings, feature, event, delivery, dry_run, limit)
        if acted is not None:
            if acted.answer.refused or not preview:
                return acted
            details = {**acted.answer.details, **preview}
            return replace(acted, answer=replace(acted.answer, details=details))
    raise TryLater(f"driver {event.driver_id} keeps getting offers for other deliveries")


def _preview(
    store: Store, settings: Settings, feature: Feature[Any], event: Event
) -> Mapping[str, Any]:
    """Return the consequences of the act, if its feature previews them.

    Travel times are computed here, before anything is locked.
    """
    preview = feature.previews.get(event.name)
    if preview is None:
        return {}
    now, view = store.clock(), replace(feature, reads=preview.reads, units={})
    frames = gather(store, view, settings.flag(feature.flag), now).frames
    return preview.look(
        frames, event, catalog.params(feature, settings), now, catalog.travel(settings)
    )


def _once(
    store: Store,
    settings: Settings,
    feature: Feature[Any],
    event: Event,
    delivery: int,
    dry_run: bool,
    limit: int | None,
) -> Acted | None:
    """Return the answer, or None if the driver's pending offer is for another delivery by now."""
    of_driver = event.driver_id and not (event.offer_id or event.delivery_id)
    root = ("driver", event.driver_id or 0) if of_driver else ("delivery", delivery)
    drivers = [event.driver_id] if event.driver_id else []
    with store.acting(("delivery", delivery), drivers=drivers, actor=event.actor) as acting:
        args: Args = {
            "delivery": delivery,
            "driver": event.driver_id or 0,
            "order": event.args.get("order") or 0,
            "since": acting.now - LOOK_BACK,
        }
        named = queries(SQL)
        frames = acting.read(
            {name: (table, named[name]) for name, table in NEIGHBOURS.items()}, args
        )
        if root[0] == "driver" and set(frames["pending"]["delivery_id"]) - {delivery}:
            return None
        answer = refused(ActResult.NOT_FOUND)
        if feature.respond and not (event.offer_id and not delivery):
            answer = _answer(feature, frames, event, settings, acting.now)
        if limit is not None and len(answer.changes) > limit:
            raise Refused(
                f"{event.name} would make {len(answer.changes)} changes, limit {limit}; "
                "nothing done"
            )
        state_before = _state_before(frames, event) if answer.refused else None
        if not dry_run:
            if answer.refused:
                acting.refuse(
                    event.name, root, answer.code, was=state_before, offer_id=event.offer_id
                )
            if answer.changes:
                acting.write(answer.changes, reason=str(event.args.get("reason") or event.name))
        visible = state_before if answer.code != ActResult.NOT_FOUND else None
        return Acted(event, answer, acting.now, dry_run, visible)


def _answer(
    feature: Feature[Any], frames: Frames, event: Event, settings: Settings, now: datetime
) -> Answer:
    """Return the feature's answer; a forbidden transition is refused and recorded."""
    assert feature.respond is not None
    try:
        answer = feature.respond(frames, event, catalog.params(feature, settings), now)
    except IllegalTransition:
        return refused(ActResult.ILLEGAL_TRANSITION)
    if answer.changes and _too_early(frames, now):
        return refused(ActResult.CLOCK_SKEW)
    return answer


def _too_early(frames: Frames, now: datetime) -> bool:
    """Return whether a row began after `now`, as when the clock was set back."""
    instants = (
        frames[name][column].max() for name, columns in STAMPS.items() for column in columns
    )
    return any(isinstance(at, datetime) and at > now for at in instants)


def _state_before(frames: Frames, event: Event) -> str | None:
    """Return the state of the event's offer or delivery, or the driver's duty; None if missing."""
    name, column, wanted = "drivers", "duty", event.driver_id
    if event.offer_id:
        name, column, wanted = "offers", "state", event.offer_id
    elif event.delivery_id:
        name, column, wanted = "delivery", "state", event.delivery_id
    states = frames[name].filter(pl.col("id") == (wanted or 0))[column]
    return str(states[0]) if states.len() else None


def _located(store: Store, event: Event) -> Event:
    """Return the event with its delivery: the one to create, or that of its offer or ticket."""
    if order := event.args.get("order"):
        # The id is derived from the order, so that a repeated act creates no second delivery.
        delivery = stable_id("delivery", order, event.args.get("replaces") or 0)
        return replace(event, delivery_id=delivery)
    for entity, id_ in (("offer", event.offer_id), ("ticket", event.args.get("ticket"))):
        if id_ is not None:
            query = queries(SQL)[f"delivery_of_{entity}"]
            rows = store.read({entity: query}, {entity: id_})[entity]
            return replace(event, delivery_id=rows["delivery_id"][0]) if rows.height else event
    return event


def _offered_delivery(store: Store, driver: int | None) -> int:
    """Return the delivery of the driver's pending offer, 0 if none."""
    if driver is None:
        return 0
    rows = store.read({"pending": queries(SQL)["pending"]}, {"driver": driver})["pending"]
    return int(rows["delivery_id"][0]) if rows.height else 0

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
NEIGHBOURS = {  # the locked rows around one delivery and one driver, by the table whose contract they keep
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
    """An act's answer at the instant it was judged, and the state that a refusal met.

    was: None too where the answer is NOT_FOUND: whom a thing does not concern is not told how it stands.
    """

    event: Event
    answer: Answer
    now: datetime
    dry_run: bool
    was: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the result as it stands in `--json` output."""
        return {
            "event": self.event.name,
            "actor": self.event.actor,
            "code": self.answer.code,
            "told": plain(self.answer.told),
            "refused": self.answer.refused,
            "was": self.was,
            "dry_run": self.dry_run,
            "now": rfc3339(self.now),
            "changes": [shown(change) for change in self.answer.changes],
        }


def shown(change: Change) -> dict[str, Any]:
    """Return a change of an act for output; acts have no decision id, a person decided."""
    return {key: value for key, value in change.shown("act").items() if key != "decision_id"}


def act(
    store: Store,
    settings: Settings,
    event: Event,
    *,
    dry_run: bool = False,
    limit: int | None = None,
) -> Acted:
    """Return the answer to one event, written unless refused, repeated or dry.

    Raises TryLater on a locked row, Refused if the answer has more changes than `limit`.

    What is asked of a driver also locks the delivery he is being asked about, before himself. Should he be asked about
    another one meanwhile, everything is read again.
    """
    feature = catalog.answering(event.name)
    event = _located(store, event)
    foreseen = _foreseen(store, settings, feature, event)
    for _ in range(TRIES):
        beside = event.delivery_id or (
            0 if event.offer_id else _asked_about(store, event.driver_id)
        )
        acted = _once(store, settings, feature, event, beside, dry_run, limit)
        if acted is not None:
            if acted.answer.refused or not foreseen:
                return acted
            return replace(
                acted, answer=replace(acted.answer, told={**acted.answer.told, **foreseen})
            )
    raise TryLater(f"driver {event.driver_id} is being asked about one delivery after another")


def _foreseen(
    store: Store, settings: Settings, feature: Feature[Any], event: Event
) -> Mapping[str, Any]:
    """Return what the act would lead to, as far as its room can tell; ways are asked for before anything is locked."""
    preview = feature.previews.get(event.name)
    if preview is None:
        return {}
    now, looking = store.clock(), replace(feature, reads=preview.reads, units={})
    frames = gather(store, looking, settings.flag(feature.flag), now).frames
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
    """Return the answer, or None if the driver's pending offer is no longer about the delivery that was locked."""
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
        answer = refused("NOT_FOUND")
        if feature.respond and not (event.offer_id and not delivery):
            answer = _answer(feature, frames, event, settings, acting.now)
        if limit is not None and len(answer.changes) > limit:
            raise Refused(
                f"{event.name} would make {len(answer.changes)} changes, limit {limit}; nothing done"
            )
        was = _was(frames, event) if answer.refused else None
        if not dry_run:
            if answer.refused:
                acting.refuse(event.name, root, answer.code, was=was, offer_id=event.offer_id)
            if answer.changes:
                acting.write(answer.changes, reason=str(event.args.get("reason") or event.name))
        return Acted(
            event, answer, acting.now, dry_run, was if answer.code != "NOT_FOUND" else None
        )


def _answer(
    feature: Feature[Any], frames: Frames, event: Event, settings: Settings, now: datetime
) -> Answer:
    """Return the room's answer; a step that no machine knows is refused by name, and so recorded, like any other."""
    assert feature.respond is not None
    try:
        answer = feature.respond(frames, event, catalog.params(feature, settings), now)
    except IllegalTransition:
        return refused("ILLEGAL_TRANSITION")
    return (
        Answer("CLOCK_SKEW", refused=True) if answer.changes and _too_early(frames, now) else answer
    )


def _too_early(frames: Frames, now: datetime) -> bool:
    """Return whether something here began after `now`, as if a clock was set back: nothing is answered before it."""
    known = (frames[name][column].max() for name, columns in STAMPS.items() for column in columns)
    return any(isinstance(at, datetime) and at > now for at in known)


def _was(frames: Frames, event: Event) -> str | None:
    """Return the state of what the event asks about: the offer, the delivery or the driver's duty; None if missing."""
    name, column, wanted = "drivers", "duty", event.driver_id
    if event.offer_id:
        name, column, wanted = "offers", "state", event.offer_id
    elif event.delivery_id:
        name, column, wanted = "delivery", "state", event.delivery_id
    found = frames[name].filter(pl.col("id") == (wanted or 0))[column]
    return str(found[0]) if found.len() else None


def _located(store: Store, event: Event) -> Event:
    """Return the event with the delivery it is about: the one to be born, or the one its offer or ticket belongs to."""
    if order := event.args.get(
        "order"
    ):  # the same order asks for the same delivery, so it is born once
        return replace(
            event, delivery_id=stable_id("delivery", order, event.args.get("replaces") or 0)
        )
    for what, given in (("offer", event.offer_id), ("ticket", event.args.get("ticket"))):
        if given is not None:
            found = store.read({what: queries(SQL)[f"delivery_of_{what}"]}, {what: given})[what]
            return replace(event, delivery_id=found["delivery_id"][0]) if found.height else event
    return event


def _asked_about(store: Store, driver: int | None) -> int:
    """Return the delivery that a driver is being asked about, 0 if none."""
    if driver is None:
        return 0
    found = store.read({"pending": queries(SQL)["pending"]}, {"driver": driver})["pending"]
    return int(found["delivery_id"][0]) if found.height else 0

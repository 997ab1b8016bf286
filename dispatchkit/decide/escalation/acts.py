"""What operations do about a search: escalate, acknowledge, snooze, close a ticket."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from dispatchkit.decide.escalation.ladder import LadderStep
from dispatchkit.decide.escalation.model import TOP_LEVEL, Params
from dispatchkit.decide.escalation.notices import climb, close_ticket
from dispatchkit.decide.escalation.observe import search_causes
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ActResult, ChangeReason, EventName, LadderClock
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.domain.rows import Delivery, Episode, Ticket
from dispatchkit.domain.states import DeliveryState, TicketState
from dispatchkit.kernel.errors import Usage


def respond(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return the result of `escalate`, `ack`, `snooze` or `close_ticket`.

    Arguments: `level` of escalate (None: one up), `minutes` of snooze, `ticket` of close_ticket.
    Refused for a delivery that seeks no driver (DELIVERY_CANCELLED, ILLEGAL_TRANSITION), for a
    level below the present one, and for an acknowledgement before the first level
    (ILLEGAL_TRANSITION). Raises Usage for an impossible level or number of minutes.
    """
    deliveries = rows(frames["delivery"], Delivery)
    delivery = next((d for d in deliveries if d.id == event.delivery_id), None)
    if delivery is None:
        return refused(ActResult.NOT_FOUND)
    changes = ChangeSet(("delivery", delivery.id), now)
    if event.name == "close_ticket":
        return _close_ticket(changes, frames, event)
    episodes = rows(frames["episode"], Episode)
    episode = next((e for e in episodes if e.episode == delivery.episode), None)
    if episode is None:
        cancelled = delivery.state == DeliveryState.CANCELLED
        return refused(ActResult.DELIVERY_CANCELLED if cancelled else ActResult.ILLEGAL_TRANSITION)
    if event.name == "escalate":
        return _escalate(changes, frames, event, delivery, episode)
    return _ack(changes, episode) if event.name == "ack" else _snooze(changes, episode, event)


def _escalate(
    changes: ChangeSet, frames: Frames, event: Event, delivery: Delivery, episode: Episode
) -> Answer:
    """Raise the search level by level, each due now; the clocks go on from there."""
    wanted = event.args.get("level")
    level = episode.level + 1 if wanted is None else int(wanted)
    if wanted is not None and not 1 <= level <= TOP_LEVEL:
        raise Usage(f"there is no level {level}; expected 1 to {TOP_LEVEL}")
    if wanted is not None and level == episode.level:
        return Answer(ActResult.OK_REPLAY)
    if level < episode.level or level > TOP_LEVEL:
        return refused(ActResult.ILLEGAL_TRANSITION)
    steps = [
        LadderStep(number, changes.at, LadderClock.OPS)
        for number in range(episode.level + 1, level + 1)
    ]
    climb(changes, episode, delivery, steps, _cause(frames, delivery, episode), {})
    return Answer(ActResult.OK, tuple(changes.changes))


def _cause(frames: Frames, delivery: Delivery, episode: Episode) -> str:
    """Return the cause that a sweep saw last; before any sweep, what the locked rows show.

    The merchant is not among the locked rows, so the pickup counts as known.
    """
    if episode.cause:
        return episode.cause
    released = frames["cases"].filter(pl.col("released_at").is_not_null())
    causes = search_causes(frames["delivery"], frames["offers"], released, {delivery.id})
    return causes[delivery.id]


def _ack(changes: ChangeSet, episode: Episode) -> Answer:
    if episode.level == 0:
        return refused(ActResult.ILLEGAL_TRANSITION)
    if episode.acked_at is not None and episode.acked_at >= (episode.level_at or episode.opened_at):
        return Answer(ActResult.OK_REPLAY)
    changes.update(
        episode,
        EventName.UNASSIGNED_ORDER_ACKNOWLEDGED,
        ChangeReason.OPS,
        payload={
            "deliveryId": episode.delivery_id,
            "episode": episode.episode,
            "level": episode.level,
        },
        acked_at=changes.at,
    )
    return Answer(ActResult.OK, tuple(changes.changes))


def _snooze(changes: ChangeSet, episode: Episode, event: Event) -> Answer:
    minutes = int(event.args.get("minutes") or 0)
    if minutes < 1:
        raise Usage(f"cannot snooze for {minutes} minutes; expected 1 or more")
    until = changes.at + timedelta(minutes=minutes)
    if episode.snoozed_until == until:
        return Answer(ActResult.OK_REPLAY)
    changes.update(
        episode,
        EventName.UNASSIGNED_ORDER_SNOOZED,
        ChangeReason.OPS,
        payload={
            "deliveryId": episode.delivery_id,
            "episode": episode.episode,
            "minutes": minutes,
        },
        snoozed_until=until,
    )
    return Answer(ActResult.OK, tuple(changes.changes))


def _close_ticket(changes: ChangeSet, frames: Frames, event: Event) -> Answer:
    tickets = rows(frames["raised"], Ticket)
    ticket = next((t for t in tickets if t.id == event.args.get("ticket")), None)
    if ticket is None:
        return refused(ActResult.NOT_FOUND)
    if ticket.state != TicketState.OPEN:
        return Answer(ActResult.OK_REPLAY)
    close_ticket(changes, ticket, event.actor, ChangeReason.OPS)
    return Answer(ActResult.OK, tuple(changes.changes))

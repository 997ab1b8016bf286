"""A person raises a search, acknowledges it, asks for quiet, or closes a ticket: what that does and when it may not."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from dispatchkit.decide.escalation.ladder import Step
from dispatchkit.decide.escalation.model import Episode, Job, Ticket
from dispatchkit.decide.escalation.notices import climb, close
from dispatchkit.decide.escalation.params import TOP, Params
from dispatchkit.decide.escalation.sight import causes_of
from dispatchkit.domain.change_set import ChangeSet, Values
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Answer, Event, Frames, refused
from dispatchkit.kernel.errors import Usage


def respond(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return what `escalate` (args level: None for one up), `ack`, `snooze` (args minutes) or `close_ticket` comes to.

    Refused for a delivery that seeks nobody (DELIVERY_CANCELLED, ILLEGAL_TRANSITION), for a level below the present
    one, and for an acknowledgement where nothing has been said yet (ILLEGAL_TRANSITION). Raises Usage for a level or a
    number of minutes that there is not.
    """
    delivery = next((d for d in rows(frames["delivery"], Job) if d.id == event.delivery_id), None)
    if delivery is None:
        return refused("NOT_FOUND")
    group = ChangeSet(("delivery", delivery.id), now)
    if event.name == "close_ticket":
        return _close(group, frames, event)
    episode = next(
        (e for e in rows(frames["episode"], Episode) if e.episode == delivery.episode), None
    )
    if episode is None:
        return refused(
            "DELIVERY_CANCELLED" if delivery.state == "CANCELLED" else "ILLEGAL_TRANSITION"
        )
    if event.name == "escalate":
        return _escalate(group, frames, event, delivery, episode)
    return _ack(group, episode) if event.name == "ack" else _snooze(group, episode, event)


def _escalate(
    group: ChangeSet, frames: Frames, event: Event, delivery: Job, episode: Episode
) -> Answer:
    """Raise the search level by level, each due at this instant; the clocks go on from there."""
    given = event.args.get("level")
    level = episode.level + 1 if given is None else int(given)
    if given is not None and not 1 <= level <= TOP:
        raise Usage(f"there is no level {level}; expected 1 to {TOP}")
    if given is not None and level == episode.level:
        return Answer("OK_REPLAY")
    if level < episode.level or level > TOP:
        return refused("ILLEGAL_TRANSITION")
    taken = [Step(number, group.at, "OPS") for number in range(episode.level + 1, level + 1)]
    climb(group, episode, delivery, taken, _cause(frames, delivery, episode), {})
    return Answer("OK", tuple(group.changes))


def _cause(frames: Frames, delivery: Job, episode: Episode) -> str:
    """Return the cause as a sweep last saw it, else as far as the locked rows tell: they do not hold the merchant."""
    released = frames["cases"].filter(pl.col("released_at").is_not_null())
    return (
        episode.cause
        or causes_of(frames["delivery"], frames["offers"], released, {delivery.id})[delivery.id]
    )


def _ack(group: ChangeSet, episode: Episode) -> Answer:
    if episode.level == 0:
        return refused("ILLEGAL_TRANSITION")
    if episode.acked_at is not None and episode.acked_at >= (episode.level_at or episode.opened_at):
        return Answer("OK_REPLAY")
    told = {"deliveryId": episode.delivery_id, "episode": episode.episode, "level": episode.level}
    group.change(
        "episode",
        episode,
        "unassigned_order_acknowledged",
        "OPS",
        {"acked_at": group.at},
        payload=told,
    )
    return Answer("OK", tuple(group.changes))


def _snooze(group: ChangeSet, episode: Episode, event: Event) -> Answer:
    minutes = int(event.args.get("minutes") or 0)
    if minutes < 1:
        raise Usage(f"a snooze of {minutes} minutes silences nothing; expected 1 or more")
    until = group.at + timedelta(minutes=minutes)
    if episode.snoozed_until == until:
        return Answer("OK_REPLAY")
    told = {"deliveryId": episode.delivery_id, "episode": episode.episode, "minutes": minutes}
    after: Values = {"snoozed_until": until}
    group.change("episode", episode, "unassigned_order_snoozed", "OPS", after, payload=told)
    return Answer("OK", tuple(group.changes))


def _close(group: ChangeSet, frames: Frames, event: Event) -> Answer:
    """Close a ticket of the delivery."""
    ticket = next(
        (t for t in rows(frames["raised"], Ticket) if t.id == event.args.get("ticket")), None
    )
    if ticket is None:
        return refused("NOT_FOUND")
    if ticket.state != "OPEN":
        return Answer("OK_REPLAY")
    close(group, ticket, event.actor, "OPS")
    return Answer("OK", tuple(group.changes))

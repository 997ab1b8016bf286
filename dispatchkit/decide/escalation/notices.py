"""The changes that the ladder writes, for a sweep or a person: levels, tickets, reminders, ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dispatchkit.decide.escalation.ladder import LadderStep, OpenSearch
from dispatchkit.decide.escalation.model import OPS_LEVEL, TICKET_LEVEL, Params
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ChangeReason, EventName
from dispatchkit.domain.rows import Delivery, Episode, Party, Ticket
from dispatchkit.domain.search import close_search
from dispatchkit.domain.states import DeliveryState, EpisodeState, TicketState
from dispatchkit.domain.tickets import open_ticket
from dispatchkit.kernel.clock import rfc3339


def climb(
    changes: ChangeSet,
    episode: Episode,
    delivery: Delivery,
    steps: Sequence[LadderStep],
    cause: str,
    why: Mapping[str, Any],
) -> None:
    """Add these levels, each with its event; of several at once only the last one notifies people.

    Level 3 also opens a ticket and tells the customer.
    """
    for step in steps:
        payload = {
            "deliveryId": delivery.id,
            "episode": episode.episode,
            "level": step.level,
            "reason": step.clock,
            "cause": cause,
            **_lag(step.due_at, changes.at),
            "notify": step is steps[-1],
        }
        changes.update(
            episode,
            EventName.UNASSIGNED_ORDER_ESCALATED,
            step.clock,
            payload=payload,
            why=why,
            level=step.level,
            level_due_at=step.due_at,
            level_at=changes.at,
            cause=cause,
        )
        if step.level == TICKET_LEVEL:
            open_ticket(changes, delivery.id, episode.episode, step.level, cause, step.due_at)
            # The event needs a change of the delivery; its priority is written as it is.
            changes.update(
                delivery,
                EventName.CUSTOMER_DELAY_NOTICE,
                cause,
                payload={
                    "deliveryId": delivery.id,
                    "episode": episode.episode,
                    "level": step.level,
                },
                priority=delivery.priority,
            )


def reminder_due(episode: Episode, params: Params, now: datetime) -> bool:
    """Return whether operations are reminded at `now`: `reminder` after the last notice.

    An acknowledgement silences reminders until the next level, a snooze until its time.
    """
    if episode.level < OPS_LEVEL:
        return False
    reached_at = episode.level_at or episode.opened_at
    if episode.acked_at is not None and episode.acked_at >= reached_at:
        return False
    if episode.snoozed_until is not None and now < episode.snoozed_until:
        return False
    return now - max(reached_at, episode.reminded_at or reached_at) >= params.reminder


def remind(changes: ChangeSet, search: OpenSearch) -> None:
    """Add one reminder; a late sweep does not repeat those that it missed."""
    episode = search.episode
    count = episode.reminders + 1
    payload = {
        "deliveryId": episode.delivery_id,
        "episode": episode.episode,
        "level": episode.level,
        "count": count,
        "ageS": int((changes.at - episode.opened_at).total_seconds()),
    }
    changes.update(
        episode,
        EventName.UNASSIGNED_ORDER_REMINDER,
        search.cause,
        payload=payload,
        reminders=count,
        reminded_at=changes.at,
    )


def give_up(changes: ChangeSet, search: OpenSearch, due_at: datetime) -> None:
    """Add the end of a search that found no driver."""
    delivery = search.delivery
    payload = {
        "deliveryId": delivery.id,
        "episode": delivery.episode,
        "cause": search.cause,
        **_lag(due_at, changes.at),
        "notify": True,
    }
    changes.update(
        delivery,
        EventName.DELIVERY_UNFULFILLED,
        search.cause,
        payload=payload,
        state=DeliveryState.UNFULFILLED,
        ended_at=changes.at,
        ended_by=Party.SYSTEM,
        ended_while=delivery.state,
    )
    reason = ChangeReason.LADDER_EXHAUSTED
    close_search(changes, [search.episode], EpisodeState.UNFULFILLED, reason)


def close_ticket(changes: ChangeSet, ticket: Ticket, actor: str, reason: str) -> None:
    """Add that a ticket is closed."""
    changes.update(
        ticket,
        EventName.SUPPORT_TICKET_CLOSED,
        reason,
        payload={"ticketId": ticket.id, "deliveryId": ticket.delivery_id, "by": actor},
        state=TicketState.CLOSED,
        closed_at=changes.at,
        closed_by=actor,
    )


def _lag(due_at: datetime, now: datetime) -> dict[str, Any]:
    lag_s = round((now - due_at).total_seconds(), 3)
    return {"dueAt": rfc3339(due_at), "emittedAt": rfc3339(now), "lagS": lag_s}

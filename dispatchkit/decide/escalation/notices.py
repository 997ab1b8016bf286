"""The steps that the ladder writes, by a sweep or by a person: levels, tickets, reminders, and the end of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dispatchkit.decide.escalation.ladder import Search, Step
from dispatchkit.decide.escalation.model import Episode, Job, Kept, Ticket
from dispatchkit.decide.escalation.params import CALLS, OPS, TICKET, Params
from dispatchkit.domain.change_set import ChangeSet, Values
from dispatchkit.domain.search import close_search
from dispatchkit.domain.states import DelayCause
from dispatchkit.domain.tickets import open_ticket
from dispatchkit.kernel.clock import rfc3339

RESOLVED = (
    "ASSIGNED",
    "CUSTODY",
    "CANCELLED",
)  # how a search ends that leaves nothing to do; UNFULFILLED: a refund


def climb(
    group: ChangeSet,
    episode: Episode,
    delivery: Job,
    taken: Sequence[Step],
    cause: str,
    why: Mapping[str, Any],
) -> None:
    """Add these levels, each an event of its own; of several at once only the last asks for somebody's attention.

    Level 3 also opens a ticket and tells the customer.
    """
    for step in taken:
        level: Values = {
            "level": step.level,
            "level_due_at": step.due_at,
            "level_at": group.at,
            "cause": cause,
        }
        told = {
            "deliveryId": delivery.id,
            "episode": episode.episode,
            "level": step.level,
            "reason": step.clock,
            "cause": cause,
            **_lag(step.due_at, group.at),
            "notify": step is taken[-1],
        }
        group.change(
            "episode",
            episode,
            "unassigned_order_escalated",
            step.clock,
            level,
            payload=told,
            why=why,
        )
        if step.level == TICKET:
            open_ticket(group, delivery.id, episode.episode, TICKET, cause, step.due_at)
            told = {"deliveryId": delivery.id, "episode": episode.episode, "level": TICKET}
            same: Values = {
                "priority": delivery.priority
            }  # nothing of the delivery changes but that its customer knows
            group.change("delivery", delivery, "customer_delay_notice", cause, same, payload=told)


def reminds(episode: Episode, params: Params, now: datetime) -> bool:
    """Return whether operations are to be told again: `reminder` after the last notice, unless a person has said hush.

    An acknowledgement holds until the next level, a snooze until its time.
    """
    if episode.level < OPS:
        return False
    reached_at = episode.level_at or episode.opened_at
    if episode.acked_at is not None and episode.acked_at >= reached_at:
        return False
    if episode.snoozed_until is not None and now < episode.snoozed_until:
        return False
    return now - max(reached_at, episode.reminded_at or reached_at) >= params.reminder


def remind(group: ChangeSet, search: Search) -> None:
    """Add one reminder; a late sweep sends one and not those it missed."""
    episode = search.episode
    number = episode.reminders + 1
    told = {
        "deliveryId": episode.delivery_id,
        "episode": episode.episode,
        "level": episode.level,
        "count": number,
        "ageS": int((group.at - episode.opened_at).total_seconds()),
    }
    after: Values = {"reminders": number, "reminded_at": group.at}
    group.change("episode", episode, "unassigned_order_reminder", search.cause, after, payload=told)


def give_up(group: ChangeSet, search: Search, due_at: datetime) -> None:
    """Add that nobody is sought any more."""
    delivery = search.delivery
    told = {
        "deliveryId": delivery.id,
        "episode": delivery.episode,
        "cause": search.cause,
        **_lag(due_at, group.at),
        "notify": True,
    }
    ended: Values = {
        "state": "UNFULFILLED",
        "ended_at": group.at,
        "ended_by": "system",
        "ended_while": delivery.state,
    }
    group.change("delivery", delivery, "delivery_unfulfilled", search.cause, ended, payload=told)
    close_search(group, [search.episode], "UNFULFILLED", "LADDER_EXHAUSTED")


def close(group: ChangeSet, ticket: Ticket, by: str, reason: str) -> None:
    """Add that a ticket is closed."""
    told = {"ticketId": ticket.id, "deliveryId": ticket.delivery_id, "by": by}
    after: Values = {"state": "CLOSED", "closed_at": group.at, "closed_by": by}
    group.change("ticket", ticket, "support_ticket_closed", reason, after, payload=told)


def settled(ticket: Kept, called: frozenset[tuple[int, str]]) -> str | None:
    """Return why a ticket has nothing left to ask of a person, None if it has.

    What the ladder opened is settled with its search; a call for a delivery and cause, once there is no reason for it.
    A conflict about who holds the goods is for people alone.
    """
    if ticket.cause in {*DelayCause} and ticket.search in RESOLVED:
        return ticket.search
    return (
        "RESOLVED"
        if ticket.cause in CALLS and (ticket.delivery_id, ticket.cause) not in called
        else None
    )


def _lag(due_at: datetime, now: datetime) -> dict[str, Any]:
    lag_s = round((now - due_at).total_seconds(), 3)
    return {"dueAt": rfc3339(due_at), "emittedAt": rfc3339(now), "lagS": lag_s}

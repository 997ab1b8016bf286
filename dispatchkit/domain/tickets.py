"""Tickets: what a person has to look at, opened once for each delivery, episode, level and cause."""

from __future__ import annotations

from datetime import datetime

from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.kernel.stable_random import stable_id

CUSTODY_CONFLICT = "CUSTODY_CONFLICT"  # two drivers say that they hold one delivery's goods


def ticket_id(delivery_id: int, episode: int, level: int, cause: str) -> int:
    """Return the id of the one ticket that there may be for this."""
    return stable_id("ticket", delivery_id, episode, level, cause)


def open_ticket(
    group: ChangeSet, delivery_id: int, episode: int, level: int, cause: str, due_at: datetime
) -> None:
    """Add a ticket that should have been opened at `due_at`; a late sweep opens it later."""
    ticket = ticket_id(delivery_id, episode, level, cause)
    group.insert(
        "ticket",
        ticket,
        "support_ticket_created",
        cause,
        {
            "delivery_id": delivery_id,
            "episode": episode,
            "level": level,
            "cause": cause,
            "state": "OPEN",
            "opened_at": group.at,
            "due_at": due_at,
        },
        payload={"ticketId": ticket, "deliveryId": delivery_id, "level": level, "cause": cause},
    )

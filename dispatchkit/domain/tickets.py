"""Tickets: what a person has to look at, once for each delivery, episode, level and cause."""

from __future__ import annotations

from datetime import datetime

from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import EventName
from dispatchkit.domain.rows import Ticket
from dispatchkit.domain.states import TicketState
from dispatchkit.kernel.stable_random import stable_id


def ticket_id(delivery_id: int, episode: int, level: int, cause: str) -> int:
    """Return the id of the only ticket for this delivery, episode, level and cause."""
    return stable_id("ticket", delivery_id, episode, level, cause)


def open_ticket(
    changes: ChangeSet, delivery_id: int, episode: int, level: int, cause: str, due_at: datetime
) -> None:
    """Add a ticket that should have been opened at `due_at`; a late sweep opens it later."""
    ticket = Ticket(
        id=ticket_id(delivery_id, episode, level, cause),
        delivery_id=delivery_id,
        episode=episode,
        level=level,
        cause=cause,
        state=TicketState.OPEN,
        opened_at=changes.at,
        due_at=due_at,
        version=1,
    )
    payload = {"ticketId": ticket.id, "deliveryId": delivery_id, "level": level, "cause": cause}
    changes.add(ticket, EventName.SUPPORT_TICKET_CREATED, cause, payload=payload)

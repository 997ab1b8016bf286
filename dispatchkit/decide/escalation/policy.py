"""The escalation sweep: open searches climb, each level once; tickets open and close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dispatchkit.decide.escalation.acts import respond
from dispatchkit.decide.escalation.ladder import OpenSearch, due_steps, ends_at
from dispatchkit.decide.escalation.model import (
    OPS_LEVEL,
    READS,
    TOP_LEVEL,
    OpenTicket,
    Params,
    StalledDelivery,
)
from dispatchkit.decide.escalation.notices import (
    climb,
    close_ticket,
    give_up,
    remind,
    reminder_due,
)
from dispatchkit.decide.escalation.observe import open_searches, outlook
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ChangeReason
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Decision, Feature, Frames
from dispatchkit.domain.states import DelayCause, EpisodeState
from dispatchkit.domain.tickets import open_ticket, ticket_id
from dispatchkit.kernel.canonical_json import plain
from dispatchkit.travel.interface import Travel

# Tickets for deliveries that have a driver: cause -> (query, level of the ticket).
STALLED = {
    ChangeReason.DRIVER_SUSPENDED: ("stranded", OPS_LEVEL),
    # Under suspicion and released too often before: no sweep releases it again.
    ChangeReason.ATTEMPTS_USED_UP: ("exhausted", TOP_LEVEL),
    # The driver's grace has been over for `stuck_after`.
    ChangeReason.NOBODY_TO_TAKE_OVER: ("stuck", OPS_LEVEL),
}
# A search that ended like this leaves nothing to do; after UNFULFILLED a refund is due.
RESOLVED = (EpisodeState.ASSIGNED, EpisodeState.CUSTODY, EpisodeState.CANCELLED)


def decide(frames: Frames, params: Params, now: datetime, travel: Travel, seed: int) -> Decision:
    """Return the changes at `now` by delivery, in ascending id. Every open search is explained."""
    change_sets: dict[int, ChangeSet] = {}
    searches = open_searches(frames, params, now, travel)
    for search in searches:
        _advance(_change_set(change_sets, search.delivery.id, now), search, params)
    _tickets_for_held_deliveries(change_sets, frames, params, now)
    changes = [change for root in sorted(change_sets) for change in change_sets[root].changes]
    return Decision(changes, lambda: _explain(searches, params, now))


def _explain(
    searches: Sequence[OpenSearch], params: Params, now: datetime
) -> list[Mapping[str, Any]]:
    """Return the open searches inside the rollout, the least slack first, then the oldest."""
    inside = [search for search in searches if not search.delivery.outside]
    outlooks = [outlook(search, params, now) for search in inside]
    outlooks.sort(
        key=lambda o: (o["slack_s"] is None, o["slack_s"] or 0, -o["age_s"], o["delivery_id"])
    )
    return [plain(row) for row in outlooks]


def _advance(changes: ChangeSet, search: OpenSearch, params: Params) -> None:
    """Add what one search calls for now: its end, the levels that are due, or a reminder.

    It does not end while an offer is pending. Outside the rollout a search that has begun to climb
    only comes to its end.
    """
    over_at = ends_at(search, params)
    if over_at is not None and changes.at >= over_at and not search.has_pending_offer:
        give_up(changes, search, over_at)
    elif search.delivery.outside:
        return
    elif steps := due_steps(search, params, changes.at):
        why = _why(search, changes.at)
        climb(changes, search.episode, search.delivery, steps, search.cause, why)
    elif reminder_due(search.episode, params, changes.at):
        remind(changes, search)


def _why(search: OpenSearch, now: datetime) -> Mapping[str, Any]:
    return {
        "age_s": int((now - search.episode.opened_at).total_seconds()),
        "slack_s": int(search.slack.left(now).total_seconds()) if search.slack else None,
        "attempts": len(search.round_ends),
        "soonest_driver_id": search.soonest_driver_id,
    }


def _tickets_for_held_deliveries(
    change_sets: dict[int, ChangeSet], frames: Frames, params: Params, now: datetime
) -> None:
    """Open tickets for deliveries that have a driver and need a person; close settled tickets.

    Outside the rollout no ticket is opened, and an open one stays while there is reason for it.
    """
    notified = frozenset(frames["notified"]["id"])
    needed: set[tuple[int, str]] = set()
    for cause, (query, level) in STALLED.items():
        stuck = cause == ChangeReason.NOBODY_TO_TAKE_OVER
        after = params.stuck_after if stuck else timedelta()
        for delivery in sorted(rows(frames[query], StalledDelivery), key=lambda d: d.id):
            id, episode = delivery.id, delivery.episode
            due_at = (delivery.since or now) + after
            if due_at > now:
                continue
            needed.add((id, cause))
            if not delivery.outside and ticket_id(id, episode, level, cause) not in notified:
                changes = _change_set(change_sets, id, now)
                open_ticket(changes, id, episode, level, cause, due_at)
    for ticket in sorted(rows(frames["tickets"], OpenTicket), key=lambda t: t.id):
        reason = _settled_by(ticket, needed)
        if reason is not None:
            changes = _change_set(change_sets, ticket.delivery_id, now)
            close_ticket(changes, ticket, "system:escalation", reason)


def _settled_by(ticket: OpenTicket, needed: set[tuple[int, str]]) -> str | None:
    """Return why a ticket needs no person any more, or None if it does.

    A ticket of the ladder is settled with its search; one for a delivery with a driver, once
    (delivery, cause) is no longer `needed`. Only people settle a conflict about custody.
    """
    if ticket.cause in {*DelayCause} and ticket.search in RESOLVED:
        return ticket.search
    if ticket.cause in STALLED and (ticket.delivery_id, ticket.cause) not in needed:
        return ChangeReason.RESOLVED
    return None


def _change_set(change_sets: dict[int, ChangeSet], delivery_id: int, now: datetime) -> ChangeSet:
    return change_sets.setdefault(delivery_id, ChangeSet(("delivery", delivery_id), now))


FEATURE = Feature(
    name="escalation",
    flag="escalation",
    sql=Path(__file__).with_name("reads.sql"),
    reads=READS,
    units={
        "deliveries": "id",
        "tickets": "delivery_id",
        "stranded": "id",
        "exhausted": "id",
        "stuck": "id",
    },
    params=Params,
    decide=decide,
    respond=respond,
    explains=True,
    events=("escalate", "ack", "snooze", "close_ticket"),
)

"""The escalation sweep: who stays without a driver climbs, each level once; tickets open and close with their cause."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from dispatchkit.decide.escalation.ladder import Search, steps
from dispatchkit.decide.escalation.manual import respond
from dispatchkit.decide.escalation.model import DRIVER_SUSPENDED, OPS, READS, Kept, Offer, Params
from dispatchkit.decide.escalation.notices import climb, close, give_up, remind, reminds, settled
from dispatchkit.decide.escalation.sight import outlook, searches
from dispatchkit.kernel.change import Change
from dispatchkit.kernel.feature import Feature, Frames, Travel
from dispatchkit.kernel.group import Group, rows
from dispatchkit.kernel.tickets import open_ticket, ticket_id


def decide(frames: Frames, params: Params, now: datetime, travel: Travel) -> list[Change]:
    """Return what to write at `now`, grouped by delivery in ascending id."""
    groups: dict[int, Group] = {}
    pending: dict[int, list[Offer]] = defaultdict(list)
    for offer in rows(frames["offers"], Offer):
        pending[offer.delivery_id].append(offer)
    for search in searches(frames, params, now, travel):
        group = groups.setdefault(search.delivery.id, Group(("delivery", search.delivery.id), now))
        _press(group, search, pending[search.delivery.id], params)
    _settle(groups, frames, now)
    _strand(groups, frames, now)
    return [change for root in sorted(groups) for change in groups[root].changes]


def explain(frames: Frames, params: Params, now: datetime, travel: Travel) -> list[Mapping[str, Any]]:
    """Return every open search as operations read it, the least slack first, then the oldest."""
    seen = [outlook(search, params, now) for search in searches(frames, params, now, travel)]
    return sorted(seen, key=lambda s: (s["slack_s"] is None, s["slack_s"] or 0, -s["age_s"], s["delivery_id"]))


def _press(group: Group, search: Search, offers: list[Offer], params: Params) -> None:
    """Add what one search calls for now: the levels it has reached, a reminder, or its end."""
    over_at = search.episode.opened_at + params.unfulfilled
    over = group.at >= over_at
    taken = steps(search, params, group.at)
    climb(group, search.episode, search.delivery, taken, search.cause, _why(search, group.at), quiet=over)
    if over:
        give_up(group, search, offers, over_at)
    elif not taken and reminds(search.episode, params, group.at):
        remind(group, search)


def _why(search: Search, now: datetime) -> Mapping[str, Any]:
    return {
        "age_s": int((now - search.episode.opened_at).total_seconds()),
        "slack_s": int(search.slack.left(now).total_seconds()) if search.slack else None,
        "attempts": len(search.rounds),
        "soonest": search.soonest,
    }


def _settle(groups: dict[int, Group], frames: Frames, now: datetime) -> None:
    """Close the tickets that have nothing left to ask of a person."""
    stranded = frozenset(frames["stranded"]["id"])
    for ticket in sorted(rows(frames["tickets"], Kept), key=lambda t: t.id):
        if reason := settled(ticket, stranded):
            group = groups.setdefault(ticket.delivery_id, Group(("delivery", ticket.delivery_id), now))
            close(group, ticket, "system:escalation", reason)


def _strand(groups: dict[int, Group], frames: Frames, now: datetime) -> None:
    """Open a ticket for each delivery whose goods are with a suspended driver, unless there has been one."""
    told = frozenset(frames["told"]["id"])
    for row in frames["stranded"].sort("id").iter_rows(named=True):
        ticket = ticket_id(row["id"], row["episode"], OPS, DRIVER_SUSPENDED)
        if ticket not in told:
            group = groups.setdefault(row["id"], Group(("delivery", row["id"]), now))
            open_ticket(group, row["id"], row["episode"], OPS, DRIVER_SUSPENDED, row["duty_since"] or now)


FEATURE = Feature(
    name="escalation",
    flag="escalation",
    sql=Path(__file__).with_name("reads.sql"),
    reads=READS,
    units={"episodes": "delivery_id", "deliveries": "id", "tickets": "delivery_id", "stranded": "id"},
    params=Params,
    decide=decide,
    respond=respond,
    explain=explain,
    events=("escalate", "ack", "snooze", "close_ticket"),
)

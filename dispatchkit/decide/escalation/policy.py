"""The escalation sweep: who stays without a driver climbs, each level once; tickets open and close with their cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dispatchkit.decide.escalation.ladder import Search, ends_at, steps
from dispatchkit.decide.escalation.manual import respond
from dispatchkit.decide.escalation.model import READS, Kept
from dispatchkit.decide.escalation.notices import climb, close, give_up, remind, reminds, settled
from dispatchkit.decide.escalation.params import CALLS, Params
from dispatchkit.decide.escalation.sight import outlook, searches
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import OUTSIDE, Decision, Feature, Frames
from dispatchkit.domain.tickets import open_ticket, ticket_id
from dispatchkit.kernel.canonical_json import plain
from dispatchkit.travel.interface import Travel

CALL = ("id", "episode", "since", OUTSIDE)  # the columns of each read that calls for a person


def decide(frames: Frames, params: Params, now: datetime, travel: Travel, seed: int) -> Decision:
    """Return what to write at `now`, grouped by delivery in ascending id. Explained is every open search."""
    groups: dict[int, ChangeSet] = {}
    open_searches = searches(frames, params, now, travel)
    for search in open_searches:
        _press(_group(groups, search.delivery.id, now), search, params)
    _call(groups, frames, params, now)
    changes = [change for root in sorted(groups) for change in groups[root].changes]
    return Decision(changes, lambda: _explain(open_searches, params, now))


def _explain(
    open_searches: Sequence[Search], params: Params, now: datetime
) -> list[Mapping[str, Any]]:
    """Return every open search inside the rollout as operations read it, the least slack first, then the oldest."""
    inside = [search for search in open_searches if not search.delivery.outside]
    seen = [outlook(search, params, now) for search in inside]
    urgent = sorted(
        seen, key=lambda s: (s["slack_s"] is None, s["slack_s"] or 0, -s["age_s"], s["delivery_id"])
    )
    return [plain(row) for row in urgent]


def _press(group: ChangeSet, search: Search, params: Params) -> None:
    """Add what one search calls for now: its end, or the levels it has reached, or a reminder.

    It does not end while somebody is being asked. Outside the rollout it comes to its end if it has begun to climb.
    """
    over_at = ends_at(search, params)
    if over_at is not None and group.at >= over_at and not search.asked:
        give_up(group, search, over_at)
    elif search.delivery.outside:
        return
    elif taken := steps(search, params, group.at):
        climb(group, search.episode, search.delivery, taken, search.cause, _why(search, group.at))
    elif reminds(search.episode, params, group.at):
        remind(group, search)


def _why(search: Search, now: datetime) -> Mapping[str, Any]:
    return {
        "age_s": int((now - search.episode.opened_at).total_seconds()),
        "slack_s": int(search.slack.left(now).total_seconds()) if search.slack else None,
        "attempts": len(search.rounds),
        "soonest_driver_id": search.soonest,
    }


def _call(groups: dict[int, ChangeSet], frames: Frames, params: Params, now: datetime) -> None:
    """Open tickets for deliveries that have a driver and need a person, and close those with nothing left to ask.

    Outside the rollout none is opened, and one that is open stays so as long as there is reason for it.
    """
    told = frozenset(frames["told"]["id"])
    called: set[tuple[int, str]] = set()
    for cause, read, after in (
        ("DRIVER_SUSPENDED", "stranded", timedelta()),
        ("ATTEMPTS_USED_UP", "exhausted", timedelta()),
        ("NOBODY_TO_TAKE_OVER", "stuck", params.stuck_after),
    ):
        for id, episode, since, outside in frames[read].select(*CALL).sort("id").iter_rows():
            due_at = (since or now) + after
            if due_at > now:
                continue
            called.add((id, cause))
            if not outside and ticket_id(id, episode, CALLS[cause], cause) not in told:
                open_ticket(_group(groups, id, now), id, episode, CALLS[cause], cause, due_at)
    for ticket in sorted(rows(frames["tickets"], Kept), key=lambda t: t.id):
        if reason := settled(ticket, frozenset(called)):
            close(_group(groups, ticket.delivery_id, now), ticket, "system:escalation", reason)


def _group(groups: dict[int, ChangeSet], delivery: int, now: datetime) -> ChangeSet:
    return groups.setdefault(delivery, ChangeSet(("delivery", delivery), now))


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

"""The three clocks of the ladder: age, slack and attempts.

A search is at the highest level that any of them has reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatchkit.decide.escalation.model import TOP_LEVEL, Params, SearchedDelivery
from dispatchkit.domain.codes import LadderClock
from dispatchkit.domain.rows import Episode


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """The time to spare before the promise, if the soonest available driver took the delivery now.

    leave_by: when the driver has to set out at the latest. at_most: the slack of a driver who is at
    the pickup when the goods are ready, None if that time is unknown; setting out earlier does not
    make the goods ready earlier.
    """

    leave_by: datetime
    at_most: timedelta | None

    def left(self, now: datetime) -> timedelta:
        """Return the time to spare at `now`, below zero if the promise can no longer be kept."""
        left = self.leave_by - now
        return left if self.at_most is None else min(left, self.at_most)

    def runs_below(self, limit: timedelta, opened_at: datetime) -> datetime:
        """Return when the slack sinks to `limit`: `opened_at` if it was below from the start."""
        if self.at_most is not None and self.at_most < limit:
            return opened_at
        return max(opened_at, self.leave_by - limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSearch:
    """One open search as it is known now.

    round_ends: when each round of offers ended without a driver. slack: None if it is unknown.
    has_pending_offer: an offer waits for its answer, or its round has not been ended yet.
    soonest_driver_id: the driver on whom the slack is based, None if there is nobody.
    """

    episode: Episode
    delivery: SearchedDelivery
    round_ends: tuple[datetime, ...]
    slack: Slack | None
    has_pending_offer: bool
    cause: str
    soonest_driver_id: int | None


@dataclass(frozen=True, slots=True)
class LadderStep:
    """One level that is reached: when it is due, and by which clock."""

    level: int
    due_at: datetime
    clock: LadderClock


def due_steps(search: OpenSearch, params: Params, now: datetime) -> list[LadderStep]:
    """Return the levels to climb at `now`, lowest first.

    A late sweep leaves no level out, and each keeps the time at which it was due. A driver who
    leaves can move a level's due time before that of the level below; it then takes the later one.
    """
    steps: list[LadderStep] = []
    earliest = search.episode.level_due_at or search.episode.opened_at
    for level in range(search.episode.level + 1, TOP_LEVEL + 1):
        candidates = clock_steps(search, level, params)
        due = [step for step in candidates if _is_due(step, search, params, now)]
        if not due:
            break
        first = min(due, key=lambda step: (step.due_at, step.clock))
        earliest = max(earliest, first.due_at)
        steps.append(LadderStep(level, earliest, first.clock))
    return steps


def ends_at(search: OpenSearch, params: Params) -> datetime | None:
    """Return when the search is given up, or None if it has not climbed far enough.

    That is at `unfulfilled`, and not before the last level has lasted as long as it does when every
    level is reached on time: after an outage people hear of the last level, and phones send their
    positions again, before the search ends. The last level is the top; outside the rollout, where a
    search climbs no more, it is any level above 0.
    """
    episode = search.episode
    if episode.level < (1 if search.delivery.outside else TOP_LEVEL):
        return None
    lasts = params.unfulfilled - params.ages[episode.level - 1]
    level_at = episode.level_at or episode.opened_at
    return max(episode.opened_at + params.unfulfilled, level_at + lasts)


def clock_steps(search: OpenSearch, level: int, params: Params) -> list[LadderStep]:
    """Return when each clock reaches a level, past or future; attempts only once they are used."""
    opened_at, round_ends = search.episode.opened_at, search.round_ends
    steps = [LadderStep(level, opened_at + params.ages[level - 1], LadderClock.AGE)]
    if search.slack is not None and level <= len(params.slacks):
        below = search.slack.runs_below(params.slacks[level - 1], opened_at)
        steps.append(LadderStep(level, below, LadderClock.SLACK))
    if level <= len(params.attempts):
        attempts = params.attempts[level - 1]
        if len(round_ends) >= attempts:
            steps.append(LadderStep(level, round_ends[attempts - 1], LadderClock.ATTEMPTS))
    return steps


def _is_due(step: LadderStep, search: OpenSearch, params: Params, now: datetime) -> bool:
    if step.clock == LadderClock.SLACK and search.slack is not None:
        return search.slack.left(now) < params.slacks[step.level - 1]  # below, not at
    return step.due_at <= now

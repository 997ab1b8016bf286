"""The three clocks of the ladder: age, slack and attempts. The level is that of whichever ran out the farthest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatchkit.decide.escalation.model import Episode, Sought
from dispatchkit.decide.escalation.params import TOP, Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """What there is to spare before the promise, if the soonest driver who may be asked took the delivery now.

    leave_by: when the driver has to set out at the latest.
    at_most: what would be left if the driver were there when the goods are ready, None if unknown;
    setting out earlier does not make the goods ready earlier.
    """

    leave_by: datetime
    at_most: timedelta | None

    def left(self, now: datetime) -> timedelta:
        """Return the time to spare at `now`, below zero if the promise cannot be kept any more."""
        left = self.leave_by - now
        return left if self.at_most is None else min(left, self.at_most)

    def runs_below(self, limit: timedelta, opened_at: datetime) -> datetime:
        """Return when the slack of a search sinks to `limit`, its opening if it was below from the start."""
        if self.at_most is not None and self.at_most < limit:
            return opened_at
        return max(opened_at, self.leave_by - limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One open search as it is seen now. rounds: when each ended without a yes; slack: None if nobody can tell it.

    asked: whether an offer waits for its answer, or the round of one has not been ended yet.
    """

    episode: Episode
    delivery: Sought
    rounds: tuple[datetime, ...]
    slack: Slack | None
    asked: bool
    cause: str
    soonest: int | None  # the driver on whom the slack counts; None if there is nobody


@dataclass(frozen=True, slots=True)
class Step:
    """One level that is reached: when it should have been, and by which clock."""

    level: int
    due_at: datetime
    clock: str


def steps(search: Search, params: Params, now: datetime) -> list[Step]:
    """Return the levels to climb at `now`, one by one: a late sweep leaves none out and knows when each was due."""
    found: list[Step] = []
    earliest = search.episode.level_due_at or search.episode.opened_at
    for level in range(search.episode.level + 1, TOP + 1):
        due = [
            step for step in clocks(search, level, params) if _ran_out(step, search, params, now)
        ]
        if not due:
            break
        first = min(due, key=lambda step: (step.due_at, step.clock))
        earliest = max(
            earliest, first.due_at
        )  # a driver who leaves can move a level's due time before the last one's
        found.append(Step(level, earliest, first.clock))
    return found


def ends_at(search: Search, params: Params) -> datetime | None:
    """Return when nobody is sought any more, None for a search that has not climbed as far as it has to.

    At `unfulfilled`, and not before its level has stood as long as it does where each is reached on time: after an
    outage people hear of the last level, and phones ping again, before it ends. That level is the top; outside the
    rollout, where no more is climbed, any.
    """
    episode = search.episode
    if episode.level < (1 if search.delivery.outside else TOP):
        return None
    stands = params.unfulfilled - params.ages[episode.level - 1]
    return max(
        episode.opened_at + params.unfulfilled, (episode.level_at or episode.opened_at) + stands
    )


def clocks(search: Search, level: int, params: Params) -> list[Step]:
    """Return when each clock reaches a level, past or to come; attempts only once they are used up."""
    found = [Step(level, search.episode.opened_at + params.ages[level - 1], "AGE")]
    if search.slack is not None and level <= len(params.slacks):
        below = search.slack.runs_below(params.slacks[level - 1], search.episode.opened_at)
        found.append(Step(level, below, "SLACK"))
    if level <= len(params.attempts) and len(search.rounds) >= params.attempts[level - 1]:
        found.append(Step(level, search.rounds[params.attempts[level - 1] - 1], "ATTEMPTS"))
    return found


def _ran_out(step: Step, search: Search, params: Params, now: datetime) -> bool:
    if step.clock == "SLACK" and search.slack is not None:
        return search.slack.left(now) < params.slacks[step.level - 1]  # below, not at
    return step.due_at <= now

"""Which deliveries seek a driver now, and what each has learnt so far: who was asked, who refused, how often."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatchkit.decide.offers.expire import search_began
from dispatchkit.decide.offers.model import Episode, Offer, Params, Refusal, Sought
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Frames

REFUSED = ("DECLINED", "EXPIRED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeker:
    """A delivery that asks drivers now.

    rounds: those that are over, or overtaken by the wave now due. waiting: earlier waves are still pending.
    asked: offers so far, by driver. barred: drivers asked in this episode, or from whom it was taken.
    refusals: what others refused in earlier episodes, by driver. refused: how many offers of all episodes were declined
    or ran out; unwanted: in how many rounds of this episode.
    """

    delivery: Sought
    group: ChangeSet
    episode: Episode | None  # None only for a delivery imported without one
    rounds: int
    waited: timedelta
    asked: Mapping[int, int]
    barred: frozenset[int]
    refusals: Mapping[int, Refusal]
    refused: int
    unwanted: int
    waiting: bool

    @property
    def level(self) -> int:
        return self.episode.level if self.episode else 0

    def radius_m(self, params: Params) -> int:
        """Return how far from the pickup, by air, drivers are asked now."""
        return params.radius_m(self.rounds, self.waited, self.level)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the reads tell about searches: the open episode by (delivery, number), the rest by delivery."""

    episodes: Mapping[tuple[int, int], Episode]
    released: Mapping[int, frozenset[int]]
    refusals: Mapping[int, Mapping[int, Refusal]]


def remember(frames: Frames) -> Memory:
    """Return the open episodes, who lost which delivery, and each driver's last refusal of an earlier episode."""
    episodes = {
        (episode.delivery_id, episode.episode): episode
        for episode in rows(frames["episodes"], Episode)
    }
    released: dict[int, set[int]] = defaultdict(set)
    for row in frames["released"].iter_rows(named=True):
        released[row["delivery_id"]].add(row["driver_id"])
    refusals: dict[int, dict[int, Refusal]] = defaultdict(dict)
    for refusal in sorted(rows(frames["refusals"], Refusal), key=lambda r: (r.responded_at, r.id)):
        refusals[refusal.delivery_id][refusal.driver_id] = refusal
    return Memory(
        episodes, {delivery: frozenset(drivers) for delivery, drivers in released.items()}, refusals
    )


def seek(
    group: ChangeSet,
    delivery: Sought,
    opened: Episode | None,
    offers: Sequence[Offer],
    overdue: Sequence[Offer],
    memory: Memory,
    params: Params,
    now: datetime,
) -> Seeker | None:
    """Return a delivery as one that asks now: it is UNASSIGNED after what time has done, or its next wave is due.

    opened: its episode, if that begins in this run. overdue: those of its offers that end in this run.
    """
    state, attempt = (
        group.value("delivery", delivery, "state"),
        group.value("delivery", delivery, "attempt"),
    )
    assert isinstance(attempt, int)
    ran_out = {offer.id for offer in overdue}
    waiting = state == "OFFERING"
    if state != "UNASSIGNED":
        alive = [offer for offer in offers if group.value("offer", offer, "state") == "PENDING"]
        if not waiting or not _next_wave_due(delivery, alive, params, now):
            return None
    episode = opened or memory.episodes.get((delivery.id, delivery.episode))
    this_time = [offer for offer in offers if offer.episode == delivery.episode]
    refused = [offer for offer in offers if offer.state in REFUSED or offer.id in ran_out]
    return Seeker(
        delivery=delivery,
        group=group,
        episode=episode,
        rounds=attempt + waiting,
        waited=now - (episode.opened_at if episode else search_began(delivery)),
        asked=Counter(offer.driver_id for offer in offers),
        barred=frozenset(o.driver_id for o in this_time)
        | memory.released.get(delivery.id, frozenset()),
        refusals=memory.refusals.get(delivery.id, {}),
        refused=len(refused),
        unwanted=len({offer.attempt for offer in refused if offer.episode == delivery.episode}),
        waiting=waiting,
    )


def _next_wave_due(delivery: Sought, alive: Sequence[Offer], params: Params, now: datetime) -> bool:
    """Return whether the last wave has been out for `wave_gap`, or has already been answered by all."""
    last = [offer for offer in alive if offer.attempt > delivery.attempt]
    return params.mode == "waves" and all(now >= offer.sent_at + params.wave_gap for offer in last)

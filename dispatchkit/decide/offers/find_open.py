"""Which deliveries seek a driver now: time opens searches and ends offers, then each has its history."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatchkit.decide.offers.model import OpenDelivery, Params, Refusal
from dispatchkit.domain.change_set import ChangeSet
from dispatchkit.domain.codes import ChangeReason, EventName
from dispatchkit.domain.contract import rows
from dispatchkit.domain.dispatching import rest_until
from dispatchkit.domain.feature import Frames
from dispatchkit.domain.rows import Driver, Episode, Offer
from dispatchkit.domain.search import end_round, open_search, withdraw
from dispatchkit.domain.states import DeliveryState, OfferMode, OfferState

REFUSED = (OfferState.DECLINED, OfferState.EXPIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchingDelivery:
    """A delivery that may make offers now.

    rounds: rounds that are over, or overtaken by the wave that is now due.
    offers_before: the number of offers so far, by driver.
    barred: drivers who had an offer in this episode, or from whom the delivery was taken.
    refusals: the last refusal of an earlier episode, by driver.
    refused: how many offers of all episodes were declined or not answered.
    unwanted: in how many rounds of this episode an offer was declined or not answered.
    waiting: offers of earlier waves are still pending.
    """

    delivery: OpenDelivery
    changes: ChangeSet
    episode: Episode | None  # None only for a delivery imported without one
    rounds: int
    waited: timedelta
    offers_before: Mapping[int, int]
    barred: frozenset[int]
    refusals: Mapping[int, Refusal]
    refused: int
    unwanted: int
    waiting: bool

    @property
    def level(self) -> int:
        return self.episode.level if self.episode else 0

    def radius_m(self, params: Params) -> int:
        """Return the straight-line distance within which drivers get offers now."""
        return params.radius_m(self.rounds, self.waited, self.level)


@dataclass(frozen=True, slots=True)
class SearchHistory:
    """The open episodes by (delivery, number); the released drivers and the refusals by delivery."""

    episodes: Mapping[tuple[int, int], Episode]
    released: Mapping[int, frozenset[int]]
    refusals: Mapping[int, Mapping[int, Refusal]]


def load_history(frames: Frames) -> SearchHistory:
    """Return the open episodes, who lost which delivery, and each driver's last refusal."""
    episodes = {(e.delivery_id, e.episode): e for e in rows(frames["episodes"], Episode)}
    released: dict[int, frozenset[int]] = defaultdict(frozenset)
    for row in frames["released"].iter_rows(named=True):
        released[row["delivery_id"]] |= {row["driver_id"]}
    refusals: dict[int, dict[int, Refusal]] = defaultdict(dict)
    for refusal in sorted(rows(frames["refusals"], Refusal), key=lambda r: (r.responded_at, r.id)):
        refusals[refusal.delivery_id][refusal.driver_id] = refusal
    return SearchHistory(episodes, released, refusals)


def begin_search(changes: ChangeSet, delivery: OpenDelivery, now: datetime) -> Episode | None:
    """Return the first episode of a delivery whose search is due, else None.

    A new delivery whose search is not due is scheduled. The episode counts from when the search was
    due, not from when a late sweep noticed.
    """
    if delivery.state not in (DeliveryState.CREATED, DeliveryState.SCHEDULED):
        return None
    if now < delivery.dispatch_at:
        if delivery.state == DeliveryState.CREATED:
            changes.update(
                delivery,
                EventName.DELIVERY_SCHEDULED,
                ChangeReason.DISPATCH_AHEAD,
                state=DeliveryState.SCHEDULED,
            )
        return None
    due = ChangeReason.DISPATCH_DUE
    changes.update(delivery, EventName.DELIVERY_DISPATCHABLE, due, state=DeliveryState.UNASSIGNED)
    return open_search(changes, delivery.id, delivery.episode, due, _due_since(delivery))


def expire(
    changes: ChangeSet,
    delivery: OpenDelivery,
    offers: Sequence[Offer],
    drivers: Mapping[int, Driver],
    params: Params,
    now: datetime,
) -> None:
    """End the offers whose hard deadline is reached, and the round if no offer of it is left.

    The driver rests for `cooldown_expire`. It counts as a timeout only if the offer is known to
    have reached the phone: a lost connection is not the driver's fault. Offers to drivers who are no
    longer on duty are withdrawn: nobody could accept them.
    """
    pending = [offer for offer in offers if offer.state == OfferState.PENDING]
    overdue = [offer for offer in pending if now >= offer.hard_deadline]
    for offer in overdue:
        reached_phone = offer.delivered_at is not None
        changes.update(
            offer,
            EventName.OFFER_EXPIRED,
            ChangeReason.HARD_DEADLINE_REACHED,
            payload={
                "offerId": offer.id,
                "deliveryId": delivery.id,
                "driverId": offer.driver_id,
                "countable": reached_phone,
            },
            state=OfferState.EXPIRED,
            responded_at=now,
        )
        if driver := drivers.get(offer.driver_id):
            changes.update(
                driver,
                EventName.DRIVER_COOLED_DOWN,
                ChangeReason.OFFER_EXPIRED,
                timeouts=driver.timeouts + reached_phone,
                cooldown_until=rest_until(driver, now + params.cooldown_expire),
            )
    gone = [offer for offer in pending if offer not in overdue and offer.driver_id not in drivers]
    withdraw(changes, gone, ChangeReason.DRIVER_UNAVAILABLE)
    if delivery.state == DeliveryState.OFFERING and len(overdue) + len(gone) == len(pending):
        end_round(changes, delivery)


def find_open(
    changes: ChangeSet,
    delivery: OpenDelivery,
    opened: Episode | None,
    offers: Sequence[Offer],
    history: SearchHistory,
    params: Params,
    now: datetime,
) -> SearchingDelivery | None:
    """Return a delivery that may make offers now: it is UNASSIGNED, or its next wave is due.

    changes: what time has already done to the delivery and its offers in this run.
    opened: its episode, if that begins in this run.
    """
    delivery = changes.latest(delivery)
    offers = [changes.latest(offer) for offer in offers]
    waiting = delivery.state == DeliveryState.OFFERING
    if waiting:
        if not _next_wave_due(delivery, offers, params, now):
            return None
    elif delivery.state != DeliveryState.UNASSIGNED:
        return None

    episode = opened or history.episodes.get((delivery.id, delivery.episode))
    this_episode = [offer for offer in offers if offer.episode == delivery.episode]
    refused = [offer for offer in offers if offer.state in REFUSED]
    return SearchingDelivery(
        delivery=delivery,
        changes=changes,
        episode=episode,
        rounds=delivery.attempt + waiting,
        waited=now - (episode.opened_at if episode else _due_since(delivery)),
        offers_before=Counter(offer.driver_id for offer in offers),
        barred=frozenset(o.driver_id for o in this_episode)
        | history.released.get(delivery.id, frozenset()),
        refusals=history.refusals.get(delivery.id, {}),
        refused=len(refused),
        unwanted=len({offer.attempt for offer in refused if offer.episode == delivery.episode}),
        waiting=waiting,
    )


def _due_since(delivery: OpenDelivery) -> datetime:
    return max(delivery.dispatch_at, delivery.created_at)


def _next_wave_due(
    delivery: OpenDelivery, offers: Sequence[Offer], params: Params, now: datetime
) -> bool:
    """Return whether the last wave is `wave_gap` old, or has no pending offer any more."""
    last_wave = [
        offer
        for offer in offers
        if offer.state == OfferState.PENDING and offer.attempt > delivery.attempt
    ]
    return params.mode == OfferMode.WAVES and all(
        now >= offer.sent_at + params.wave_gap for offer in last_wave
    )

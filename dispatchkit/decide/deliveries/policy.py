"""Acts on a delivery: which function answers which act, and the rules that hold for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from dispatchkit.decide.deliveries.creation import create
from dispatchkit.decide.deliveries.custody import handover, rescue
from dispatchkit.decide.deliveries.ending import bring_back, cancel, fail, returned
from dispatchkit.decide.deliveries.model import DeliveryAct, Params
from dispatchkit.decide.deliveries.steps import STEPS, step
from dispatchkit.domain.codes import ActResult
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Answer, Event, Feature, Frames, refused
from dispatchkit.domain.rows import Delivery

# If a driver is named, it must be the driver of the delivery.
BY_DRIVER_OF_DELIVERY = ("fail", "return", "returned")
ACTS: Mapping[str, Callable[[DeliveryAct], Answer]] = {
    **dict.fromkeys(STEPS, step),
    "cancel": cancel,
    "fail": fail,
    "return": bring_back,
    "returned": returned,
    "rescue": rescue,
    "handover": handover,
}


def respond(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return the answer to an act on a delivery: its code, and the changes if it counts.

    The argument `at` is when the act happened by the sender's clock. If it is ahead of ours by up to
    `max_skew`, `now` is taken; if by more, the act is refused (CLOCK_SKEW). A driver acts only on
    their own deliveries; others do not exist for them (NOT_FOUND).
    """
    if event.name == "create":
        return create(frames, event, params, now)

    delivery = next(iter(rows(frames["delivery"], Delivery)), None)
    if delivery is None:
        return refused(ActResult.NOT_FOUND)
    if event.name in BY_DRIVER_OF_DELIVERY and event.driver_id not in (None, delivery.driver_id):
        return refused(ActResult.NOT_FOUND)

    at = event.args.get("at") or now
    if at > now + params.max_skew:
        return refused(ActResult.CLOCK_SKEW)
    act = DeliveryAct(frames, event, delivery, min(at, now), now, params.max_skew)
    return ACTS[event.name](act)


FEATURE = Feature(
    name="deliveries",
    flag="deliveries",
    params=Params,
    respond=respond,
    events=("create", *ACTS),
)

"""Acts on a delivery: which function answers which, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from dispatchkit.decide.deliveries.creation import create
from dispatchkit.decide.deliveries.custody import handover, rescue
from dispatchkit.decide.deliveries.ending import bring_back, cancel, fail, returned
from dispatchkit.decide.deliveries.model import Delivery, Params, Scene
from dispatchkit.decide.deliveries.steps import STEPS, step
from dispatchkit.domain.contract import rows
from dispatchkit.domain.feature import Answer, Event, Feature, Frames, refused

BY_HOLDER = ("fail", "return", "returned")  # told by the driver, if one is named, of what he holds
ACTS: Mapping[str, Callable[[Scene], Answer]] = {
    **dict.fromkeys(STEPS, step),
    "cancel": cancel,
    "fail": fail,
    "return": bring_back,
    "returned": returned,
    "rescue": rescue,
    "handover": handover,
}


def respond(frames: Frames, event: Event, params: Params, now: datetime) -> Answer:
    """Return what an act on a delivery comes to: its code, and the changes if it counts.

    args `at`: when it happened by the teller's clock. If that is ahead of ours by up to `max_skew` it is taken as now,
    if it is before a step known to be earlier by as little, as the time of that; refused (CLOCK_SKEW) if by more.
    A driver acts on what he holds; anything else is as good as missing.
    """
    if event.name == "create":
        return create(frames, event, params, now)
    delivery = next(iter(rows(frames["delivery"], Delivery)), None)
    if delivery is None or (
        event.name in BY_HOLDER and event.driver_id not in (None, delivery.driver_id)
    ):
        return refused("NOT_FOUND")
    at = event.args.get("at") or now
    if at > now + params.max_skew:
        return refused("CLOCK_SKEW")
    return ACTS[event.name](Scene(frames, event, delivery, min(at, now), now, params.max_skew))


FEATURE = Feature(
    name="deliveries",
    flag="deliveries",
    params=Params,
    respond=respond,
    events=("create", *ACTS),
)

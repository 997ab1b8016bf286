"""The terms of an offer: what the driver would do and earn, frozen and hashed when it is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Self

from dispatchkit.decide.offers.model import Params
from dispatchkit.decide.offers.seek import Seeker
from dispatchkit.domain.change_set import Values
from dispatchkit.kernel.canonical_json import canonical, text_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one round offers to all whom it asks. pay_cents holds the boost; leg_s: pickup to door, None if unknown."""

    distance_m: int
    leg_s: int | None
    pay_cents: int
    boost_cents: int

    @classmethod
    def of(cls, seeker: Seeker, length: tuple[int, int] | None, params: Params) -> Self:
        """Return the terms of a delivery that is so long, in (seconds, metres); one of unknown length pays the base."""
        seconds, metres = length or (-1, 0)
        boost = params.boost_cents(seeker.unwanted, seeker.level)
        return cls(
            distance_m=max(0, metres),
            leg_s=seconds if seconds >= 0 else None,
            pay_cents=params.pay_cents(max(0, metres)) + boost,
            boost_cents=boost,
        )

    def told(self, seeker: Seeker, pickup_s: int, held: int, pickup: datetime) -> Values:
        """Return what a driver agrees to, by accepting. No place and no person: the offer is audited for years."""
        return {
            "delivery_id": seeker.delivery.id,
            "merchant_id": seeker.delivery.merchant_id,
            "distance_m": self.distance_m,
            "pay_cents": self.pay_cents,
            "boost_cents": self.boost_cents,
            "estimated_earning_cents": self.pay_cents,
            "held": held,
            "pickup_s": pickup_s,
            "pickup_eta": pickup,
            "dropoff_eta": None if self.leg_s is None else pickup + timedelta(seconds=self.leg_s),
        }


def frozen(told: Values) -> Values:
    """Return the columns that freeze what an offer tells: its text, the text's hash, pay and distance."""
    payload = canonical(text_ids(told))
    columns: Values = {name: told[name] for name in ("pay_cents", "boost_cents", "distance_m")}
    return columns | {"payload": payload, "payload_sha256": sha256(payload.encode()).hexdigest()}


def terms_told(payload: str) -> dict[str, Any]:
    """Return what an offer told, as far as its payload can be read; imported ones may hold anything."""
    try:
        found = json.loads(payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

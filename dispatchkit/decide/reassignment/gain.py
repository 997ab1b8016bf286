"""What handing a delivery to somebody else would gain: the pickup with the driver it has against the soonest other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatchkit.decide.reassignment.model import Params, Sight
from dispatchkit.domain.dispatching import Approach, Driver


@dataclass(frozen=True, slots=True)
class Gain:
    """The soonest other driver, if any, and the time gained; None where the current driver is not expected at all."""

    other: Driver | None
    gained: timedelta | None

    def enough(self, params: Params) -> bool:
        """Return whether there is another driver and he comes sooner by `min_gain`."""
        return self.other is not None and (self.gained is None or self.gained >= params.min_gain)


def gain(sight: Sight, coming_in: timedelta | None, other: Approach | None, now: datetime) -> Gain:
    """Return what `other` would gain at the pickup over the driver who is expected there in `coming_in`.

    Both times count from when the goods are ready, so nobody is replaced for reaching a counter where all would wait.
    A driver who is silent, off duty or past his shift (`coming_in` None) is not expected: anybody else is a gain.
    """
    if other is None:
        return Gain(None, None)
    if coming_in is None:
        return Gain(other.driver, None)
    ready_at = sight.delivery.ready_at
    return Gain(
        other.driver, max(now + coming_in, ready_at or now) - other.pickup_at(ready_at, now)
    )

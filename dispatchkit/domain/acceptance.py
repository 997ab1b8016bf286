"""How likely a driver accepts an offer: an estimate that can be checked by hand.

Offers use it to choose drivers, reports to compare it with what drivers answered.
A delivery's own chance of a decline is Beta distributed: after k refusals the next answer is a
decline with probability (a + k) / (a + b + k). What the driver would have to do changes the odds.
Both are fits and assumptions: the reliability table of the offers report checks them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import polars as pl

from dispatchkit.kernel.errors import BadConfig

N = TypeVar("N", float, pl.Expr)


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """The parameters of the estimate. With all effects at 0 every driver is equally likely to accept."""

    # Fitted to counts published by Meituan: 57,770 of 568,546 first offers refused, 85,797 refusals
    # in all.
    decline_a: float = 0.4515
    decline_b: float = 3.992

    usual_way: timedelta = timedelta(minutes=5)  # to the pickup; effects count from here. Assumed

    # Effects on the log-odds of a decline. The signs have a source, the sizes are assumed.
    decline_per_minute: float = 0.10  # for each minute more to the pickup (Ashkrof et al.)
    decline_stacked: float = 0.3  # for each delivery in hand (stated preferences)
    decline_per_boost: float = -0.25  # for each 1.00 per km of boost (Tu et al.)

    def __post_init__(self) -> None:
        for name in ("decline_a", "decline_b"):
            if getattr(self, name) <= 0:
                raise BadConfig(f"{name} is {getattr(self, name)}; expected more than 0")
        for name in ("decline_per_minute", "decline_stacked", "decline_per_boost"):
            if not -2 <= getattr(self, name) <= 2:
                raise BadConfig(f"{name} is {getattr(self, name)}; expected -2 to 2, log-odds")

    def p_accept(self, refusals: N, way_min: N, held: N, boost_per_km: N) -> N:
        """Return the probability in (0, 1) that an offer, or each of a column of offers, is accepted.

        refusals: how often anybody has refused the delivery so far. way_min: minutes to the pickup.
        held: deliveries the driver has in hand. boost_per_km: extra pay per km from pickup to door,
        in whole units of money.
        """
        effects = (
            (way_min - self.usual_way.total_seconds() / 60) * self.decline_per_minute
            + held * self.decline_stacked
            + boost_per_km * self.decline_per_boost
        )
        odds_factor: N = math.e**effects
        odds = (refusals + self.decline_a) / self.decline_b * odds_factor
        return 1.0 / (odds + 1.0)

"""How likely a driver says yes: an estimate one can do by hand, shared by whom to ask and by how well it foretold.

An order's own reluctance is Beta distributed: after k refusals the next answer is a no with (a + k) / (a + b + k). What
the driver would have to do for it moves the odds. Both are fits and assumptions, not laws: the reliability table of the
offers report holds them against what drivers answered.
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
    """The numbers of the estimate. All effects at 0: every driver is thought equally likely to accept."""

    # Meituan's published counts: 57,770 of 568,546 first offers refused, 85,797 refusals in all (semantics 9).
    decline_a: float = 0.4515
    decline_b: float = 3.992
    usual_way: timedelta = timedelta(minutes=5)  # to the pickup; effects count from here. Assumed
    decline_per_minute: float = (
        0.10  # log-odds for each minute more. Sign: Ashkrof et al., size assumed
    )
    decline_stacked: float = (
        0.3  # log-odds for each delivery in hand. Sign: stated preferences, size assumed
    )
    decline_per_boost: float = (
        -0.25
    )  # log-odds for each 1.00 a km of boost. Sign: Tu et al., size assumed

    def __post_init__(self) -> None:
        for name in ("decline_a", "decline_b"):
            if getattr(self, name) <= 0:
                raise BadConfig(f"{name} is {getattr(self, name)}; expected more than 0")
        for name in ("decline_per_minute", "decline_stacked", "decline_per_boost"):
            if not -2 <= getattr(self, name) <= 2:
                raise BadConfig(f"{name} is {getattr(self, name)}; expected -2 to 2, log-odds")

    def p_accept(self, refusals: N, way_min: N, held: N, boost_per_km: N) -> N:
        """Return the chance of a yes, in (0, 1), of one offer or of a column of them.

        refusals: how often the delivery has been refused so far, by anybody. way_min: minutes to the pickup. held:
        deliveries in the driver's hands. boost_per_km: extra pay in whole units of money, by km from pickup to door.
        """
        effects = (
            (way_min - self.usual_way.total_seconds() / 60) * self.decline_per_minute
            + held * self.decline_stacked
            + boost_per_km * self.decline_per_boost
        )
        grown: N = math.e**effects
        odds = (refusals + self.decline_a) / self.decline_b * grown
        return 1.0 / (odds + 1.0)

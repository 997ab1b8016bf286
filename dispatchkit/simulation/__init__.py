"""A made-up city: seeded, realistic, any size, with a history and a live evening. No data of any real operation.

`world(plan)` is what stands still, `days(plan)` what happened; both are tables of `kernel.tables`.
"""

from __future__ import annotations

from dispatchkit.simulation.plan import CityPlan
from dispatchkit.simulation.town import days, world

__all__ = ["CityPlan", "days", "world"]

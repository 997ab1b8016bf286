"""A made-up city: seeded, realistic, of any size, with a history and a live evening.

It holds no data of any real operation. `world(scenario)` returns the tables that have no day,
`days(scenario)` yields those of each day; both follow the contracts of the database.

A day is made in this order: geography, demand, roster, outcomes, dispatch (which writes a day log),
exporters (which turn the log into tables); `dataset` puts them together.
"""

from __future__ import annotations

from dispatchkit.simulation.dataset import days, stalls, world
from dispatchkit.simulation.scenario import Scenario

__all__ = ["Scenario", "days", "stalls", "world"]

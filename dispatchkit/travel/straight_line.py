"""Travel times without a map: great-circle distance times a factor, one speed for each vehicle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

import numpy as np

from dispatchkit.kernel.errors import BadConfig
from dispatchkit.streets.geodesy import Floats, as_points, distance_m
from dispatchkit.travel.interface import Points, Times
from dispatchkit.travel.providers import TravelParams

SPEEDS_M_S = MappingProxyType(  # door to door in town, stops and traffic lights included
    {
        "bicycle": 4.2,
        "car": 6.0,
        "walker": 1.3,
        "scooter": 5.0,
        "motorcycle": 6.5,
        "van": 5.5,
        "other": 4.0,  # a cautious guess
    }
)


@dataclass(frozen=True, kw_only=True)
class StraightLine:
    """Travel over the great-circle distance times `circuity`. Every point is reachable, so -1 does not occur.

    Street distance is about 1.2 to 1.4 times the straight line in towns (circuity of road networks;
    Boeing 2019, "The morphology and circuity of walkable and drivable street networks"). Raises
    BadConfig.
    """

    circuity: float = 1.3  # at least 1
    speeds: Mapping[str, float] = field(default_factory=lambda: SPEEDS_M_S)  # m/s by vehicle

    def __post_init__(self) -> None:
        if not (math.isfinite(self.circuity) and self.circuity >= 1):
            raise BadConfig(
                f"circuity is {self.circuity}; a street is never shorter than the straight line, so >= 1"
            )
        for vehicle, speed in self.speeds.items():
            if not (math.isfinite(speed) and speed > 0):
                raise BadConfig(
                    f"speed of {vehicle!r} is {speed}; expected metres per second above 0"
                )

    @property
    def name(self) -> str:
        """Return the name of this provider in results, e.g. "straight x1.3"."""
        return f"straight x{self.circuity:g}"

    def matrix(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        """Return the times from every source to every target. Raises BadData for an invalid point, BadConfig."""
        start, end = as_points(sources, "sources"), as_points(targets, "targets")
        return self._times(distance_m(start[:, :1], start[:, 1:], end[:, 0], end[:, 1]), vehicle)

    def pairs(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        """Return the time of each pair. Raises BadData for an invalid point, BadConfig."""
        start, end = as_points(sources, "sources"), as_points(targets, "targets")
        return self._times(distance_m(start[:, 0], start[:, 1], end[:, 0], end[:, 1]), vehicle)

    def _times(self, straight_m: Floats, vehicle: str) -> Times:
        """Return whole seconds and metres of straight distances. Raises BadConfig for a vehicle without a speed."""
        if vehicle not in self.speeds:
            known = ", ".join(sorted(self.speeds))
            raise BadConfig(f"no speed for vehicle {vehicle!r}; known: {known}")
        metres = self.circuity * straight_m
        seconds = np.rint(metres / self.speeds[vehicle]).astype(np.int64)
        return seconds, np.rint(metres).astype(np.int64)


def open_travel(params: TravelParams) -> StraightLine:
    """Return straight lines with the circuity of the settings. Raises BadConfig."""
    return StraightLine(circuity=params.circuity)

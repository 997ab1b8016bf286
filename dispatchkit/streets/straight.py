"""Travel without a map: great-circle distance, made longer by a factor, at one speed for each vehicle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from dispatchkit.kernel.errors import BadConfig
from dispatchkit.streets.earth import Points, checked, distance_m

SPEEDS = MappingProxyType(  # m/s door to door in town, stops and lights included; "other" is the careful guess
    {
        "bicycle": 4.2,
        "car": 6.0,
        "walker": 1.3,
        "scooter": 5.0,
        "motorcycle": 6.5,
        "van": 5.5,
        "other": 4.0,
    }
)


@dataclass(frozen=True, kw_only=True)
class StraightLine:
    """Travel as the crow flies, times `circuity`; `speeds` are metres a second for each vehicle word.

    Street distance is about 1.2 to 1.4 times the straight line in towns (circuity of road networks; Boeing 2019,
    "The morphology and circuity of walkable and drivable street networks"). Raises BadConfig.
    """

    circuity: float = 1.3
    speeds: Mapping[str, float] = field(default_factory=lambda: SPEEDS)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.circuity) and self.circuity >= 1):
            raise BadConfig(
                f"circuity is {self.circuity}; a street is never shorter than the straight line, so >= 1"
            )
        for vehicle, speed in self.speeds.items():
            if not (math.isfinite(speed) and speed > 0):
                raise BadConfig(
                    f"speed of {vehicle!r} is {speed}; expected metres a second above 0"
                )

    @property
    def name(self) -> str:
        """Return what results call this engine, e.g. "straight x1.3"."""
        return f"straight x{self.circuity:g}"

    def matrix(
        self, sources: Points, targets: Points, vehicle: str
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Return (seconds, metres) from every (lat, lon) source to every target, rounded to whole numbers.

        Every point is reachable, so no -1 occurs. Raises BadData for a point that is none, BadConfig for a vehicle
        without a speed.
        """
        if vehicle not in self.speeds:
            raise BadConfig(
                f"no speed for vehicle {vehicle!r}; known: {', '.join(sorted(self.speeds))}"
            )
        a, b = checked(sources, "sources"), checked(targets, "targets")
        metres = self.circuity * distance_m(a[:, :1], a[:, 1:], b[:, 0], b[:, 1])
        seconds = np.rint(metres / self.speeds[vehicle]).astype(np.int64)
        return seconds.tolist(), np.rint(metres).astype(np.int64).tolist()

"""A provider of travel times that answers every question differently, and can be closed."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from dispatchkit.travel.interface import Points, Times


class RandomTravel:
    """Random times up to ten minutes, other ones each time; none at all once `closed`."""

    name = "random"

    def __init__(self) -> None:
        self._random = np.random.default_rng()
        self.closed = False

    def matrix(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        return self._times(len(sources), len(targets))

    def pairs(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        return self._times(len(sources))

    def _times(self, *shape: int) -> Times:
        assert not self.closed, "the provider is gone"
        seconds = self._random.integers(0, 600, shape)
        return seconds, 4 * seconds

"""The one interface through which policies ask for travel times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:  # acts need the protocol, not numpy
    import numpy as np
    import numpy.typing as npt

Points = Sequence[tuple[float, float]]  # (lat, lon) in degrees WGS84
Whole: TypeAlias = "npt.NDArray[np.int32] | npt.NDArray[np.int64]"
Times: TypeAlias = (
    "tuple[Whole, Whole]"  # seconds and metres, of one shape; both -1 where there is no path
)


class Travel(Protocol):
    """Travel times and distances for a vehicle (a word such as "bicycle") between points.

    depart_at: when the trips begin; None means at no particular time. A provider without a
    timetable or traffic ignores it.
    """

    @property
    def name(self) -> str:
        """Return the name of this provider in results; another map or parameter, another name."""
        ...

    def matrix(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        """Return the times from every source to every target: arrays (sources, targets)."""
        ...

    def pairs(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        """Return the times from each source to the target at the same place: arrays (pairs,)."""
        ...

"""Arrays of points: great-circle distance, and the check that points are points. Degrees WGS84, metres float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dispatchkit.kernel.errors import BadData
from dispatchkit.kernel.geo import EARTH_M

SCALE = (
    10_000_000  # OSM keeps degrees as whole numbers of 1e-7 (about a centimetre); so do we, exactly
)
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Degrees = Floats | np.float64
Points = Sequence[tuple[float, float]]  # (lat, lon)


def distance_m(lat1: Degrees, lon1: Degrees, lat2: Degrees, lon2: Degrees) -> Floats:
    """Return great-circle distances in metres, broadcast over arrays: `kernel.geo.haversine_m` on numpy."""
    p1, p2 = np.radians(lat1), np.radians(lat2)
    h = (
        np.sin((p2 - p1) / 2) ** 2
        + np.cos(p1) * np.cos(p2) * np.sin(np.radians(lon2 - lon1) / 2) ** 2
    )
    metres: Floats = 2 * EARTH_M * np.arcsin(np.minimum(1.0, np.sqrt(h)))
    return metres


def checked(points: Points | Floats, called: str) -> Floats:
    """Return points as an array of shape (n, 2), (lat, lon).

    Raises BadData with the row of the first that is no place on earth; the place itself stays out of the message,
    since it may be where a person lives.
    """
    array = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    bad = ~(
        np.isfinite(array).all(axis=1) & (np.abs(array[:, 0]) <= 90) & (np.abs(array[:, 1]) <= 180)
    )
    if bad.any():
        raise BadData(
            f"{called}: row {int(bad.argmax())} is not a latitude and longitude in degrees"
        )
    return array

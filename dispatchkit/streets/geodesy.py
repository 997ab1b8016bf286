"""Arrays of points on the earth: great-circle distance and validation. WGS84 degrees, metres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dispatchkit.kernel.errors import BadData
from dispatchkit.kernel.geo import EARTH_M

SCALE = 10_000_000  # stored coordinates are whole 1e-7 degrees (about 1 cm), as in OSM: no rounding

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Degrees = Floats | np.float64
Points = Sequence[tuple[float, float]]  # (lat, lon)


def distance_m(lat1: Degrees, lon1: Degrees, lat2: Degrees, lon2: Degrees) -> Floats:
    """Return great-circle distances in metres, broadcast over arrays of degrees.

    The haversine formula of `kernel.geo.haversine_m`, on numpy.
    """
    phi1, phi2 = np.radians(lat1), np.radians(lat2)
    half_lat = (phi2 - phi1) / 2
    half_lon = np.radians(lon2 - lon1) / 2
    h = np.sin(half_lat) ** 2 + np.cos(phi1) * np.cos(phi2) * np.sin(half_lon) ** 2
    metres: Floats = 2 * EARTH_M * np.arcsin(np.minimum(1.0, np.sqrt(h)))
    return metres


def as_points(points: Points | Floats, what: str) -> Floats:
    """Return points as a float64 array of shape (n, 2): (lat, lon) in degrees.

    what: names the points in the error. Raises BadData with the row of the first invalid point. The
    coordinates stay out of the message, because they may be where a person lives.
    """
    array = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    in_range = (np.abs(array[:, 0]) <= 90) & (np.abs(array[:, 1]) <= 180)
    invalid = ~(np.isfinite(array).all(axis=1) & in_range)
    if invalid.any():
        row = int(invalid.argmax())
        raise BadData(f"{what}: row {row} is not a latitude and longitude in degrees")
    return array

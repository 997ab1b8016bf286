"""A stored street map that answers travel times and paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dispatchkit.kernel.errors import BadConfig
from dispatchkit.streets.geodesy import Floats, Ints, Points, as_points
from dispatchkit.streets.map_storage import map_id, open_profile, read_manifest
from dispatchkit.streets.matrix import Network, travel_table
from dispatchkit.streets.path import StreetPath, fastest_path
from dispatchkit.streets.profile import PROFILE_OF_VEHICLE
from dispatchkit.streets.snap import Snapped, Snapper


@dataclass(frozen=True, slots=True)
class TravelTable:
    """Travel between two sets of points, and how far each point is from its street."""

    seconds: Ints  # (sources, targets), -1: no path
    metres: Ints  # (sources, targets), -1: no path
    source_gap_m: Floats  # (sources,)
    target_gap_m: Floats  # (targets,)
    sources_too_far: tuple[int, ...]  # rows farther than the largest gap from any street
    targets_too_far: tuple[int, ...]


class StreetMap:
    """Travel times and paths over a folder made by `streets build`.

    Profiles are opened when first needed. max_gap_m: a point farther than this from any street is
    unreachable; it is not moved to a street without notice. Raises InputMissing, BadData.

        StreetMap(Path("data/streets")).table([(52.516, 13.378)], [(52.522, 13.413)], "car").seconds
    """

    def __init__(self, folder: Path, *, max_gap_m: float = 500.0) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = read_manifest(folder)
        self.max_gap_m = max_gap_m
        self._opened: dict[str, tuple[Network, Snapper]] = {}  # by profile

    @property
    def name(self) -> str:
        """Return the name of this engine in results: the source and the id of the map."""
        return f"streets {self.manifest['source']['name']} {map_id(self.manifest)}"

    def table(
        self, sources: Points | Floats, targets: Points | Floats, vehicle: str
    ) -> TravelTable:
        """Return the travel times from every source to every target.

        sources, targets: (lat, lon) in degrees. Raises BadData for an invalid point or a damaged
        map, BadConfig for a vehicle that the map has no streets for.
        """
        network, snapper = self._profile(vehicle)
        start = snapper.snap(as_points(sources, "sources"), max_gap_m=self.max_gap_m)
        end = snapper.snap(as_points(targets, "targets"), max_gap_m=self.max_gap_m)
        seconds, metres = travel_table(network, start, end)
        return TravelTable(
            seconds=seconds,
            metres=metres,
            source_gap_m=start.gap_m,
            target_gap_m=end.gap_m,
            sources_too_far=_too_far(start),
            targets_too_far=_too_far(end),
        )

    def route(
        self, source: tuple[float, float], target: tuple[float, float], vehicle: str
    ) -> tuple[StreetPath | None, float, float]:
        """Return (fastest path or None, gap of source, gap of target) of two (lat, lon) points.

        Gaps are metres to the nearest street. Raises as `table` does.
        """
        network, snapper = self._profile(vehicle)
        start = snapper.snap(as_points([source], "start"), max_gap_m=self.max_gap_m)
        end = snapper.snap(as_points([target], "end"), max_gap_m=self.max_gap_m)
        path = fastest_path(network, start, end)
        return path, float(start.gap_m[0]), float(end.gap_m[0])

    def _profile(self, vehicle: str) -> tuple[Network, Snapper]:
        """Return what searches need for a vehicle; opened once."""
        if vehicle not in PROFILE_OF_VEHICLE:
            known = ", ".join(sorted(PROFILE_OF_VEHICLE))
            raise BadConfig(f"no street profile for vehicle {vehicle!r}; known: {known}")
        name = PROFILE_OF_VEHICLE[vehicle]
        if name not in self.manifest["profiles"]:
            available = ", ".join(self.manifest["profiles"])
            raise BadConfig(
                f"{self.folder}: no streets for {name} (has {available}); build the map with --profile {name}"
            )
        if name not in self._opened:
            streets = open_profile(self.folder, self.manifest, name)
            self._opened[name] = (Network.of(streets), Snapper(streets))
        return self._opened[name]


def _too_far(points: Snapped) -> tuple[int, ...]:
    """Return the rows of unsnapped points."""
    return tuple(np.flatnonzero(points.arc < 0).tolist())

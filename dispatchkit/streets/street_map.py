"""A stored street map as an engine of travel times: what `flows` hands to policies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

import numpy as np

from dispatchkit.kernel.errors import BadConfig
from dispatchkit.streets.earth import Floats, Ints, Points, checked
from dispatchkit.streets.folder import manifest_of, map_id, open_profile
from dispatchkit.streets.matrix import Network, tables
from dispatchkit.streets.path import Path, path
from dispatchkit.streets.profile import FOR_VEHICLE
from dispatchkit.streets.snap import Snapped, Snapper


@dataclass(frozen=True, slots=True)
class Table:
    """Travel between places: int32 seconds and metres (-1: no way), and how far each place lies from its street.

    from_lost, to_lost: rows that lie farther than the largest gap from any street; their cells are -1.
    """

    seconds: Ints
    metres: Ints
    from_gap_m: Floats
    to_gap_m: Floats
    from_lost: tuple[int, ...]
    to_lost: tuple[int, ...]


class StreetMap:
    """Travel over a folder made by `streets build`; profiles are opened when first asked for.

    max_gap_m: a place farther than this from any street is unreachable, not silently moved.
    """

    def __init__(self, folder: File, *, max_gap_m: float = 500.0) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = manifest_of(folder)
        self.max_gap_m = max_gap_m
        self._open: dict[str, tuple[Network, Snapper]] = {}

    @property
    def name(self) -> str:
        """Return what results call this engine: its source and the id of the map."""
        return f"streets {self.manifest['source']['name']} {map_id(self.manifest)}"

    def matrix(
        self, sources: Points, targets: Points, vehicle: str
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Return (seconds, metres) from every (lat, lon) source to every target, -1 where there is no way."""
        table = self.table(sources, targets, vehicle)
        return table.seconds.tolist(), table.metres.tolist()

    def table(self, sources: Points | Floats, targets: Points | Floats, vehicle: str) -> Table:
        """Return the same as arrays, with the gaps. Raises BadData for a bad point, BadConfig for a vehicle."""
        network, snapper = self._profile(vehicle)
        a = snapper.snap(checked(sources, "sources"), max_gap_m=self.max_gap_m)
        b = snapper.snap(checked(targets, "targets"), max_gap_m=self.max_gap_m)
        seconds, metres = tables(network, a, b)
        return Table(seconds, metres, a.gap_m, b.gap_m, _lost(a), _lost(b))

    def route(
        self, a: tuple[float, float], b: tuple[float, float], vehicle: str
    ) -> tuple[Path | None, float, float]:
        """Return (fastest path or None, gap of a, gap of b) between two (lat, lon) places."""
        network, snapper = self._profile(vehicle)
        here, there = (
            snapper.snap(checked([p], name), max_gap_m=self.max_gap_m)
            for p, name in ((a, "start"), (b, "end"))
        )
        return path(network, here, there), float(here.gap_m[0]), float(there.gap_m[0])

    def _profile(self, vehicle: str) -> tuple[Network, Snapper]:
        if vehicle not in FOR_VEHICLE:
            raise BadConfig(
                f"no street profile for vehicle {vehicle!r}; known: {', '.join(sorted(FOR_VEHICLE))}"
            )
        name = FOR_VEHICLE[vehicle]
        if name not in self.manifest["profiles"]:
            have = ", ".join(self.manifest["profiles"])
            raise BadConfig(
                f"{self.folder}: no streets for {name} (has {have}); build the map with --profile {name}"
            )
        if name not in self._open:
            streets = open_profile(self.folder, self.manifest, name)
            self._open[name] = (Network.of(streets), Snapper(streets))
        return self._open[name]


def _lost(at: Snapped) -> tuple[int, ...]:
    return tuple(np.flatnonzero(at.arc < 0).tolist())

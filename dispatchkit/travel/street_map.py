"""Travel times over the streets of a stored map."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from dispatchkit.kernel.errors import BadConfig
from dispatchkit.streets.street_map import StreetMap
from dispatchkit.travel.interface import Points, Times
from dispatchkit.travel.providers import TravelParams

PAIRS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class StreetMapTravel:
    """A StreetMap as a provider of travel times. Street maps know no traffic: `depart_at` is ignored."""

    map: StreetMap

    @property
    def name(self) -> str:
        """Return the source and the id of the map."""
        return self.map.name

    def matrix(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        """Return the times from every source to every target. Raises BadData, BadConfig as StreetMap.table."""
        table = self.map.table(sources, targets, vehicle)
        return table.seconds, table.metres

    def pairs(
        self, sources: Points, targets: Points, vehicle: str, depart_at: datetime | None = None
    ) -> Times:
        """Return the time of each pair, in blocks: a search per source costs the same for one target or many."""
        seconds = np.empty(len(sources), np.int32)
        metres = np.empty(len(sources), np.int32)
        for low in range(0, len(sources), PAIRS_AT_ONCE):
            block = slice(low, low + PAIRS_AT_ONCE)
            rows = {point: row for row, point in enumerate(dict.fromkeys(sources[block]))}
            columns = {point: column for column, point in enumerate(dict.fromkeys(targets[block]))}
            table = self.map.table(list(rows), list(columns), vehicle)

            row = [rows[point] for point in sources[block]]
            column = [columns[point] for point in targets[block]]
            seconds[block] = table.seconds[row, column]
            metres[block] = table.metres[row, column]
        return seconds, metres


def open_travel(params: TravelParams) -> StreetMapTravel:
    """Return the provider over the map of the settings. Raises BadConfig without a map, InputMissing, BadData."""
    if not params.map:
        raise BadConfig(
            "the provider street_map needs a map: name a folder made by `streets build`"
        )
    return StreetMapTravel(StreetMap(Path(params.map)))

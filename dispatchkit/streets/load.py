"""Read an OpenStreetMap file: the ways that a profile may use, their nodes, what the file lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import osmium
from osmium import filter as osm_filter
from osmium import osm

from dispatchkit.kernel.errors import BadData, InputMissing
from dispatchkit.streets.geodesy import Ints, Longs
from dispatchkit.streets.profile import PROFILES, USED_TAGS, Passage, Profile

NO_LOCATION = 2**31 - 1  # coordinate of a node that a way refers to and the file does not hold
SUFFIXES = (".pbf", ".osm", ".osm.gz", ".osm.bz2")


@dataclass(frozen=True, slots=True)
class Ways:
    """OSM ways as drawn. Way i has the nodes node_ids[first[i] : first[i + 1]]."""

    way_ids: Longs
    tags: Sequence[Mapping[str, str]]  # by way: only profile.USED_TAGS
    passages: Mapping[str, Sequence[Passage | None]]  # by profile name and way; None: closed
    first: Longs  # (ways + 1,)
    node_ids: Longs
    lat: Ints  # by node: 1e-7 degrees, or NO_LOCATION
    lon: Ints
    notes: Mapping[str, int | str]  # for the manifest: what was counted while reading


def read_osm(path: Path, profiles: Sequence[Profile] = tuple(PROFILES.values())) -> Ways:
    """Return the ways of an OSM file that at least one profile may use.

    path: .osm.pbf, .osm, .osm.gz or .osm.bz2. It is read once. The nodes are read a second time
    only if some stood after their way, or are missing because the file was clipped at its border.
    Raises InputMissing, or BadData for a file that is cut off or no OSM file.
    """
    _check_readable(path)
    try:
        return _Reader(profiles).read(path)
    except RuntimeError as error:  # what osmium raises for every fault of a file
        kind = "a complete .osm.pbf" if path.name.endswith(".pbf") else "a complete OSM file"
        reason = str(error).splitlines()[0].rstrip(".")
        raise BadData(f"{path}: not {kind} ({reason}); download it again") from None


class _Reader:
    """Collects the ways of one file. The fields are those of `Ways`, as lists that grow."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self.profiles = profiles
        self.way_ids: list[int] = []
        self.tags: list[dict[str, str]] = []
        self.passages: list[list[Passage | None]] = []  # by way, then in the order of `profiles`
        self.first = [0]
        self.node_ids: list[int] = []
        self.lat: list[int] = []
        self.lon: list[int] = []
        self.turn_restrictions = 0

        # Many ways have the same tags: passages by tags, None if no profile may use such a way.
        self._known: dict[tuple[tuple[str, str], ...], list[Passage | None] | None] = {}

    def read(self, path: Path) -> Ways:
        file = osmium.FileProcessor(path).with_locations()
        file.with_filter(osm_filter.EntityFilter(osm.WAY | osm.RELATION))
        for entity, tag_filter in (
            (osm.WAY, osm_filter.KeyFilter("highway")),
            (osm.RELATION, osm_filter.TagFilter(("type", "restriction"))),
        ):
            tag_filter.enable_for(entity)
            file.with_filter(tag_filter)
        for entry in file:
            if isinstance(entry, osm.Way):
                self._add(entry)
            else:
                self.turn_restrictions += 1

        node_ids = np.array(self.node_ids, np.int64)
        lat, lon = np.array(self.lat, np.int32), np.array(self.lon, np.int32)
        _fill_locations(path, node_ids, lat, lon)
        notes: dict[str, int | str] = {
            "turn_restrictions_not_applied": self.turn_restrictions,
            "missing_node_references": int((lon == NO_LOCATION).sum()),
            "conditional_speeds_ignored": sum("maxspeed:conditional" in tags for tags in self.tags),
            "osm_timestamp": file.header.get("osmosis_replication_timestamp") or "",
        }
        by_profile = (
            zip(*self.passages, strict=True) if self.passages else ((),) * len(self.profiles)
        )
        return Ways(
            way_ids=np.array(self.way_ids, np.int64),
            tags=self.tags,
            passages={
                profile.name: list(passages)
                for profile, passages in zip(self.profiles, by_profile, strict=True)
            },
            first=np.array(self.first, np.int64),
            node_ids=node_ids,
            lat=lat,
            lon=lon,
            notes=notes,
        )

    def _add(self, way: osm.Way) -> None:
        tags = {tag.k: tag.v for tag in way.tags if tag.k in USED_TAGS}
        passages = self._passages(tags)
        if passages is None:
            return
        self.way_ids.append(way.id)
        self.tags.append(tags)
        self.passages.append(passages)
        for node in way.nodes:
            location = node.location
            self.node_ids.append(node.ref)
            self.lat.append(location.y)
            self.lon.append(location.x)
        self.first.append(len(self.node_ids))

    def _passages(self, tags: dict[str, str]) -> list[Passage | None] | None:
        """Return how each profile may travel a way, or None if none may."""
        key = tuple(tags.items())
        if key not in self._known:
            passages = [profile.passage(tags) for profile in self.profiles]
            self._known[key] = passages if any(passages) else None
        return self._known[key]


def _check_readable(path: Path) -> None:
    if not path.is_file():
        raise InputMissing(f"no such file: {path}")
    if not path.name.endswith(SUFFIXES):
        raise BadData(f"{path}: expected a name ending in {', '.join(SUFFIXES)}")
    # Opened here, so that a lack of permission is reported as such: osmium calls it a broken file.
    with path.open("rb") as file:
        if not file.read(1):
            raise BadData(f"{path}: not a complete .osm.pbf (the file is empty); download it again")


def _fill_locations(path: Path, node_ids: Longs, lat: Ints, lon: Ints) -> None:
    """Fill in, in place, the nodes that osmium could not locate in its first pass.

    They stood after their way, or have a negative id. Nodes that the file does not hold keep
    NO_LOCATION.
    """
    missing = np.flatnonzero(lon == NO_LOCATION)
    wanted = set(node_ids[missing].tolist())
    if not wanted:
        return
    locations = {}
    for node in osmium.FileProcessor(path, osm.NODE):
        if isinstance(node, osm.Node) and node.id in wanted:
            locations[node.id] = (node.location.y, node.location.x)
    for i in missing:
        lat[i], lon[i] = locations.get(int(node_ids[i]), (NO_LOCATION, NO_LOCATION))

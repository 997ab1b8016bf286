"""An OpenStreetMap file read once: the ways that some profile may use, their nodes and what the file lacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import osmium
from osmium import filter as only
from osmium import osm

from dispatchkit.kernel.errors import BadData, InputMissing
from dispatchkit.streets.earth import Ints, Longs
from dispatchkit.streets.profile import KEYS, PROFILES, Passage, Profile

NOWHERE = 2**31 - 1  # the coordinate of a node that the file refers to and does not hold
SUFFIXES = (".pbf", ".osm", ".osm.gz", ".osm.bz2")


@dataclass(frozen=True, slots=True)
class Ways:
    """Ways as drawn: for way i the nodes `refs[first[i]:first[i+1]]` at (lat, lon) in 1e-7 degrees.

    passages: profile name -> how each way may be travelled (None: not). noted: what else was counted while reading.
    """

    ids: Longs
    tags: Sequence[Mapping[str, str]]
    passages: Mapping[str, Sequence[Passage | None]]
    first: Longs
    refs: Longs
    lat: Ints
    lon: Ints
    noted: Mapping[str, int | str]


def read(path: Path, profiles: Sequence[Profile] = tuple(PROFILES.values())) -> Ways:
    """Return the ways of an .osm.pbf (or .osm, .osm.gz, .osm.bz2) that at least one profile may use.

    One pass; a second over the nodes only where some were not there when their way came (a file in odd order, or one
    clipped at its border). Raises InputMissing, or BadData for a file that is cut off or no OSM file.
    """
    _readable(path)
    try:
        return _Reader(profiles).read(path)
    except RuntimeError as fault:
        kind = "a complete .osm.pbf" if path.name.endswith(".pbf") else "a complete OSM file"
        raise BadData(
            f"{path}: not {kind} ({str(fault).splitlines()[0].rstrip('.')}); download it again"
        ) from None


class _Reader:
    def __init__(self, profiles: Sequence[Profile]) -> None:
        self.profiles = profiles
        self.judged: dict[tuple[tuple[str, str], ...], list[Passage | None] | None] = {}
        self.ids: list[int] = []
        self.tags: list[dict[str, str]] = []
        self.passages: list[list[Passage | None]] = []
        self.first = [0]
        self.refs: list[int] = []
        self.lat: list[int] = []
        self.lon: list[int] = []
        self.restrictions = 0

    def read(self, path: Path) -> Ways:
        file = (
            osmium.FileProcessor(path)
            .with_locations()
            .with_filter(only.EntityFilter(osm.WAY | osm.RELATION))
        )
        for bits, tagged in (
            (osm.WAY, only.KeyFilter("highway")),
            (osm.RELATION, only.TagFilter(("type", "restriction"))),
        ):
            tagged.enable_for(bits)
            file.with_filter(tagged)
        for thing in file:
            if isinstance(thing, osm.Way):
                self._take(thing)
            else:
                self.restrictions += 1
        header = file.header
        lat, lon = np.array(self.lat, np.int32), np.array(self.lon, np.int32)
        refs = np.array(self.refs, np.int64)
        _find_again(path, refs, lat, lon)
        noted: dict[str, int | str] = {
            "turn_restrictions_not_applied": self.restrictions,
            "missing_node_references": int((lon == NOWHERE).sum()),
            "conditional_speeds_ignored": sum("maxspeed:conditional" in tags for tags in self.tags),
            "osm_timestamp": header.get("osmosis_replication_timestamp") or "",
        }
        columns = zip(*self.passages, strict=True) if self.passages else ((),) * len(self.profiles)
        passages = {p.name: list(column) for p, column in zip(self.profiles, columns, strict=True)}
        first = np.array(self.first, np.int64)
        return Ways(np.array(self.ids, np.int64), self.tags, passages, first, refs, lat, lon, noted)

    def _take(self, way: osm.Way) -> None:
        tags = {tag.k: tag.v for tag in way.tags if tag.k in KEYS}
        passages = self._judge(tags)
        if passages is None:
            return
        self.ids.append(way.id)
        self.tags.append(tags)
        self.passages.append(passages)
        for node in way.nodes:
            place = node.location
            self.refs.append(node.ref)
            self.lat.append(place.y)
            self.lon.append(place.x)
        self.first.append(len(self.refs))

    def _judge(self, tags: dict[str, str]) -> list[Passage | None] | None:
        key = tuple(tags.items())
        if key not in self.judged:
            passages = [profile.judge(tags) for profile in self.profiles]
            self.judged[key] = passages if any(passages) else None
        return self.judged[key]


def _readable(path: Path) -> None:
    if not path.is_file():
        raise InputMissing(f"no such file: {path}")
    if not path.name.endswith(SUFFIXES):
        raise BadData(f"{path}: expected a name ending in {', '.join(SUFFIXES)}")
    with path.open(
        "rb"
    ) as file:  # permission is the system's to refuse, before osmium calls it something else
        if not file.read(1):
            raise BadData(f"{path}: not a complete .osm.pbf (the file is empty); download it again")


def _find_again(path: Path, refs: Longs, lat: Ints, lon: Ints) -> None:
    """Fill in places of nodes that stood after their way, or have a negative id; those that are in no file stay out."""
    gone = np.flatnonzero(lon == NOWHERE)
    wanted = set(refs[gone].tolist())
    if not wanted:
        return
    nodes = (thing for thing in osmium.FileProcessor(path, osm.NODE) if isinstance(thing, osm.Node))
    places = ((node.id, node.location) for node in nodes if node.id in wanted)
    found = {ref: (place.y, place.x) for ref, place in places}
    for i in gone:
        lat[i], lon[i] = found.get(int(refs[i]), (NOWHERE, NOWHERE))

"""Street maps: built from files, described, asked for travel times."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any

from dispatchkit.kernel.errors import Usage
from dispatchkit.streets.cut import cut
from dispatchkit.streets.folder import manifest_of, map_id, save
from dispatchkit.streets.graph import Streets, assemble
from dispatchkit.streets.places import check_output, read_places, write_table
from dispatchkit.streets.profile import PROFILES, profile
from dispatchkit.streets.street_map import StreetMap

MADE_UP = "Made-up streets; no licence is needed."


def build(file: Path, to: Path, *, profiles: Sequence[str] = ()) -> dict[str, Any]:
    """Return the manifest of a map folder made from an OSM file or an osmnx GraphML.

    profiles: car, bicycle, foot; all of them by default. A GraphML holds the streets of one, car by default.
    """
    wanted = [profile(name) for name in profiles]
    noted: dict[str, Any] = {}
    if file.name.endswith(".graphml"):
        maps = _from_graphml(file, [p.name for p in wanted] or ["car"])
    else:
        from dispatchkit.streets.load import read

        ways = read(file, wanted or tuple(PROFILES.values()))
        noted = dict(ways.noted)
        maps = {name: assemble(cut(ways, name), f"{file} for {name}") for name in ways.passages}
    with file.open("rb") as content:
        sha256 = file_digest(content, "sha256").hexdigest()
    return save(
        to,
        maps,
        source={"name": file.name.split(".")[0], "file": file.name, "sha256": sha256, **noted},
    )


def make_up(
    to: Path, *, south: float, west: float, north: float, east: float, block_m: float = 150.0
) -> dict[str, Any]:
    """Return the manifest of a map folder with made-up grid streets over a box in degrees."""
    from dispatchkit.streets.grid import grid

    ways = grid(south, west, north, east, block_m=block_m)
    maps = {name: assemble(cut(ways, name), "grid") for name in ways.passages}
    source = {"name": "grid", "box": [south, west, north, east], "block_m": block_m}
    return save(to, maps, source=source, licence=MADE_UP)


def info(folder: Path) -> dict[str, Any]:
    """Return a map's manifest with its id."""
    manifest = manifest_of(folder)
    return {"map": map_id(manifest), **manifest}


def matrix(
    folder: Path, here: Path, there: Path, out: Path, *, vehicle: str, max_gap_m: float
) -> dict[str, Any]:
    """Write travel times between the places of two CSV files and return what was done.

    from_lost, to_lost: names of places that lie too far from any street; unreachable: cells that are -1.
    """
    check_output(out)
    sources, targets = read_places(here), read_places(there)
    streets = StreetMap(folder, max_gap_m=max_gap_m)
    table = streets.table(sources.points, targets.points, vehicle)
    write_table(out, table, sources, targets)
    return {
        "engine": streets.name,
        "vehicle": vehicle,
        "from": len(sources.names),
        "to": len(targets.names),
        "unreachable": int((table.seconds < 0).sum()),
        "from_lost": [sources.names[i] for i in table.from_lost],
        "to_lost": [targets.names[i] for i in table.to_lost],
        "out": str(out),
    }


def route(
    folder: Path, a: tuple[float, float], b: tuple[float, float], *, vehicle: str, max_gap_m: float
) -> dict[str, Any]:
    """Return the fastest path between two (lat, lon) places; `seconds` is None if there is none."""
    streets = StreetMap(folder, max_gap_m=max_gap_m)
    found, gap_a, gap_b = streets.route(a, b, vehicle)
    return {
        "engine": streets.name,
        "vehicle": vehicle,
        "seconds": found.seconds if found else None,
        "metres": found.metres if found else None,
        "gap_from_m": round(gap_a, 1),
        "gap_to_m": round(gap_b, 1),
        "ways": list(found.ways) if found else [],
        "line": [[round(lat, 7), round(lon, 7)] for lat, lon in found.line] if found else [],
    }


def _from_graphml(file: Path, names: Sequence[str]) -> dict[str, Streets]:
    if len(names) != 1:
        raise Usage(f"{file}: a GraphML holds the streets of one profile; name one with --profile")
    from dispatchkit.streets.bridge import read_graphml

    return {names[0]: read_graphml(file, names[0])}

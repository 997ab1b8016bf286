"""Street maps: build them from files, describe them, ask them for travel times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dispatchkit.kernel.errors import Usage
from dispatchkit.kernel.files import digest
from dispatchkit.streets.graph import assemble
from dispatchkit.streets.map_storage import map_id, read_manifest, save_map
from dispatchkit.streets.places import check_output_format, read_places, write_table
from dispatchkit.streets.profile import PROFILES, get_profile
from dispatchkit.streets.segments import split_ways
from dispatchkit.streets.street_map import StreetMap

NO_LICENCE = "Made-up streets; no licence is needed."


def build(file: Path, to: Path, *, profiles: Sequence[str] = ()) -> dict[str, Any]:
    """Build a map folder from an OSM file or an osmnx GraphML and return its manifest.

    profiles: car, bicycle, foot. Default: all of them; for a GraphML, which holds the streets of
    one profile, car. Raises BadConfig, BadData, CannotCreate, InputMissing, IOFailed, Usage.
    """
    wanted = [get_profile(name) for name in profiles]
    notes: dict[str, Any] = {}
    if file.name.endswith(".graphml"):
        from dispatchkit.streets.networkx_io import read_graphml

        names = [profile.name for profile in wanted] or ["car"]
        if len(names) != 1:
            raise Usage(
                f"{file}: a GraphML holds the streets of one profile; name one with --profile"
            )
        maps = {names[0]: read_graphml(file, names[0])}
    else:
        from dispatchkit.streets.load import read_osm

        ways = read_osm(file, wanted or tuple(PROFILES.values()))
        notes = dict(ways.notes)
        maps = {
            name: assemble(split_ways(ways, name), f"{file} for {name}") for name in ways.passages
        }
    _, sha256 = digest(file)
    source = {"name": file.name.split(".")[0], "file": file.name, "sha256": sha256, **notes}
    return save_map(to, maps, source=source)


def make_up(
    to: Path, *, south: float, west: float, north: float, east: float, block_m: float = 150.0
) -> dict[str, Any]:
    """Build a map folder of made-up grid streets over a box in degrees and return its manifest."""
    from dispatchkit.streets.grid import grid

    ways = grid(south, west, north, east, block_m=block_m)
    maps = {name: assemble(split_ways(ways, name), "grid") for name in ways.passages}
    source = {"name": "grid", "box": [south, west, north, east], "block_m": block_m}
    return save_map(to, maps, source=source, licence=NO_LICENCE)


def info(folder: Path) -> dict[str, Any]:
    """Return a map's manifest with its id."""
    manifest = read_manifest(folder)
    return {"map": map_id(manifest), **manifest}


def matrix(
    folder: Path, sources: Path, targets: Path, out: Path, *, vehicle: str, max_gap_m: float
) -> dict[str, Any]:
    """Write travel times between the points of two CSV files and return a summary.

    from_too_far, to_too_far: names of points farther than `max_gap_m` from any street.
    unreachable: number of cells that are -1.
    """
    check_output_format(out)
    start, end = read_places(sources), read_places(targets)
    streets = StreetMap(folder, max_gap_m=max_gap_m)
    table = streets.table(start.points, end.points, vehicle)
    write_table(out, table, start, end)
    return {
        "engine": streets.name,
        "vehicle": vehicle,
        "from": len(start.names),
        "to": len(end.names),
        "unreachable": int((table.seconds < 0).sum()),
        "from_too_far": [start.names[row] for row in table.sources_too_far],
        "to_too_far": [end.names[row] for row in table.targets_too_far],
        "out": str(out),
    }


def route(
    folder: Path,
    source: tuple[float, float],
    target: tuple[float, float],
    *,
    vehicle: str,
    max_gap_m: float,
) -> dict[str, Any]:
    """Return the fastest path between two (lat, lon) points; `seconds` is None if there is none."""
    streets = StreetMap(folder, max_gap_m=max_gap_m)
    path, gap_from_m, gap_to_m = streets.route(source, target, vehicle)
    return {
        "engine": streets.name,
        "vehicle": vehicle,
        "seconds": path.seconds if path else None,
        "metres": path.metres if path else None,
        "gap_from_m": round(gap_from_m, 1),
        "gap_to_m": round(gap_to_m, 1),
        "ways": list(path.ways) if path else [],
        "line": [[round(lat, 7), round(lon, 7)] for lat, lon in path.line] if path else [],
    }

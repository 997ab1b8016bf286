"""A street map on disk: one folder, a manifest, and for each profile plain .npy arrays that open without being read.

A folder appears whole or not at all. A reader that finds another format or a wrong checksum refuses; it never guesses.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from dispatchkit import __version__
from dispatchkit.kernel.errors import BadData, CannotCreate, InputMissing
from dispatchkit.streets.graph import Streets
from dispatchkit.streets.profile import TABLE_VERSION

FORMAT = 1
MANIFEST = "manifest.json"
ODBL = (
    "Contains information from OpenStreetMap, (c) OpenStreetMap contributors, "
    "under the Open Database Licence (ODbL) 1.0; this map is a database derived from it and stays under that licence."
)


def save(
    to: Path, maps: Mapping[str, Streets], *, source: Mapping[str, Any], licence: str = ODBL
) -> dict[str, Any]:
    """Return the manifest of a new map folder with one graph for each profile.

    An older street map at `to` is replaced; anything else there is left alone. source: where the streets come from.
    Raises CannotCreate.
    """
    if to.exists() and not (to / MANIFEST).is_file() and (not to.is_dir() or any(to.iterdir())):
        raise CannotCreate(f"{to}: is there and is no street map; choose another folder")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        work = Path(mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    except OSError as fault:
        raise CannotCreate(f"{to}: {fault.strerror}") from None
    try:
        work.chmod(0o755)
        profiles = {name: _write(work / name, streets) for name, streets in sorted(maps.items())}
        manifest = {
            "format": FORMAT,
            "program": f"dispatchkit {__version__}",
            "source": dict(source),
            "speed_table": TABLE_VERSION,
            "licence": licence,
            "profiles": profiles,
        }
        (work / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", "utf-8")
        if to.exists():
            shutil.rmtree(to)
        work.rename(to)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return the manifest of a map folder. Raises InputMissing, or BadData for another format or a broken file."""
    path = folder / MANIFEST
    if not path.is_file():
        raise InputMissing(
            f"{folder}: no street map here (no {MANIFEST}); make one with `streets build`"
        )
    try:
        manifest = json.loads(path.read_text("utf-8"))
        found = manifest["format"]
        manifest["profiles"], manifest["source"]["name"]
    except (ValueError, KeyError, TypeError):
        raise BadData(f"{path}: not the manifest of a street map; build the map again") from None
    if found != FORMAT:
        raise BadData(f"{path}: format {found!r}, this program reads {FORMAT}; build the map again")
    assert isinstance(manifest, dict)
    return manifest


def map_id(manifest: Mapping[str, Any]) -> str:
    """Return twelve characters that name a map: equal for equal contents, whatever the folder is called."""
    return sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:12]


def open_profile(folder: Path, manifest: Mapping[str, Any], profile: str) -> Streets:
    """Return the graph of one profile, memory-mapped. Raises BadData if an array is missing or altered."""
    facts = manifest["profiles"][profile]
    arrays = {
        name: _open(folder / profile / f"{name}.npy", facts["arrays"].get(name))
        for name in Streets.arrays()
    }
    return Streets(**arrays, dropped=facts["dropped"])


def _open(path: Path, checksum: str | None) -> Any:
    if not path.is_file():
        raise BadData(f"{path}: missing from the street map; build the map again")
    if sha256(path.read_bytes()).hexdigest() != checksum:
        raise BadData(f"{path}: not what the manifest says (checksum); build the map again")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _write(folder: Path, streets: Streets) -> dict[str, Any]:
    folder.mkdir()
    checksums = {}
    for name in Streets.arrays():
        path = folder / f"{name}.npy"
        np.save(path, getattr(streets, name), allow_pickle=False)
        checksums[name] = sha256(path.read_bytes()).hexdigest()
    return {
        "counts": streets.counts(),
        "dropped": streets.dropped,
        "box": streets.box(),
        "arrays": checksums,
    }

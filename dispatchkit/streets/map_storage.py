"""Store a street map: a folder with a manifest and, for each profile, memory-mapped .npy arrays.

A folder appears or is replaced as a whole. A reader refuses another format or a wrong checksum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from dispatchkit import __version__
from dispatchkit.kernel.errors import BadData, CannotCreate, InputMissing
from dispatchkit.kernel.files import digest, staged_folder, translate_os_errors
from dispatchkit.streets.graph import Streets
from dispatchkit.streets.profile import TABLE_VERSION

FORMAT = 2  # 1 had other names for some arrays
MANIFEST = "manifest.json"
ODBL = (
    "Contains information from OpenStreetMap, (c) OpenStreetMap contributors, "
    "under the Open Database Licence (ODbL) 1.0; "
    "this map is a database derived from it and stays under that licence."
)


def save_map(
    to: Path, maps: Mapping[str, Streets], *, source: Mapping[str, Any], licence: str = ODBL
) -> dict[str, Any]:
    """Write a map folder and return its manifest.

    maps: the graph of each profile. source: where the streets come from, for the manifest.
    An older street map at `to` is replaced; any other file or folder there is left alone.
    Raises CannotCreate, IOFailed, NotPermitted.
    """
    is_map = (to / MANIFEST).is_file()
    is_empty = to.is_dir() and not any(to.iterdir())
    if to.exists() and not (is_map or is_empty):
        raise CannotCreate(f"{to}: is there and is no street map; choose another folder")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreate(f"{to}: {error.strerror}") from None
    with staged_folder(to, replace=True) as folder:
        manifest = {
            "format": FORMAT,
            "program": f"dispatchkit {__version__}",
            "source": dict(source),
            "speed_table": TABLE_VERSION,
            "licence": licence,
            "profiles": {
                name: _write_profile(folder / name, streets)
                for name, streets in sorted(maps.items())
            },
        }
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        (folder / MANIFEST).write_text(text, "utf-8")
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a map folder.

    Raises InputMissing if there is none, BadData for another format or a broken file.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputMissing(
            f"{folder}: no street map here (no {MANIFEST}); make one with `streets build`"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        version = manifest["format"]
        manifest["profiles"], manifest["source"]["name"]
    except (ValueError, KeyError, TypeError):
        raise BadData(f"{path}: not the manifest of a street map; build the map again") from None
    if version != FORMAT:
        raise BadData(
            f"{path}: format {version!r}, this program reads {FORMAT}; build the map again"
        )
    return manifest


def map_id(manifest: Mapping[str, Any]) -> str:
    """Return the first twelve characters of the manifest's SHA-256: equal maps have equal ids."""
    return sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:12]


def open_profile(folder: Path, manifest: Mapping[str, Any], profile: str) -> Streets:
    """Return the memory-mapped graph of one profile.

    Raises BadData if an array is missing or altered.
    """
    entry = manifest["profiles"][profile]
    arrays = {
        name: _open_array(folder / profile / f"{name}.npy", entry["arrays"].get(name))
        for name in Streets.arrays()
    }
    return Streets(**arrays, dropped=entry["dropped"])


def _open_array(path: Path, checksum: str | None) -> Any:
    if not path.is_file():
        raise BadData(f"{path}: missing from the street map; build the map again")
    if digest(path)[1] != checksum:
        raise BadData(f"{path}: not what the manifest says (checksum); build the map again")
    with translate_os_errors(path):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def _write_profile(folder: Path, streets: Streets) -> dict[str, Any]:
    """Write the arrays of one graph and return its entry in the manifest."""
    folder.mkdir()
    checksums = {}
    for name in Streets.arrays():
        path = folder / f"{name}.npy"
        np.save(path, getattr(streets, name), allow_pickle=False)
        checksums[name] = digest(path)[1]
    return {
        "counts": streets.counts(),
        "dropped": streets.dropped,
        "box": streets.box(),
        "arrays": checksums,
    }

"""A run's decision as a folder: inputs, parameters and changes; `replay` decides again from it.

    <sweep>-<run id>/
        frames/<read>.parquet   the frames the policy saw, after contracts and rollout
        travel.parquet          what the policy asked the provider of travel times, and the answers
        run.json                sweep, instant, seed, parameters, travel, code version, digest of frames
        changes.jsonl           one decision a line, canonical JSON, in the order they were made

A folder with its final name is complete: it is written under another name, synced, renamed.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from dispatchkit import __version__, config
from dispatchkit.domain.changes import Change
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.gather import fingerprint
from dispatchkit.kernel.canonical_json import canonical
from dispatchkit.kernel.clock import parse_instant, rfc3339
from dispatchkit.kernel.errors import BadData, CannotCreate, InputMissing
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.kernel.files import open_existing, staged_folder, translate_os_errors, write_whole
from dispatchkit.travel.recorded import Recorded, Replayed

RUN, CHANGES, TRAVEL = "run.json", "changes.jsonl", "travel.parquet"


def keep(
    to: Path,
    settings: config.Settings,
    frames: Mapping[str, pl.DataFrame],
    changes: Sequence[Change],
    *,
    sweep: str,
    run_id: str,
    now: datetime,
    seed: int,
    travel: Recorded,
) -> Path:
    """Write a run's bundle into the folder `to`; return its path. Raises CannotCreate, IOFailed."""
    if not to.is_dir():
        raise CannotCreate(f"{to.name or to}: no such directory")
    run = {
        "sweep": sweep,
        "run_id": run_id,
        "now": rfc3339(now),
        "seed": seed,
        "code_version": __version__,
        "config_sha256": settings.sha256,
        "inputs_sha256": fingerprint(frames),
        "params": _params_table(catalog.params(catalog.feature(sweep), settings)),
        "travel": travel.name,
    }
    final = to / f"{sweep}-{run_id}"
    with staged_folder(final) as folder:
        (folder / "frames").mkdir()
        for name, frame in frames.items():
            out = io.BytesIO()
            frame.write_parquet(out, compression="zstd")
            write_whole(folder / "frames" / f"{name}.parquet", out.getvalue())
        write_whole(folder / TRAVEL, travel.parquet())
        lines = "".join(f"{line}\n" for line in _lines(sweep, changes))
        write_whole(folder / CHANGES, lines.encode())
        write_whole(folder / RUN, canonical(run).encode() + b"\n")
        failpoint("bundle written")
    return final


def replay(bundle: Path) -> dict[str, Any]:
    """Return a summary of an equal second decision.

    Raises BadData with the first difference, or for an altered bundle.
    """
    run = json.loads(_read(bundle / RUN))
    feature = catalog.feature(run["sweep"])
    if feature.decide is None:
        raise BadData(f"{bundle}: {feature.name} decides nothing")
    frames = {name: _frame(bundle, name) for name in feature.reads}
    if fingerprint(frames) != run["inputs_sha256"]:
        raise BadData(f"{bundle}: its frames are not those that the run decided on")
    params = config.build(feature.params, run["params"], feature.name)
    travel = Replayed(run["travel"], _read(bundle / TRAVEL))
    decision = feature.decide(frames, params, parse_instant(run["now"]), travel, run["seed"])
    again = _lines(run["sweep"], decision.changes)
    _compare(str(bundle), _read(bundle / CHANGES).decode().splitlines(), again)
    same = run["code_version"] == __version__
    return {
        **{key: run[key] for key in ("sweep", "run_id", "now", "inputs_sha256")},
        "decisions": len(again),
    } | {
        "same": True,
        "code_version": run["code_version"]
        if same
        else f"{run['code_version']}, here {__version__}",
    }


def _compare(name: str, then: Sequence[str], again: Sequence[str]) -> None:
    for number, (old_line, new_line) in enumerate(zip(then, again, strict=False), 1):
        if old_line != new_line:
            old, new = json.loads(old_line), json.loads(new_line)
            key = next((key for key in old if old[key] != new.get(key)), "bytes")
            row = f"{old['entity']} {old['id']} version {old['version']}"
            raise BadData(
                f"{name}: decision {number}, {row}: "
                f"{key} was {old.get(key)!r}, is now {new.get(key)!r}"
            )
    if len(then) != len(again):
        raise BadData(f"{name}: {len(then)} decisions then, {len(again)} now")


def _lines(sweep: str, changes: Sequence[Change]) -> list[str]:
    """Return each change, with its decision id, as canonical JSON."""
    return [
        canonical({"decision_id": change.decision_id(sweep).hex(), **asdict(change)})
        for change in changes
    ]


def _params_table(params: Any) -> dict[str, Any]:
    """Return a Params as its TOML table: durations as text."""
    return {field.name: _as_toml(getattr(params, field.name)) for field in fields(params)}


def _as_toml(value: Any) -> Any:
    if isinstance(value, timedelta):
        return f"{value // timedelta(seconds=1)}s"  # a configuration says whole seconds only
    if isinstance(value, Mapping):
        return {key: _as_toml(item) for key, item in value.items()}
    return [_as_toml(item) for item in value] if isinstance(value, list | tuple) else value


def _frame(bundle: Path, name: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(_read(bundle / "frames" / f"{name}.parquet")))
    except pl.exceptions.PolarsError:
        raise BadData(f"{bundle}: frames/{name}.parquet is damaged") from None


def _read(path: Path) -> bytes:
    if not path.parent.is_dir():
        raise InputMissing(f"{path.parent}: no such bundle")
    with open_existing(path) as file, translate_os_errors(path):
        return file.read()

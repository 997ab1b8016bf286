"""Files of places in, files of travel times out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl

from dispatchkit.kernel.errors import BadData, CannotCreate, InputMissing, IOFailed, Usage
from dispatchkit.streets.earth import Floats
from dispatchkit.streets.street_map import Table

OUTPUTS = (".npy", ".csv", ".parquet")
RANGES = {"lat": 90.0, "lon": 180.0}


@dataclass(frozen=True, slots=True)
class Places:
    """Named points: `points` has shape (n, 2), (lat, lon) in degrees; names come from column `id`, else row numbers."""

    names: tuple[str, ...]
    points: Floats


def read_places(path: Path) -> Places:
    """Return the places of a CSV file with columns `lat`, `lon` and perhaps `id`.

    Raises InputMissing, or BadData naming the first fault's line and column and how many there are; never the
    coordinates themselves, which may be where a person lives.
    """
    if not path.is_file():
        raise InputMissing(f"no such file: {path}")
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as fault:
        raise BadData(f"{path}: not a CSV file in UTF-8: {str(fault).splitlines()[0]}") from None
    missing = [name for name in RANGES if name not in frame.columns]
    if missing:
        raise BadData(
            f"{path}: no column {' or '.join(missing)}; expected lat, lon and, if you like, id"
        )
    numbers = frame.select(
        pl.col(name).str.strip_chars().cast(pl.Float64, strict=False) for name in RANGES
    )
    bad = numbers.select(
        (pl.col(name).abs() <= limit).fill_null(False).not_() for name, limit in RANGES.items()
    )
    rows = np.argwhere(bad.to_numpy())
    if len(rows):
        row, column = rows[0]
        name = list(RANGES)[column]
        raise BadData(
            f"{path}: line {row + 2}, column {name}: not degrees from -{RANGES[name]:g} to {RANGES[name]:g}"
            + (f" ({len(rows)} such cells)" if len(rows) > 1 else "")
        )
    names = (
        frame["id"].fill_null("").to_list() if "id" in frame.columns else range(1, frame.height + 1)
    )
    return Places(tuple(str(name) for name in names), numbers.to_numpy())


def check_output(path: Path) -> None:
    """Raise Usage for a file name that `write_table` does not know, before hours of work depend on it."""
    if path.suffix not in OUTPUTS:
        raise Usage(f"{path}: expected a name ending in {', '.join(OUTPUTS)}")


def write_table(path: Path, table: Table, here: Places, there: Places) -> None:
    """Write travel times: .npy is int32 seconds, rows from, columns to, -1 no way; .csv and .parquet one row a pair.

    The file appears whole or not at all. Raises CannotCreate, IOFailed, Usage.
    """
    check_output(path)
    if path.suffix == ".npy":
        return _whole(path, lambda file: np.save(file, table.seconds, allow_pickle=False))
    pairs = pl.DataFrame(
        {
            "from": np.repeat(np.array(here.names, object), len(there.names)),
            "to": np.tile(np.array(there.names, object), len(here.names)),
            "seconds": table.seconds.ravel(),
            "metres": table.metres.ravel(),
        },
        schema={"from": pl.String, "to": pl.String, "seconds": pl.Int32, "metres": pl.Int32},
    )
    _whole(path, pairs.write_csv if path.suffix == ".csv" else pairs.write_parquet)


def _whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    work = path.with_name(f".{path.name}.part")
    try:
        file = work.open("wb")
    except OSError as fault:
        raise CannotCreate(f"{path}: {fault.strerror}") from None
    try:
        with file:
            write(file)
        work.replace(path)
    except OSError as fault:
        raise IOFailed(f"{path}: {fault.strerror}; nothing was kept") from None
    finally:
        work.unlink(missing_ok=True)

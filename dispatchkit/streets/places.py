"""Read files of points; write files of travel times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from dispatchkit.kernel.errors import BadData, InputMissing, Usage
from dispatchkit.kernel.files import SHARED, write_whole
from dispatchkit.streets.geodesy import Floats
from dispatchkit.streets.street_map import TravelTable

OUTPUTS = (".npy", ".csv", ".parquet")
MAX_DEGREES = {"lat": 90.0, "lon": 180.0}


@dataclass(frozen=True, slots=True)
class NamedPoints:
    """Points with names: from the column `id`, else the numbers of their rows."""

    names: tuple[str, ...]
    points: Floats  # (n, 2): (lat, lon) in degrees


def read_places(path: Path) -> NamedPoints:
    """Return the points of a CSV file with columns `lat`, `lon` and perhaps `id`.

    Raises InputMissing, or BadData with the line and column of the first fault and the number of
    faults. Messages never hold coordinates, because they may be where a person lives.
    """
    if not path.is_file():
        raise InputMissing(f"no such file: {path}")
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise BadData(f"{path}: not a CSV file in UTF-8: {str(error).splitlines()[0]}") from None
    missing = [name for name in MAX_DEGREES if name not in frame.columns]
    if missing:
        raise BadData(
            f"{path}: no column {' or '.join(missing)}; expected lat, lon and, if you like, id"
        )

    degrees = frame.select(
        pl.col(name).str.strip_chars().cast(pl.Float64, strict=False) for name in MAX_DEGREES
    )
    invalid = degrees.select(
        (pl.col(name).abs() <= limit).fill_null(False).not_() for name, limit in MAX_DEGREES.items()
    )
    cells = np.argwhere(invalid.to_numpy())
    if len(cells):
        row, column = cells[0]
        name = list(MAX_DEGREES)[column]
        limit = MAX_DEGREES[name]
        count = f" ({len(cells)} such cells)" if len(cells) > 1 else ""
        raise BadData(
            f"{path}: line {row + 2}, column {name}: not degrees from -{limit:g} to {limit:g}{count}"
        )
    if "id" in frame.columns:
        names = tuple(frame["id"].fill_null("").to_list())
    else:
        names = tuple(str(number) for number in range(1, frame.height + 1))
    return NamedPoints(names, degrees.to_numpy())


def check_output_format(path: Path) -> None:
    """Raise Usage for a suffix that `write_table` does not know, before hours of work depend on it."""
    if path.suffix not in OUTPUTS:
        raise Usage(f"{path}: expected a name ending in {', '.join(OUTPUTS)}")


def write_table(path: Path, table: TravelTable, sources: NamedPoints, targets: NamedPoints) -> None:
    """Write travel times atomically, in the format that the suffix names.

    .npy: int32 seconds, rows are sources, columns targets, -1 where there is no path.
    .csv, .parquet: one row a pair, with columns from, to, seconds, metres.
    Raises CannotCreate, IOFailed, NotPermitted, Usage.
    """
    check_output_format(path)

    def write(file: BinaryIO) -> None:
        if path.suffix == ".npy":
            np.save(file, table.seconds, allow_pickle=False)
        elif path.suffix == ".csv":
            _pairs(table, sources, targets).write_csv(file)
        else:
            _pairs(table, sources, targets).write_parquet(file)

    write_whole(path, write, mode=SHARED)


def _pairs(table: TravelTable, sources: NamedPoints, targets: NamedPoints) -> pl.DataFrame:
    """Return a travel table as one row a pair."""
    return pl.DataFrame(
        {
            "from": np.repeat(np.array(sources.names, object), len(targets.names)),
            "to": np.tile(np.array(targets.names, object), len(sources.names)),
            "seconds": table.seconds.ravel(),
            "metres": table.metres.ravel(),
        },
        schema={"from": pl.String, "to": pl.String, "seconds": pl.Int32, "metres": pl.Int32},
    )

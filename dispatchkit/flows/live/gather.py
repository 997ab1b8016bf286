"""A feature's reads as checked frames: rows that break their contract are quarantined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from dispatchkit.domain.dispatching import RECENT
from dispatchkit.domain.feature import OUTSIDE, Feature
from dispatchkit.domain.hours import LOOK_BACK
from dispatchkit.kernel.errors import BadData
from dispatchkit.kernel.flags import Flag
from dispatchkit.kernel.sql import parse
from dispatchkit.store.contract import Args


class Reader(Protocol):
    """A store, or a run of it: both read named queries."""

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        """Return each query's frame."""
        ...


@dataclass(frozen=True)
class Gathered:
    """Input of a policy: frames, their digest, quarantined rows by rule, units held by the flag."""

    frames: Mapping[str, pl.DataFrame]
    inputs_sha256: str
    quarantined: Mapping[str, int]
    held_by_flag: int


@lru_cache
def queries(path: Path) -> Mapping[str, str]:
    """Return the named queries of a `.sql` file."""
    return parse(path.read_text("utf-8"))


def bounds(now: datetime) -> Args:
    """Return the arguments of a sweep's queries.

    now; recent: start of the pings; since: start of the duties.
    """
    return {"now": now, "recent": now - RECENT, "since": now - LOOK_BACK}


def gather(reader: Reader, feature: Feature[Any], flag: Flag, now: datetime) -> Gathered:
    """Return a feature's frames as of `now`, checked, without units outside the rollout.

    These are removed before the decision, or one of them could claim a driver whom another needs. A
    read with a column `outside` keeps and marks them: the feature finishes what it began there, and
    begins nothing new.
    """
    named = queries(feature.sql) if feature.sql else {}
    read = reader.read({name: named[name] for name in feature.reads}, bounds(now))
    frames: dict[str, pl.DataFrame] = {}
    quarantined: dict[str, int] = {}
    for name, schema in feature.reads.items():
        frame = read[name]
        missing = set(schema.column_names()) - set(frame.columns)
        if missing:
            raise BadData(f"{feature.name}: read {name} lacks {', '.join(sorted(missing))}")
        good, failure = schema.filter(frame.select(schema.column_names()), cast=True)
        quarantined |= {
            f"{name}: {rule}": count for rule, count in sorted(failure.counts().items())
        }
        frames[name] = good
    held: set[int] = set()
    for name, column in feature.units.items():
        outside = {
            unit for unit in frames[name].get_column(column).unique() if not flag.admits(unit)
        }
        is_outside = pl.col(column).is_in(sorted(outside))
        if OUTSIDE in feature.reads[name].column_names():
            frames[name] = frames[name].with_columns(is_outside.alias(OUTSIDE))
        else:
            frames[name] = frames[name].filter(~is_outside)
        held |= outside
    return Gathered(frames, fingerprint(frames), quarantined, len(held))


def fingerprint(frames: Mapping[str, pl.DataFrame]) -> str:
    """Return SHA-256 over the frames' names, columns and rows, equal on every machine."""
    digest = sha256()
    for name in sorted(frames):
        digest.update(f"{name}\n".encode())
        digest.update(frames[name].write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ").encode())
    return digest.hexdigest()

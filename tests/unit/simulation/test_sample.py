"""The tracked sample is what `data sample` writes, and small enough to be tracked."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.flows.data.sample import write_sample
from dispatchkit.simulation import Scenario

TRACKED = Path(__file__).parents[3] / "data" / "sample"


def test_tracked_sample_matches_seed(tmp_path: Path) -> None:
    made = write_sample(Scenario(), tmp_path / "city")
    assert [file.table for file in made.files] == list(TABLES)
    for name in TABLES:
        again, tracked = (
            pl.read_parquet(folder / f"{name}.parquet") for folder in (tmp_path / "city", TRACKED)
        )
        assert again.equals(tracked), (
            f"{name}: make data/sample anew (data/README.md) when the city changes"
        )


def test_two_runs_give_same_bytes(tmp_path: Path) -> None:
    first, second = (
        write_sample(Scenario(orders=240, days=2, seed=5), tmp_path / name)
        for name in ("one", "two")
    )
    assert [file.sha256 for file in first.files] == [file.sha256 for file in second.files]


def test_tracked_sample_stays_under_megabyte() -> None:
    assert sum(file.stat().st_size for file in TRACKED.iterdir()) < 1_000_000

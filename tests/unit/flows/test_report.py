"""Files of a report: complete, readable, and harmless in a spreadsheet."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from dispatchkit.flows.data.report import write
from dispatchkit.kernel.clock import Window
from dispatchkit.kernel.errors import CannotCreate, IOFailed, NotPermitted
from dispatchkit.kernel.metrics import ReportResult, Section, Table

DAY = Window(datetime(2026, 3, 6, 4, tzinfo=UTC), datetime(2026, 3, 7, 4, tzinfo=UTC))


TEXTS = ["=1+1", "+1", "-1", "@x", "\tx", "north", None]


@pytest.fixture
def findings() -> ReportResult:
    table = Table(
        name="by_zone",
        title="Zones",
        frame=pl.DataFrame({"zone": TEXTS, "margin": [-5] * len(TEXTS)}),
    )
    section = Section(name="other", title="Other", metrics=(), tables=(table,))
    return ReportResult(
        name="zones",
        title="Zones",
        day="2026-03-06",
        window=DAY,
        as_of=DAY.until,
        sections=(section,),
    )


def test_csv_quotes_spreadsheet_formulas(findings, tmp_path):
    write(findings, tmp_path)
    tables = tmp_path / "zones-2026-03-06-tables"
    lines = (tables / "by_zone.csv").read_text("utf-8").splitlines()
    assert lines == [
        "zone,margin",
        "'=1+1,-5",
        "'+1,-5",
        "'-1,-5",
        "'@x,-5",
        "'\tx,-5",
        "north,-5",
        ",-5",
    ]
    assert pl.read_parquet(tables / "by_zone.parquet")["zone"].to_list() == TEXTS


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_file_modes_follow_the_umask(findings, tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        made = write(findings, tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in made} == {mode}


def test_full_disk_leaves_the_old_report(findings, tmp_path, monkeypatch):
    before = {path: path.read_bytes() for path in write(findings, tmp_path)}
    left = iter([None, None])

    def fsync(_: int) -> None:
        if next(left, "full") == "full":
            raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(IOFailed, match=r"zones-2026-03-06\.json: disk full, nothing kept"):
        write(replace(findings, title="Other zones"), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["zones-2026-03-06-tables", "zones-2026-03-06.md"])
def test_symlink_or_folder_in_place_stops_the_report(findings, tmp_path, name):
    (tmp_path / "away").mkdir()
    if name.endswith("-tables"):
        (tmp_path / name).symlink_to(tmp_path / "away")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises((NotPermitted, CannotCreate)):
        write(findings, tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["away", name])

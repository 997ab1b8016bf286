"""Files of a report: whole, readable, and harmless in a spreadsheet."""

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


TOLD = ["=1+1", "+1", "-1", "@x", "\tx", "north", None]


@pytest.fixture
def findings() -> ReportResult:
    table = Table(
        name="by_zone",
        title="Zones",
        frame=pl.DataFrame({"zone": TOLD, "margin": [-5] * len(TOLD)}),
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


def test_text_that_a_spreadsheet_would_run_gets_a_quote_mark_in_csv_alone(findings, tmp_path):
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
    assert pl.read_parquet(tables / "by_zone.parquet")["zone"].to_list() == TOLD


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_report_files_are_as_readable_as_the_umask_lets_them_be(findings, tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        made = write(findings, tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in made} == {mode}


def test_a_disk_that_fills_half_way_leaves_the_report_of_before_and_nothing_else(
    findings, tmp_path, monkeypatch
):
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
def test_a_link_for_the_tables_or_a_folder_for_a_file_stops_the_report_before_any_file(
    findings, tmp_path, name
):
    (tmp_path / "away").mkdir()
    if name.endswith("-tables"):
        (tmp_path / name).symlink_to(tmp_path / "away")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises((NotPermitted, CannotCreate)):
        write(findings, tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["away", name])

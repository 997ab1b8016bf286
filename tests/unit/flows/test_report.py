"""Files of a report: what a spreadsheet opens must not run."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from dispatchkit.flows.report import write
from dispatchkit.kernel.clock import Window
from dispatchkit.kernel.figures import Findings, Section, Table

DAY = Window(datetime(2026, 3, 6, 4, tzinfo=UTC), datetime(2026, 3, 7, 4, tzinfo=UTC))


def test_text_that_a_spreadsheet_would_run_gets_a_quote_mark_in_csv_alone(tmp_path):
    told = ["=1+1", "+1", "-1", "@x", "\tx", "north", None]
    table = Table(name="by_zone", title="Zones", frame=pl.DataFrame({"zone": told, "margin": [-5] * len(told)}))
    section = Section(name="other", title="Other", metrics=(), tables=(table,))
    findings = Findings(name="zones", title="Zones", day="2026-03-06", window=DAY, as_of=DAY.until, sections=(section,))
    write(findings, tmp_path)
    lines = (tmp_path / "zones-tables" / "by_zone.csv").read_text("utf-8").splitlines()
    assert lines == ["zone,margin", "'=1+1,-5", "'+1,-5", "'-1,-5", "'@x,-5", "'\tx,-5", "north,-5", ",-5"]
    assert pl.read_parquet(tmp_path / "zones-tables" / "by_zone.parquet")["zone"].to_list() == told

"""Pages of a report: complete, self-contained and escaped."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import polars as pl
import pytest

from dispatchkit.kernel.clock import Window
from dispatchkit.kernel.metrics import (
    Check,
    Exclusion,
    Metric,
    ReportResult,
    Section,
    Table,
    Target,
)
from dispatchkit.pages import charts, words
from dispatchkit.pages.html import page
from dispatchkit.pages.markdown import markdown

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def metric(**more) -> Metric:
    given = {
        "name": "offer_acceptance",
        "definition": "accepted / asked",
        "cohort": "offers",
        "unit": "share",
    }
    figures = {"value": 0.85, "numerator": 17, "denominator": 20, "low": 0.64, "high": 0.95}
    return Metric(**{**given, **figures, "target": Target("> 80 %", ">", 0.8), **more})


def findings(*metrics: Metric, tables=(), checks=(), name="offers") -> ReportResult:
    section = Section(name=name, title="Offers", metrics=metrics, tables=tables, checks=checks)
    window = Window(NOON.replace(hour=4), NOON.replace(day=3, hour=4))
    return ReportResult(name="nightly", title="Nightly report", day="2026-03-02", window=window, as_of=NOON,
                    sections=(section,), tz="Europe/Berlin", source={"sha256": "abc"})  # fmt: skip


def quarters() -> pl.DataFrame:
    at = pl.datetime_range(NOON, NOON.replace(hour=14), "15m", eager=True)
    some = pl.int_range(len(at), eager=True)
    return pl.DataFrame(
        {"at": at, "orders": some, "assigned": some, "delivered": some, "unassigned": some}
    )


def test_page_shows_interval_counts_and_target():
    shown = page(findings(metric(), name="plain"))
    for text in (
        "85.0 %",
        "64.0 to 95.0 %",
        "17 / 20",
        "&gt; 80 % ~",
        "Europe/Berlin",
        "0.8500 [0.6400, 0.9500]",
    ):
        assert text in shown


def test_page_loads_and_runs_nothing():
    chart = charts.day(quarters(), "UTC")
    shown = page(findings(metric(), name="plain")) + chart
    assert "<script" not in shown
    assert not re.search(r'(?:src|href)\s*=\s*"(?!#)', shown)
    assert "@import" not in shown
    assert not re.search(r"url\((?!#)", shown)


def test_page_escapes_text_from_data():
    bad = Table(name="t", title="T", frame=pl.DataFrame({"zone": ["<img src=x>"]}))
    shown = page(findings(metric(missing_reason="<b>"), tables=(bad,)))
    assert "<img" not in shown
    assert "&lt;img" not in page(findings(metric()))


def test_faults_come_first():
    broken = findings(
        metric(excluded=(Exclusion("lost", 9),)), checks=(Check("sums", False, "off by 0.01"),)
    )
    for text in (page(broken), markdown(broken)):
        assert text.index("Do not trust") < text.index("Offers")
        assert "off by 0.01" in text


def test_missing_value_shows_reason_and_no_target_mark():
    none = metric(
        value=None,
        numerator=0,
        denominator=0,
        low=None,
        high=None,
        missing_reason="no offers were imported",
    )
    shown = page(findings(none, name="plain"))
    assert "no offers were imported" in shown
    assert "80 % ✗" not in shown
    assert "- Offer acceptance (`offer_acceptance`): n/a = 0 / 0" in markdown(findings(none))


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [(0.8984, "share", "89.8 %"), (None, "share", "n/a"), (35.04, "minutes", "35.0 min"), (-131, "cents", "-1.31"),
     (float("inf"), "minutes", "never"), (1234567, "count", "1,234,567"), (5400, "seconds", "1.5 h")],
)  # fmt: skip
def test_value_is_written_in_its_unit(number, unit, text):
    assert words.value(number, unit) == text


@pytest.mark.parametrize(
    ("column", "heading"),
    [
        ("earned_cents", "earned"),
        ("wait_p90_min", "wait, 90 % point (min)"),
        ("critical_hours", "critical hours"),
    ],
)
def test_heading_is_in_words_with_unit(column, heading):
    assert words.heading(column) == heading


def test_remark_is_shown_beside_value():
    rule = "no promise: 40 min after placement"
    result = findings(
        metric(name="on_time_all_orders", remark=rule),
        metric(name="on_time_delivered_only"),
        name="service",
    )
    shown = page(result)
    row = re.search(r"<tr><td>On time<.*?</tr>", shown)
    assert row and rule in row[0]
    assert rule in re.findall(r'<div class="card">.*?</div>', shown)[0]
    assert rule in markdown(result)
    assert words.remarks(result.sections[0].metrics[0]) == rule


def test_times_are_shown_in_market_time_zone():
    assert words.cell(NOON, None, "Europe/Berlin") == "13:00"
    assert "13:00" in charts.day(quarters(), "Europe/Berlin")


def test_markdown_escapes_bar_in_cell():
    table = Table(
        name="t", title="T", frame=pl.DataFrame({"zone": ["a|b"], "n": [1]}), units={"n": "count"}
    )
    assert "| a\\|b | 1 |" in markdown(findings(metric(), tables=(table,)))


def test_document_has_finite_numbers_only():
    endless = metric(unit="minutes", value=None, high=float("inf"))
    json.dumps(findings(endless).document(), allow_nan=False)


def test_charts_share_no_ids_and_are_deterministic():
    bridge = pl.DataFrame(
        {"step": ["revenue", "driver pay", "contribution"], "cents": [1000, -1200, -200]}
    )
    first, second = charts.day(quarters(), "UTC"), charts.waterfall(bridge)
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (first, second)]
    assert not ids[0] & ids[1]
    assert (charts.day(quarters(), "UTC"), charts.waterfall(bridge)) == (first, second)

"""`report` from the command line, over the tracked sample."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dispatchkit.cli.main import run
from dispatchkit.warehouse.load import load
from dispatchkit.warehouse.manifest import read

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
DAY = "2026-03-06"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    load(SAMPLE, folder / "warehouse.duckdb", now=read(SAMPLE).as_of)
    return folder


def report(data: Path, *words: str) -> int:
    return run(["-q", "--data", str(data), "report", *words])


def test_nightly_report_is_byte_equal_twice(data, tmp_path, capsys):
    for folder in ("a", "b"):
        assert report(data, "nightly", "--day", DAY, "--to", str(tmp_path / folder)) == 0
    written = sorted(
        path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()
    )
    assert {Path(f"nightly-{DAY}.{ending}") for ending in ("html", "md", "json")} < set(written)
    assert Path(f"nightly-{DAY}-tables/drivers.parquet") in written
    for path in written:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["nightly", "funnel", "economics", "drivers", "zones", "etas"])
def test_report_is_one_json_document_without_faults(data, name, capsys):
    assert run(["-q", "--json", "--data", str(data), "report", name, "--day", DAY]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["faults"] == []
    for section in document["sections"].values():
        for metric in section["metrics"].values():
            assert (metric["value"] is None) or metric["denominator"] > 0
            assert metric["value"] is not None or metric["missing_reason"]


def test_running_day_counts_open_orders(data, capsys):
    assert (
        run(["-q", "--json", "--data", str(data), "report", "funnel", "--day", "2026-03-07"]) == 0
    )
    funnel = json.loads(capsys.readouterr().out)["sections"]["funnel"]
    never = funnel["metrics"]["unassigned_never_served"]
    created = funnel["tables"]["stages"][0]["orders"]
    assert never["open"] > 0
    assert never["denominator"] + never["open"] + sum(never["excluded"].values()) == created


@pytest.mark.parametrize(
    ("day", "folder", "code", "message"),
    [("2026-03-09", ".", 66, "begins after the loaded data ends"), (DAY, "nothing", 66, "data load"),
     ("2026-02-01", ".", 66, "no orders on 2026-02-01; loaded: 2026-03-06 to 2026-03-07"),
     ("yesterday", ".", 2, "YYYY-MM-DD")],
)  # fmt: skip
def test_unavailable_day_ends_with_one_line(data, day, folder, code, message, capsys):
    assert report(data / folder, "funnel", "--day", day) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_folder_with_missing_parent_is_not_created(data, tmp_path, capsys):
    assert report(data, "etas", "--day", DAY, "--to", str(tmp_path / "no" / "such")) == 73


def test_report_refuses_outside_folder_and_symlink(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    assert report(data, "etas", "--day", DAY, "--to", "../x") == 77
    assert report(data, "etas", "--day", DAY, "--to", str(tmp_path / "link")) == 77
    assert "symlink refused" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["here", "link"]


def test_file_names_carry_the_days(data, tmp_path):
    for day in (DAY, "2026-03-07"):
        assert report(data, "etas", "--day", day, "--to", str(tmp_path)) == 0
    assert report(data, "etas", "--day", "2026-03-07", "--days", "2", "--to", str(tmp_path)) == 0
    pages = sorted(path.stem for path in tmp_path.glob("*.html"))
    assert pages == ["etas-2026-03-06", "etas-2026-03-06_2026-03-07", "etas-2026-03-07"]


def test_terminal_shows_units_and_reason_without_rank(data, capsys):
    assert report(data, "drivers", "--day", DAY) == 0
    output = capsys.readouterr().out
    assert "fewer than 20 events" in output
    assert "earned_cents" not in output
    assert "in the currency of the ledger" in output


def test_page_uses_words_instead_of_column_names(data, tmp_path):
    assert report(data, "nightly", "--day", DAY, "--to", str(tmp_path)) == 0
    page = (tmp_path / f"nightly-{DAY}.html").read_text("utf-8")
    notes = re.findall(r'<p class="note">(.*?)</p>', page)
    assert notes
    assert [note for note in notes if "_" in note] == []
    assert not [head for head in re.findall(r"<th[^>]*>([^<]*)", page) if "_" in head]
    assert "audit verify" not in page

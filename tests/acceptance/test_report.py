"""`report` from the real command line, over the tracked sample."""

from __future__ import annotations

import json
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


def test_the_nightly_report_leaves_the_same_bytes_twice(data, tmp_path, capsys):
    for folder in ("a", "b"):
        assert report(data, "nightly", "--day", DAY, "--to", str(tmp_path / folder)) == 0
    made = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert {Path("nightly.html"), Path("nightly.md"), Path("nightly.json")} < set(made)
    assert Path("nightly-tables/drivers.parquet") in made
    for path in made:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["nightly", "funnel", "economics", "drivers", "zones", "etas"])
def test_every_report_is_one_json_document_whose_figures_add_up(data, name, capsys):
    assert run(["-q", "--json", "--data", str(data), "report", name, "--day", DAY]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["faults"] == []
    for section in document["sections"].values():
        for metric in section["metrics"].values():
            assert (metric["value"] is None) or metric["denominator"] > 0
            assert metric["value"] is not None or metric["why"]


def test_the_evening_that_still_runs_counts_its_open_orders(data, capsys):
    assert run(["-q", "--json", "--data", str(data), "report", "funnel", "--day", "2026-03-07"]) == 0
    funnel = json.loads(capsys.readouterr().out)["sections"]["funnel"]
    never = funnel["metrics"]["unassigned_never_served"]
    created = funnel["tables"]["stages"][0]["orders"]
    assert never["open"] > 0
    assert never["denominator"] + never["open"] + sum(never["excluded"].values()) == created


@pytest.mark.parametrize(
    ("day", "folder", "code", "said"),
    [("2026-03-09", ".", 66, "begins after what is loaded"), (DAY, "nothing", 66, "data load"),
     ("yesterday", ".", 2, "YYYY-MM-DD")],
)  # fmt: skip
def test_a_day_that_cannot_be_told_ends_in_one_line(data, day, folder, code, said, capsys):
    assert report(data / folder, "funnel", "--day", day) == code
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1


def test_a_folder_whose_parent_is_missing_is_not_made(data, tmp_path, capsys):
    assert report(data, "etas", "--day", DAY, "--to", str(tmp_path / "no" / "such")) == 73

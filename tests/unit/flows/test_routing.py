"""Standalone problems: both formats read, planned and judged; every bad file named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dispatchkit.flows.planning import routes as routing
from dispatchkit.kernel.errors import BadData, InputMissing, Usage

# Two pairs on a line east of the depot; the windows let one vehicle of two do all: 10 out, 10 back.
LILIM = """2 10 1
0 0 0 0 0 200 0 0 0
1 3 4 5 0 100 1 0 3
2 6 8 5 0 100 1 0 4
3 6 8 -5 0 150 1 1 0
4 3 4 -5 0 150 1 2 0
"""


def ours() -> dict[str, Any]:
    return {
        "nodes": [
            {"id": 100},
            {"id": 1, "load": 1, "earliest": 5, "service": 2, "delivery": 2},
            {"id": 2, "load": -1, "due": 12, "service": 2},
            {"id": 3, "load": -1, "vehicle": 9},
        ],
        "vehicles": [{"id": 9, "start": 100, "capacity": 2, "load": 1, "first": 1}],
        "time": [[0, 5, 9, 9], [5, 0, 4, 1], [9, 4, 0, 4], [9, 1, 4, 0]],
        "weights": {"late": 10},
    }


def planned(file: Path, form: str = "json", **words: Any) -> dict[str, Any]:
    return routing.plan(
        file, form, **({"engine": "auto", "seconds": None, "seed": 0, "solutions": 20} | words)
    )


@pytest.fixture
def lilim(tmp_path: Path) -> Path:
    file = tmp_path / "line.txt"
    file.write_text(LILIM)
    return file


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.json"
    file.write_text(json.dumps(ours()))
    return file


def test_benchmark_plan_uses_file_nodes_and_units(lilim: Path) -> None:
    made = planned(lilim, "lilim")
    assert (made["vehicles"], made["distance"], made["duration"], made["unassigned"]) == (
        1,
        20.0,
        24.0,
        [],
    )
    assert sorted(made["routes"][0]) == [1, 2, 3, 4]


def test_json_problem_is_planned_exactly(own: Path) -> None:
    made = planned(own)
    assert (made["routes"], made["engine"], made["proven"]) == ([[1, 2, 3]], "exact", True)
    assert (made["distance"], made["duration"]) == (13, 17)
    file = own.with_name("relaxed.json")
    file.write_text(json.dumps(ours() | {"weights": {"late": 0}}))
    assert planned(file)["routes"] == [
        [1, 3, 2]
    ]  # without a cost for being late the shorter way wins


@pytest.mark.parametrize(
    ("edit", "codes"),
    [
        ({}, set()),
        ({"distance": 19.0}, {"FIGURE_WRONG"}),
        ({"vehicles": 2}, {"FIGURE_WRONG"}),
        ({"routes": [[1, 3, 2, 4], [77]]}, {"UNKNOWN"}),
        ({"routes": [[1, 3], [2, 4], []]}, {"UNKNOWN", "FIGURE_WRONG"}),
        ({"routes": [[3, 1, 2, 4]]}, {"NOT_PICKED_UP", "FIGURE_WRONG"}),
        ({"routes": [[1, 2, 4]]}, {"STOP_MISSING"}),
        (
            {"routes": [[1, 2, 4]], "unassigned": [{"id": 1, "reason": "no room"}]},
            {"PLANNED_AND_LEFT_OUT"},
        ),
    ],
)
def test_faults_of_a_plan_are_named(lilim: Path, edit: dict[str, Any], codes: set[str]) -> None:
    plan = lilim.with_name("plan.json")
    given = {"vehicles": 1, "distance": 20.0, "routes": [[1, 2, 3, 4]]}
    plan.write_text(json.dumps(given | edit))
    assert {violation.code for violation in routing.check(lilim, "lilim", plan)} == codes


def test_window_is_checked_to_the_thousandth(lilim: Path) -> None:
    plan = lilim.with_name("plan.json")
    plan.write_text(json.dumps({"routes": [[1, 2, 3, 4]]}))
    lilim.write_text(LILIM.replace("3 6 8 -5 0 150", "3 6 8 -5 0 12"))  # 5 + 1 + 5 + 1 = 12
    assert routing.check(lilim, "lilim", plan) == []
    lilim.write_text(LILIM.replace("3 6 8 -5 0 150", "3 6 8 -5 0 11"))
    assert [v.code for v in routing.check(lilim, "lilim", plan)] == ["TOO_LATE"]


def test_written_plan_passes_the_check(own: Path) -> None:
    out = own.with_name("plan.json")
    routing.write(planned(own), out)
    assert routing.check(own, "json", out) == []


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in ours().items() if name != key}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected an object"),
        (json.dumps(without("time")), "nodes, vehicles and time"),
        (json.dumps(ours() | {"nodez": []}), "unknown key 'nodez'"),
        (json.dumps(ours() | {"time": [[0]]}), "time is not a table of 4"),
        (json.dumps(ours() | {"time": [[0.5] * 4] * 4}), "0.5 is not a whole number"),
        (json.dumps(ours() | {"time": [[-2] * 4] * 4}), "time, row 0"),
        (json.dumps(ours() | {"nodes": [{"id": 1}] * 4}), "each id once"),
        (
            json.dumps(ours() | {"nodes": [*ours()["nodes"][:3], {"id": 3, "load": -1}]}),
            "node 3: no pickup names it",
        ),
        (
            json.dumps(ours() | {"vehicles": [{"id": 9, "start": 5, "capacity": 1}]}),
            "start names 5",
        ),
        (
            json.dumps(ours() | {"vehicles": [{"id": 9, "start": 100}]}),
            "vehicle number 0: capacity is missing",
        ),
        (
            json.dumps(ours() | {"vehicles": [{"id": 9, "start": 100, "capacity": True}]}),
            "capacity is not a whole",
        ),
        (
            json.dumps(ours() | {"vehicles": [{"id": 9, "start": 100, "capacity": -1}]}),
            "capacity is below zero",
        ),
        (json.dumps(ours() | {"weights": {"late": 2000}}), "at most 1000"),
    ],
)
def test_bad_json_problem_is_named(own: Path, text: str, says: str) -> None:
    own.write_text(text)
    with pytest.raises(BadData, match=says) as refused:
        planned(own)
    assert str(own) in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (LILIM, "", "line 1"),
        ("2 10 1", "2 ten 1", "line 1: '2 ten 1'"),
        ("2 6 8 5 0 100 1 0 4", "2 6 8 5 0 100", "line 4: 6 of 9"),
        ("2 6 8 5 0", "1 6 8 5 0", "line 4: node 1 is there twice"),
        ("0 0 0 0 0 200 0 0 0\n", "", "no node 0"),
        ("150 1 2 0", "150 1 3 0", "do not name each other"),
    ],
)
def test_bad_benchmark_names_line_or_node(lilim: Path, old: str, new: str, says: str) -> None:
    lilim.write_text(LILIM.replace(old, new))
    with pytest.raises(BadData, match=says):
        planned(lilim, "lilim")


def test_missing_or_binary_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="there is no file"):
        planned(tmp_path / "none.json")
    with pytest.raises(InputMissing, match="is a directory"):
        planned(tmp_path)
    (tmp_path / "latin.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(BadData, match="not UTF-8 at byte 0"):
        planned(tmp_path / "latin.json")
    with pytest.raises(Usage, match="'csv' is no format"):
        planned(tmp_path / "latin.json", "csv")


@pytest.mark.parametrize(
    "text",
    ["{}", '{"routes": [1]}', '{"routes": [["a"]]}', '{"routes": [], "unassigned": [3]}', "no"],
)
def test_malformed_plan_is_refused(own: Path, text: str) -> None:
    plan = own.with_name("plan.json")
    plan.write_text(text)
    with pytest.raises(BadData):
        routing.check(own, "json", plan)

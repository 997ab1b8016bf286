"""`route plan` and `route check` as a shell sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dispatchkit.cli.main import run

PAIR = "1 10 1\n0 0 0 0 0 200 0 0 0\n1 3 4 5 0 100 1 0 2\n2 6 8 -5 0 {latest} 1 1 0\n"


@pytest.fixture
def pair(tmp_path: Path) -> str:
    file = tmp_path / "pair.txt"
    file.write_text(PAIR.format(latest=100))
    return str(file)


def test_same_problem_gives_same_bytes(pair: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for engine in ("auto", "auto", "ortools"):
        assert run(["--json", "route", "plan", pair, "--format", "lilim", "--engine", engine]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert [json.loads(text)["engine"] for text in printed] == ["exact", "exact", "ortools"]


def test_changed_plan_exits_3(pair: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path(pair).with_name("plan.json")
    plan = ["route", "plan", pair, "--format", "lilim", "--out", str(out)]
    check = ["route", "check", pair, str(out), "--format", "lilim"]
    assert (run(plan), run(check)) == (0, 0)
    assert run(plan) == 73  # it exists
    out.write_text(out.read_text().replace("[[1, 2]]", "[[2, 1]]"))
    assert run(check) == 3
    assert "NOT_PICKED_UP" in capsys.readouterr().out


def test_unplanned_job_exits_3(pair: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(pair).write_text(PAIR.format(latest=5))
    assert run(["--json", "route", "plan", pair, "--format", "lilim"]) == 3
    told = capsys.readouterr()
    assert json.loads(told.out)["unassigned"] == [
        {"id": "1", "reason": "its time window cannot be kept"}
    ]
    assert "job 1 is in no route" in told.err


def test_missing_problem_exits_66(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["route", "plan", "nowhere.json"]) == 66
    assert capsys.readouterr().err.count("\n") == 1

"""The house as it stands keeps its own rules."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.house import rules
from tests.house.tree import ROOT, TOP, modules, texts


@pytest.mark.parametrize(
    "rule",
    [
        rules.floor_faults,
        rules.library_faults,
        rules.store_faults,
        rules.purity_faults,
        rules.docstring_faults,
        rules.loose_sql_faults,
    ],
    ids=lambda rule: rule.__name__,
)
def test_every_module_keeps(rule):
    assert list(rule(modules())) == []


@pytest.mark.parametrize(
    ("suffix", "rule"),
    [(".sql", rules.sql_faults), (".ipynb", rules.notebook_faults), ("", rules.foreign_faults)],
)
def test_every_file_keeps(suffix, rule):
    assert [
        fault for name, text in texts() if name.endswith(suffix) for fault in rule(name, text)
    ] == []


def test_walk_sees_whole_package():
    assert {"kernel", "cli", "flows", "decide"} <= {module.room for module in modules()}


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or not shutil.which("git"), reason="not a git checkout"
)
def test_nothing_else_is_committed_at_top():
    git = ["git", "-c", f"safe.directory={ROOT}", "ls-files"]
    tracked = subprocess.run(
        git, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert {name.split("/")[0] for name in tracked if name} - set(TOP) == set()


def test_ci_runs_command_that_readme_names():
    assert "make test" in (ROOT / ".ci/run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()
    assert "make demo" in (ROOT / "README.md").read_text()

"""The demo makes a city and runs all sweeps on it; the commands that it suggests work."""

from __future__ import annotations

import shlex

import pytest


def suggested(cli, to) -> list[list[str]]:
    """Run the demo; return the command lines that it suggests, without the program's name."""
    ran = cli("demo", "--to", to)
    assert ran.exit == 0, ran.stderr
    assert "0 offenders" in ran.stderr
    assert list(to.glob("nightly-*.html"))
    return [shlex.split(line)[1:] for line in ran.stdout.splitlines() if line.startswith("  ")]


def test_demo_completes_and_suggests_commands(cli, tmp_path):
    commands = suggested(cli, tmp_path / "night")
    assert [words[2] for words in commands] == [
        "show",
        "why",
        "audit",
        "sweep",
        "sweep",
        "show",
        "db",
        "report",
    ]


@pytest.mark.nightly
def test_suggested_commands_work(cli, tmp_path):
    runs = {" ".join(words): cli(*words) for words in suggested(cli, tmp_path / "night")}
    failed = {words: run.stderr for words, run in runs.items() if run.exit or not run.stdout}
    assert failed == {}

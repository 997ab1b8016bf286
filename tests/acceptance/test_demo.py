"""The demo: one command makes a city and runs a night on it, and what it then says to try works."""

from __future__ import annotations

import shlex

import pytest


def shown(cli, to) -> list[list[str]]:
    """Return the command lines that the demo says to try, without the program's name."""
    ran = cli("demo", "--to", to)
    assert ran.exit == 0, ran.stderr
    assert "0 offenders" in ran.stderr
    assert list(to.glob("nightly-*.html"))
    return [shlex.split(line)[1:] for line in ran.stdout.splitlines() if line.startswith("  ")]


def test_the_demo_runs_to_its_end_and_says_what_to_try(cli, tmp_path):
    tries = shown(cli, tmp_path / "night")
    assert [words[2] for words in tries] == [
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
def test_what_the_demo_says_to_try_works(cli, tmp_path):
    said = {" ".join(words): cli(*words) for words in shown(cli, tmp_path / "night")}
    assert {
        words: done.stderr for words, done in said.items() if done.exit or not done.stdout
    } == {}

"""The options that every command has may stand before it or after it."""

from __future__ import annotations

import json

import pytest

from dispatchkit.cli.main import run


@pytest.mark.parametrize(
    "words",
    [
        "--json --config {file} flags",
        "flags --json --config={file}",
        "flags --config {file} --json",
        "--json flags --config {file} -q",
    ],
)
def test_they_are_understood_anywhere(tmp_path, capsys, words):
    file = tmp_path / "own.toml"
    file.write_text("[flags.offers]\nenabled = false\n")
    assert run(words.format(file=file).split()) == 0
    told = {row["name"]: row["enabled"] for row in json.loads(capsys.readouterr().out)}
    assert told["offers"] is False
    assert told["routes"] is True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("flags -- --json", "--json"),
        ("flags --json=3", "does not take a value"),
        ("flags --config", "requires an argument"),
        ("flags --jsn", "--jsn"),
    ],
)
def test_what_is_wrong_with_them_is_said_all_the_same(capsys, words, said):
    assert run(words.split()) == 2
    assert said in capsys.readouterr().err

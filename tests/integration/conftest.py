"""The command line inside the test's own process: the same program, without two seconds of imports each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from dispatchkit.cli import main
from tests import databases
from tests.conftest import Cli, CliResult


@pytest.fixture
def inside(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Cli:
    """Return a function that runs a command line as `cli` does, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, db: Engine | str | None = None) -> CliResult:
        options = (
            ["--db", databases.url(db) if isinstance(db, Engine) else db] if db is not None else []
        )
        capsys.readouterr()
        code = main.run([*options, *map(str, words)])
        captured = capsys.readouterr()
        return CliResult(code, captured.out, captured.err)

    return run

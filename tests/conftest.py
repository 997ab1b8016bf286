"""Fixtures that many tests share: a database of one's own, and the real command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests import counts, databases

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class CliResult:
    """What became of a command line."""

    exit: int
    stdout: str
    stderr: str


Cli = Callable[..., CliResult]


def pytest_configure() -> None:
    databases.begin_session()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the reliability tests went through: a run that skipped its work must show."""
    if lines := counts.summary():
        terminalreporter.section("counted")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def database() -> Iterator[Engine]:
    """Yield an engine on a fresh, migrated, empty database; after the test every invariant must hold."""
    with databases.fresh("empty") as engine:
        yield engine


@pytest.fixture
def sample_db() -> Iterator[Engine]:
    """Yield an engine on a fresh database filled with a small made-up city, live at `now`."""
    with databases.fresh("sample") as engine:
        yield engine


@pytest.fixture
def now() -> datetime:
    """Return the instant at which the made-up city of `sample_db` stands."""
    return databases.NOW


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Return a function that runs the real command line in a process of its own, in an empty folder.

    `cli("sweep", "offers", db=sample_db, env={...})`: db is an engine or a URL; values of the environment are added.
    """

    def run(
        *words: object, db: Engine | str | None = None, env: dict[str, str] | None = None
    ) -> CliResult:
        options = (
            ["--db", databases.url(db) if isinstance(db, Engine) else db] if db is not None else []
        )
        done = subprocess.run(
            [sys.executable, "-m", "dispatchkit", *options, *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return CliResult(done.returncode, done.stdout, done.stderr)

    return run

"""Fixtures that many tests share: a fresh database, and the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from dispatchkit.cli import main
from tests import counts, databases, fork_client
from tests.fork_client import CommandResult, ForkServer

Cli = Callable[..., CommandResult]


def pytest_configure() -> None:
    databases.begin_session()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the reliability tests counted, so that a run which skipped its work is seen."""
    if lines := counts.summary():
        terminalreporter.section("counted")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def database() -> Iterator[Engine]:
    """Yield an engine on a fresh, migrated, empty database; at the end every invariant must hold."""
    with databases.fresh("empty") as engine:
        yield engine


@pytest.fixture
def sample_db() -> Iterator[Engine]:
    """Yield an engine on a fresh database filled with a small simulated city, live at `now`."""
    with databases.fresh("sample") as engine:
        yield engine


@pytest.fixture
def now() -> datetime:
    """Return the instant at which the simulated city of `sample_db` stands."""
    return databases.NOW


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Yield the fork server of this worker."""
    with fork_client.started(tmp_path_factory.mktemp("fork_server")) as server:
        yield server


@pytest.fixture
def cli(fork_server: ForkServer, tmp_path: Path) -> Cli:
    """Return a function that runs a command line in a process of its own, in an empty folder.

    `cli("sweep", "offers", db=sample_db, env={...})`: db is an engine or a URL; env is added to the
    variables of the environment.
    """

    def run(
        *words: object, db: Engine | str | None = None, env: dict[str, str] | None = None
    ) -> CommandResult:
        environment = {"NO_COLOR": "1", **(env or {})}
        return fork_server.run_in(tmp_path, command_line(db, words), environment)

    return run


@pytest.fixture
def cli_in_process(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Cli:
    """Return a function that runs a command line as `cli` does, in the test's own process."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, db: Engine | str | None = None) -> CommandResult:
        capsys.readouterr()
        code = main.run(command_line(db, words))
        captured = capsys.readouterr()
        return CommandResult(code, captured.out, captured.err)

    return run


def command_line(db: Engine | str | None, words: tuple[object, ...]) -> list[str]:
    """Return the arguments of the program, with the database in front if there is one."""
    url = databases.url(db) if isinstance(db, Engine) else db
    return [*(["--db", url] if url is not None else []), *map(str, words)]

"""The prepared process, one for each worker and session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests import databases

ROOT = Path(__file__).parents[2]
Words = Sequence[object]


@dataclass(frozen=True)
class CommandResult:
    """How a command line ended: its exit (negative: the signal that killed it) and the points it passed."""

    exit: int
    points: list[str]
    stdout: str
    stderr: str


class ForkServer:
    """Runs command lines in forked children, each against one database."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder = process, folder

    def run(
        self,
        engine: Engine,
        *words: object,
        end_at: int | None = None,
        how: str = "kill",
        through: str | None = None,
        patience: int | None = None,
        fault: str | None = None,
        server: Path | None = None,
    ) -> CommandResult:
        """Run a command line. `end_at` kills the child at that point (from 0); `how` cut: its connections instead, and
        crash: the server whose data lie in `server`.

        through: the URL by which it reaches the database; patience: seconds after which it gives up a silent network;
        fault: the name of a fault planted into the program.
        """
        asked: dict[str, object] = {"how": how, "patience": patience, "fault": fault}
        asked["server"] = str(server)
        return self._ask(databases.url(engine), asked, [words], end_at, through)[0]

    def together(
        self, engine: Engine, commands: Sequence[Words], fault: str | None = None
    ) -> list[CommandResult]:
        """Run command lines at the same time."""
        asked: dict[str, object] = {"how": "kill", "patience": None, "fault": fault}
        return self._ask(databases.url(engine), asked, commands)

    def _ask(
        self,
        url: str,
        asked: dict[str, object],
        commands: Sequence[Words],
        end_at: int | None = None,
        through: str | None = None,
    ) -> list[CommandResult]:
        runs = [
            {"argv": ["--db", through or url, *map(str, words)], "end_at": end_at}
            for words in commands
        ]
        assert self._process.stdin is not None and self._process.stdout is not None
        print(
            json.dumps({"cwd": str(self._folder), "url": url, "runs": runs} | asked),
            file=self._process.stdin,
        )
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        return [
            CommandResult(
                run["status"],
                run["points"],
                *((self._folder / f"{name}{n}").read_text() for name in ("out", "err")),
            )
            for n, run in enumerate(told)
        ]


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Yield the prepared process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.fork_server"],
        cwd=ROOT,
        env={
            **os.environ,
            "POLARS_MAX_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield ForkServer(process, tmp_path_factory.mktemp("fork_server"))
    process.kill()
    process.wait()

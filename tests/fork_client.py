"""Run command lines in children of the fork server (`fork_server.py`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from tests import databases

Words = Sequence[object]
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class CommandResult:
    """How a command line ended.

    exit: its code; negative: the signal that killed it. points: the failpoints that it passed.
    """

    exit: int
    stdout: str
    stderr: str
    points: Sequence[str] = ()


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
        """Run a command line.

        end_at: the failpoint (from 0) at which `how` strikes. kill: the child; cut: its
        connections; crash: the server whose data is in `server`.
        through: the URL by which it reaches the database.
        patience: seconds after which it gives up a silent network.
        fault: the name of a fault planted into the program.
        """
        options = {"how": how, "patience": patience, "fault": fault, "server": str(server)}
        options["url"] = databases.url(engine)
        argv = ["--db", through or databases.url(engine), *map(str, words)]
        return self._request(options, [argv], end_at)[0]

    def together(
        self, engine: Engine, commands: Sequence[Words], fault: str | None = None
    ) -> list[CommandResult]:
        """Run command lines at the same time."""
        url = databases.url(engine)
        return self._request(
            {"url": url, "fault": fault}, [["--db", url, *map(str, words)] for words in commands]
        )

    def run_in(
        self, cwd: Path, argv: Sequence[str], environment: Mapping[str, str]
    ) -> CommandResult:
        """Run any command line in a folder, with these variables added to the environment."""
        variables = {**os.environ, **ONE_THREAD, **environment}
        return self._request({"cwd": str(cwd), "environment": variables}, [argv])[0]

    def _request(
        self,
        options: Mapping[str, object],
        commands: Sequence[Sequence[str]],
        end_at: int | None = None,
    ) -> list[CommandResult]:
        request = {
            "cwd": str(self._folder),
            "output": str(self._folder),
            "environment": {**os.environ, **ONE_THREAD},
            "url": None,
            "how": "kill",
            "patience": None,
            "fault": None,
            "server": None,
            "runs": [{"argv": argv, "end_at": end_at} for argv in commands],
            **options,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return [
            CommandResult(
                exit=run["status"],
                stdout=(self._folder / f"out{number}").read_text(),
                stderr=(self._folder / f"err{number}").read_text(),
                points=run["points"],
            )
            for number, run in enumerate(json.loads(self._process.stdout.readline()))
        ]


@contextmanager
def started(folder: Path) -> Iterator[ForkServer]:
    """Yield a running fork server that keeps the output of its children in `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server"],
        cwd=databases.ROOT,
        env={**os.environ, **ONE_THREAD, "PYTHONDONTWRITEBYTECODE": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield ForkServer(process, folder)
    finally:
        process.kill()
        process.wait()

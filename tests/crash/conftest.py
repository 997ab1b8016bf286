"""The prepared process, one for each worker and session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests import databases

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command line ended: its exit (negative: the signal that killed it) and the points it passed."""

    exit: int
    points: list[str]
    stdout: str
    stderr: str


class Forge:
    """Runs command lines in forked children, each against one database."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder = process, folder

    def run(self, made: Engine, *words: object, end_at: int | None = None, how: str = "kill") -> Ended:
        """Run a command line; `end_at` kills the child at that point (from 0), or cuts its connections if `how`."""
        url = databases.url(made)
        argv = ["--db", url, *map(str, words)]
        asked = {"argv": argv, "cwd": str(self._folder), "end_at": end_at, "how": how, "url": url}
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        told = json.loads(self._process.stdout.readline())
        out, err = ((self._folder / name).read_text() for name in ("out", "err"))
        return Ended(told["status"], told["points"], out, err)


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """Yield the prepared process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.forge"],
        cwd=ROOT,
        env={**os.environ, "POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield Forge(process, tmp_path_factory.mktemp("forge"))
    process.kill()
    process.wait()

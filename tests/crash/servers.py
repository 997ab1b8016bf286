"""A server of a test's own, that may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from dispatchkit.store import connect, intake, migrate
from tests import databases

START = """import os, pathlib, sys
from dispatchkit.store import embedded
print(embedded.start(pathlib.Path(sys.argv[1])), flush=True)
os._exit(0)"""  # no farewell: it would take the server along


@contextmanager
def own_server(folder: Path) -> Iterator[Engine]:
    """Yield an engine on the made-up city in a server of its own, whose data lie in `folder`/postgres."""
    with empty_server(folder) as made:
        migrate.up(made)
        intake.insert(made, databases.sample_frames())
        yield made


@contextmanager
def empty_server(folder: Path) -> Iterator[Engine]:
    """Yield an engine on database `city`, with nothing in it, in a server of its own."""
    try:
        url = restart(folder)
        bare = connect.engine(databases.to_database(url, "postgres"))
        with bare.connect().execution_options(isolation_level="AUTOCOMMIT") as on:
            on.exec_driver_sql("CREATE DATABASE city")
        yield connect.engine(databases.to_database(url, "city"))
    finally:
        if pid := _pid(folder):
            os.kill(pid, signal.SIGINT)
            _wait_for_the_end(pid)


def restart(folder: Path) -> str:
    """Return the URL of the server, started by a process that leaves it running."""
    done = subprocess.run(
        [sys.executable, "-c", START, str(folder)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _pid(folder: Path) -> int | None:
    file = folder / "postgres" / "postmaster.pid"
    return int(file.read_text().splitlines()[0]) if file.exists() else None


def _wait_for_the_end(pid: int) -> None:
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)

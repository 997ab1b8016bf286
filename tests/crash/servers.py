"""Servers that a test owns and may kill, and programs that use one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from dispatchkit.store import connect, embedded, intake, migrate, server_watchdog
from tests import databases

WAIT_S = 60.0  # a bound for a machine under load; what is waited for takes a fraction of a second

# Start the server as a program with its own process would, and print its pid. With a user id, the
# program becomes that user first. It stays until its input is closed.
PROGRAM = """
import encodings.idna, os, pathlib, sys
from dispatchkit.kernel.errors import DispatchError
from dispatchkit.store import embedded, server_watchdog
data, uid = pathlib.Path(sys.argv[1]), int(sys.argv[2])
if uid:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
try:
    embedded.start(data)
except DispatchError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
print(server_watchdog.server_pid((data / "postgres").resolve()), flush=True)
sys.stdin.read()
"""


@contextmanager
def own_server(folder: Path) -> Iterator[Engine]:
    """Yield an engine on the sample city in a server of its own, with its data in
    `folder`/postgres.
    """
    with empty_server(folder) as engine:
        migrate.up(engine)
        intake.insert(engine, databases.sample_frames())
        yield engine


@contextmanager
def empty_server(folder: Path) -> Iterator[Engine]:
    """Yield an engine on the empty database `city` in a server of its own."""
    try:
        url = restart(folder)
        bare = connect.engine(databases.to_database(url, "postgres"))
        with bare.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CREATE DATABASE city")
        yield connect.engine(databases.to_database(url, "city"))
    finally:
        embedded.release(folder)


def restart(folder: Path) -> str:
    """Return the URL of the server in `folder`, started again if it was killed."""
    return embedded.start(folder)


def copy_of_new_server(data: Path) -> Path:
    """Copy the files of a new, stopped server to `data`/postgres; return that folder."""
    data.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(_new_server() / "postgres"), str(data)], check=True)
    return data / "postgres"


@cache
def _new_server() -> Path:
    folder = databases.new_folder()
    embedded.start(folder)
    embedded.release(folder)
    return folder


def program(data: Path, uid: int = 0) -> subprocess.Popen[str]:
    """Start a program that uses the server in `data` until its input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(data), str(uid)],
        cwd=databases.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def server_of(running: subprocess.Popen[str]) -> int:
    """Return the pid of the server that a program uses, as soon as the program is connected."""
    assert running.stdout is not None
    line = running.stdout.readline()
    assert line.strip().isdigit(), running.communicate()
    return int(line)


def finish(running: subprocess.Popen[str]) -> tuple[int, str]:
    """End a program; return its exit code and what it wrote to stderr."""
    _, stderr = running.communicate(timeout=2 * WAIT_S)
    return running.returncode, stderr


def visit(data: Path, uid: int = 0) -> tuple[int, str]:
    """Run a program that uses the server once; return its exit code and what it wrote to stderr."""
    return finish(program(data, uid))


def wait_until(condition: Callable[[], bool]) -> bool:
    """Return whether the condition came true within a generous time."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_stopped(home: Path) -> bool:
    """Return whether no process of the server lives."""
    return server_watchdog.server_pid(home) is None and not server_watchdog.is_locked(
        server_watchdog.server_lock(home)
    )

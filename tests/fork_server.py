"""A process that forks a child for each command line, so that a command costs no imports.

It reads one JSON object a line from stdin: {cwd, output, url, how, patience, fault, server,
environment, runs: [{argv, end_at}]}, and answers each with one line: [{status, points}]. The runs
of one request begin together. A child counts the failpoints that it passes and may end at one.

The program and its libraries are imported, and its commands are built, before the first fork.
Threads do not survive a fork, so nothing may run that starts the threads of polars: an import does
not.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import json
import os
import pkgutil
import signal
import sys
import time
from importlib import import_module
from typing import Any

import adbc_driver_postgresql
import alembic.command
import duckdb
import ortools.constraint_solver.pywrapcp
import psycopg
import pyarrow.parquet
import pydantic.type_adapter
import sqlalchemy.dialects.postgresql.psycopg
import typer.main

import dispatchkit
from dispatchkit.cli import main
from dispatchkit.kernel import failpoints
from dispatchkit.store import connect

LOADED_LATE = (alembic, duckdb, ortools, pyarrow, pydantic, sqlalchemy)  # by the program


def load_program() -> None:
    """Import every module of the program and build its commands."""
    for module in pkgutil.walk_packages(dispatchkit.__path__, "dispatchkit."):
        if ".migrations" not in module.name and not module.name.endswith("__main__"):
            import_module(module.name)
    typer.main.get_command = functools.cache(typer.main.get_command)
    typer.main.get_command(main.app)
    ctypes.CDLL(adbc_driver_postgresql._driver_path())


def serve() -> None:
    """Run the children of one request after another until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        children = [_start(request, number) for number in range(len(request["runs"]))]
        results = []
        for child, pipe in children:
            with os.fdopen(pipe) as file:
                points = file.read().splitlines()
            _, status = os.waitpid(child, 0)
            results.append({"status": os.waitstatus_to_exitcode(status), "points": points})
        print(json.dumps(results), flush=True)


def _start(request: dict[str, Any], number: int) -> tuple[int, int]:
    """Return the process id of a child and the pipe to which it writes its failpoints."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _run(request, number, write)
    os.close(write)
    return child, read


def _run(request: dict[str, Any], number: int, pipe: int) -> None:
    """Become one command of the request; never returns."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, name in ((1, "out"), (2, "err")):
        path = f"{request['output']}/{name}{number}"
        os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), stream)
    os.chdir(request["cwd"])

    if request["patience"]:
        seconds = str(request["patience"])
        connect.NETWORK_LIMITS.update(
            keepalives_idle=seconds,
            keepalives_interval=seconds,
            tcp_user_timeout=f"{seconds}000",
        )
    if request["fault"]:
        from tests.faults import faults  # it imports much, and few children need it

        faults.plant(request["fault"])
    run, passed = request["runs"][number], 0

    def hook(name: str) -> None:
        nonlocal passed
        os.write(pipe, f"{name}\n".encode())
        if passed == run["end_at"]:
            _end(request)
        passed += 1

    failpoints.hook = hook
    code = 1
    try:
        code = main.run(run["argv"])
        atexit._run_exitfuncs()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end(request: dict[str, Any]) -> None:
    """Kill this process, or its server, or cut its connections."""
    if request["how"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if request["how"] == "crash":
        # The server stops at once, without a word to its clients. It is the test's own.
        with open(f"{request['server']}/postmaster.pid") as file:
            server = int(file.readline())
        os.kill(server, signal.SIGQUIT)
        while os.path.exists(f"/proc/{server}/exe"):
            time.sleep(0.01)
        return
    with psycopg.connect(request["url"], autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


if __name__ == "__main__":
    load_program()
    serve()

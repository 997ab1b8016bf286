"""A prepared process that forks a child for each command line. A child counts the points it passes, or ends at one.

Spoken to in lines of JSON: {cwd, url, how, patience, fault, server, runs: [{argv, end_at}]}; answers
[{status, points}]. Runs of one line begin together. The libraries are imported before the first fork, so that a run
costs what it does, not what it loads. Not so our own modules: contracts wake the threads of polars, and threads do not
live through a fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import adbc_driver_postgresql
import alembic.command
import duckdb
import ortools.constraint_solver.pywrapcp
import psycopg
import pyarrow.parquet
import pydantic.type_adapter
import sqlalchemy.dialects.postgresql.psycopg
import typer

LOADED = (
    adbc_driver_postgresql,
    alembic,
    duckdb,
    ortools,
    pyarrow,
    pydantic,
    sqlalchemy,
    typer,
)


def serve() -> None:
    """Run one line's children after another until stdin ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        children = [_start(asked, number) for number in range(len(asked["runs"]))]
        ended = []
        for child, pipe in children:
            with os.fdopen(pipe) as told:
                passed = told.read().splitlines()
            _, status = os.waitpid(child, 0)
            ended.append({"status": os.waitstatus_to_exitcode(status), "points": passed})
        print(json.dumps(ended), flush=True)


def _start(asked: dict[str, Any], number: int) -> tuple[int, int]:
    """Return the process id of a child and the pipe on which it names its points."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _run(asked, number, write)
    os.close(write)
    return child, read


def _run(asked: dict[str, Any], number: int, tell: int) -> None:
    from dispatchkit.cli import main
    from dispatchkit.kernel import failpoints as points
    from dispatchkit.store import connect

    if asked["patience"]:
        span = str(asked["patience"])
        connect.NETWORK_LIMITS.update(
            keepalives_idle=span, keepalives_interval=span, tcp_user_timeout=f"{span}000"
        )
    if asked["fault"]:
        from tests.faults import faults  # it imports much, and few children need it

        faults.plant(asked["fault"])
    run, passed = asked["runs"][number], 0

    def hook(name: str) -> None:
        nonlocal passed
        os.write(tell, f"{name}\n".encode())
        if passed == run["end_at"]:
            _end(asked)
        passed += 1

    os.chdir(asked["cwd"])
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{name}{number}", os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), stream)
    points.hook = hook
    code = 1
    try:
        code = main.run(run["argv"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end(asked: dict[str, Any]) -> None:
    if asked["how"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if (
        asked["how"] == "crash"
    ):  # the server at once, without a word to anybody; it is the test's own
        with open(f"{asked['server']}/postmaster.pid") as file:
            server = int(file.readline())
        os.kill(server, signal.SIGQUIT)
        while os.path.exists(f"/proc/{server}/exe"):
            time.sleep(0.01)
        return
    with psycopg.connect(asked["url"], autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


if __name__ == "__main__":
    serve()

"""A prepared process that forks one child a command line. The child counts the points it passes, or ends at one.

Spoken to in lines of JSON: {argv, cwd, end_at, how, url}; answers {status, points}. The libraries are imported before
the first fork, so that a run costs what it does, not what it loads. Not so our own modules: contracts wake the threads
of polars, and threads do not live through a fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import adbc_driver_postgresql
import alembic.command
import dataframely
import duckdb
import ortools.constraint_solver.pywrapcp
import psycopg
import pyarrow.parquet
import sqlalchemy.dialects.postgresql.psycopg
import typer

LOADED = (adbc_driver_postgresql, alembic, dataframely, duckdb, ortools, pyarrow, sqlalchemy, typer)


def serve() -> None:
    """Run one child after another until stdin ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            _run(asked, write)
        os.close(write)
        with os.fdopen(read) as pipe:
            passed = pipe.read().splitlines()
        _, status = os.waitpid(child, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "points": passed}), flush=True)


def _run(asked: dict[str, Any], tell: int) -> None:
    from dispatchkit.cli import main
    from dispatchkit.kernel import points

    passed = 0

    def hook(name: str) -> None:
        nonlocal passed
        os.write(tell, f"{name}\n".encode())
        if passed == asked["end_at"]:
            _end(asked)
        passed += 1

    os.chdir(asked["cwd"])
    for stream, suffix in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{asked['cwd']}/{suffix}", os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), stream)
    points.hook = hook
    code = 1
    try:
        code = main.run(asked["argv"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end(asked: dict[str, Any]) -> None:
    if asked["how"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    with psycopg.connect(asked["url"], autocommit=True) as on:
        on.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


if __name__ == "__main__":
    serve()

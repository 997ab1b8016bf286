"""Databases for tests: a server for each worker, templates made once on it, a fresh copy for each
test.

Workers share no server: a seal waits for every transaction that is open on its server, whosever it
is.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import psycopg
from sqlalchemy import Engine

from dispatchkit.simulation import Scenario, days, world
from dispatchkit.store import check, connect, embedded, intake, migrate

ROOT = Path(__file__).parent.parent
PLAN = Scenario(orders=300, days=1, seed=1)
NOW = PLAN.as_of
# The first process of a session names its folder here, the other workers inherit the variable.
HOME = "DISPATCHKIT_TEST_HOME"
# Copying a database takes 0.04 s in memory and ten times as long on a disk.
MEMORY, ENOUGH_BYTES = Path("/dev/shm"), 4 * 2**30
PREFIX = "dk-test-"
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
_numbers = count(1)


def begin_session() -> None:
    """Make the session's folder; it is removed at exit, after the server has stopped."""
    if HOME not in os.environ:
        in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES
        if in_memory:
            _remove_abandoned(MEMORY)
        parent = MEMORY if in_memory else None
        os.environ[HOME] = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent)
        atexit.register(shutil.rmtree, os.environ[HOME], ignore_errors=True)
        Path(os.environ[HOME]).chmod(0o755)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of sessions that were killed: their process is gone, their memory is not."""
    for folder in parent.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def new_folder() -> Path:
    """Return a new folder of the session that every user may enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(dir=os.environ[HOME]))
    folder.chmod(0o755)
    return folder


@cache
def server() -> str:
    """Return the URL of this worker's server, database `postgres`; the first caller starts it."""
    home = Path(os.environ[HOME], os.environ.get("PYTEST_XDIST_WORKER", "alone"))
    url = to_database(embedded.start(home), "postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in DURABLE:  # it need not survive a power cut
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("ALTER SYSTEM SET max_wal_size = '128MB'")  # it may lie in memory
        # The transactions of autovacuum would hold back seals.
        connection.execute("ALTER SYSTEM SET autovacuum = off")
        connection.execute("SELECT pg_reload_conf()")
    return url


@cache
def sample_frames() -> Mapping[str, pl.DataFrame]:
    """Return the tables of the small simulated city, live at NOW."""
    return dict(world(PLAN)) | {name: frame for day in days(PLAN) for name, frame in day.items()}


@contextmanager
def fresh(kind: str, *, sound: bool = True) -> Iterator[Engine]:
    """Yield an engine on a new copy of template `empty` or `sample`. If `sound`, every invariant
    must hold at the end.
    """
    template = _template(kind)
    name = f"dk_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        engine = connect.engine(to_database(server(), name))
        yield engine
        if sound:
            assert_sound(engine)
    finally:
        with psycopg.connect(server(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def assert_sound(engine: Engine) -> None:
    """Assert that every invariant holds, unless the schema is not the current one."""
    if migrate.status(engine).current:
        broken = {
            found.name: f"{number} x {found.offender}"
            for found, number in check.offenders(engine)
            if number
        }
        assert not broken, f"the test left a database that breaks its invariants: {broken}"


def url(engine: Engine) -> str:
    """Return what --db takes for an engine."""
    return engine.url.render_as_string(hide_password=False).replace(
        "postgresql+psycopg://", "postgresql://"
    )


def to_database(url: str, name: str) -> str:
    """Return a server's URL with another database in it."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@cache
def _template(kind: str) -> str:
    """Return the name of a migrated template database (`sample`: filled); the first caller makes
    it.
    """
    name = f"dk_{kind}"
    with psycopg.connect(server(), autocommit=True) as connection:
        if not connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", (name,)
        ).fetchone():
            connection.execute(f'CREATE DATABASE "{name}_unfinished"')
            engine = connect.engine(to_database(server(), f"{name}_unfinished"))
            migrate.up(engine)
            if kind == "sample":
                intake.insert(engine, sample_frames())
            connection.execute(f'ALTER DATABASE "{name}_unfinished" RENAME TO "{name}"')
    return name

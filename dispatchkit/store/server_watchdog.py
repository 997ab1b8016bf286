"""Stop the embedded server when its last program has ended, however that program ended.

Every program that uses the server holds a shared lock on one file (see `embedded`). The kernel
drops such a lock with the process, also after SIGKILL. The watchdog waits for the exclusive lock:
it gets it when nobody uses the server any more, and stops the server.

It runs as a script in a process of its own, so it imports nothing but the standard library.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

STOP_LIMIT_S = 60.0


def users_lock(home: Path) -> Path:
    """Return the file on which every program that uses the server in `home` holds a shared lock."""
    return home.parent / ".postgres-users.lock"


def server_lock(home: Path) -> Path:
    """Return the file on which the server's processes hold an exclusive lock as long as they live.

    They inherit it from the program that started them, so it needs no process id: it tells the
    truth after a reboot, and in a container that cannot see the server's processes.
    """
    return home.parent / ".postgres-server.lock"


def try_lock(fd: int, operation: int) -> bool:
    """Return whether the lock could be taken at once."""
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def pid_file(home: Path) -> list[str]:
    """Return the lines of Postgres's pid file: pid, folder, start, port, socket folder, ..., status.

    Empty if there is none. The file may be stale or damaged; nothing in it is true by itself.
    """
    try:
        text = (home / "postmaster.pid").read_text("utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [line.strip() for line in text.splitlines()]


def server_pid(home: Path) -> int | None:
    """Return the process id of the server that runs on `home`, or None.

    A process is that server only if it is called postgres and its command line names `home`. After
    a reboot the number in the pid file may belong to any process, which must not be touched. Its
    start time is not compared with the file's: the two differ once the clock was set.
    """
    lines = pid_file(home)
    if not lines or not lines[0].isascii() or not lines[0].isdigit() or len(lines[0]) > 9:
        return None
    pid = int(lines[0])
    command = _command_line(pid)
    if not command or Path(command[0]).name != "postgres":
        return None
    names_home = any(word.rpartition("=")[2] == str(home) for word in command[1:])
    return pid if names_home else None


def _command_line(pid: int) -> list[str]:
    """Return the words of a process's command line; none if there is no such process."""
    if Path("/proc/self/cmdline").exists():
        with suppress(OSError):
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
        return []
    listed = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.split()


def stop(home: Path) -> bool:
    """Stop the server on `home` and wait until it is gone; return whether it is.

    The caller holds the exclusive lock on `users_lock`, so nobody starts to use it meanwhile.
    """
    deadline = time.monotonic() + STOP_LIMIT_S
    signalled = None
    while time.monotonic() < deadline:
        pid = server_pid(home)
        if pid is None and not is_locked(server_lock(home)):
            return True
        if pid is not None and pid != signalled:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGINT)  # Postgres's fast shutdown
            signalled = pid
        time.sleep(0.02)
    return False


def is_locked(file: Path) -> bool:
    """Return whether somebody holds the exclusive lock on a file."""
    try:
        fd = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


if __name__ == "__main__":
    watched = Path(sys.argv[1])
    fcntl.flock(os.open(users_lock(watched), os.O_RDONLY), fcntl.LOCK_EX)
    stop(watched)

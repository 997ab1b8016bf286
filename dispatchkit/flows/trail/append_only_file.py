"""A text file outside the database, best on another host: lines are only appended, by one run.

A crash may leave an incomplete last line; appending the same line again completes it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dispatchkit.kernel.errors import TryLater
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.kernel.files import open_existing, sync_directory, translate_os_errors


def read(path: Path) -> tuple[list[str], str]:
    """Return the complete lines, and an incomplete last one (empty: there is none).

    Raises InputMissing, NotPermitted.
    """
    with open_existing(path) as file, translate_os_errors(path):
        return _lines(file.read())


@contextmanager
def appending(path: Path, what: str) -> Iterator[AppendOnlyFile]:
    """Yield the file, created if missing and locked.

    what: its name in failpoints. Raises TryLater while another run has it, NotPermitted, IOFailed.
    """
    with translate_os_errors(path):
        fresh = not path.exists()
        mode = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, mode, 0o600)
    try:
        with translate_os_errors(path):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TryLater(f"{path}: another run is appending to it") from None
            if fresh:
                sync_directory(path.parent)
            data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        yield AppendOnlyFile(path, descriptor, what, *_lines(data))
    finally:
        os.close(descriptor)


class AppendOnlyFile:
    """A locked file: its complete `lines`, and the incomplete last one (`torn`) after a crash."""

    def __init__(self, path: Path, descriptor: int, what: str, lines: list[str], torn: str) -> None:
        self.path, self.lines, self.torn = path, lines, torn
        self._descriptor, self._what = descriptor, what

    def fits(self, lines: Sequence[str]) -> bool:
        """Return whether lines can follow: the first must begin with an incomplete last line."""
        return not self.torn or (bool(lines) and lines[0].startswith(self.torn))

    def append(self, lines: Sequence[str]) -> None:
        """Write and sync lines that fit, completing an incomplete last line. Raises IOFailed."""
        text = "".join(f"{line}\n" for line in lines)[len(self.torn) :].encode()
        with translate_os_errors(self.path):
            before = os.fstat(self._descriptor).st_size
            try:
                while text:
                    text = text[os.write(self._descriptor, text) :]
                    failpoint(f"{self._what} written")
                os.fsync(self._descriptor)
            except OSError:
                # On a full disk nothing is kept, so that the next lines fit, whatever they are.
                os.ftruncate(self._descriptor, before)
                raise
        failpoint(f"{self._what} synced")


def _lines(data: bytes) -> tuple[list[str], str]:
    *whole, torn = data.decode("ascii", "replace").split("\n")
    return whole, torn

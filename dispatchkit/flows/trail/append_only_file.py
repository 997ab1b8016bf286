"""A file outside the database, a line a fact: only ever appended to, by one run at a time; it belongs on another host.

A crash may leave the start of a line at its end; the same line, appended again, completes it.
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
    """Return the whole lines, and what stands after the last end of line. Raises InputMissing, NotPermitted."""
    with open_existing(path) as file, translate_os_errors(path):
        return _lines(file.read())


@contextmanager
def appending(path: Path, what: str) -> Iterator[AppendOnlyFile]:
    """Yield the file, made if need be, held against others. Raises TryLater, NotPermitted, IOFailed.

    what: its name in the points that a run passes.
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
    """The file while it is held: the whole lines in it, and the start of one that a crash cut short."""

    def __init__(self, path: Path, descriptor: int, what: str, lines: list[str], torn: str) -> None:
        self.path, self.lines, self.torn = path, lines, torn
        self._descriptor, self._what = descriptor, what

    def fits(self, lines: Sequence[str]) -> bool:
        """Return whether lines may follow what stands there: one cut short has to be the start of the first."""
        return not self.torn or (bool(lines) and lines[0].startswith(self.torn))

    def append(self, lines: Sequence[str]) -> None:
        """Write lines that fit and sync them; one cut short before is completed, not repeated. Raises IOFailed."""
        text = "".join(f"{line}\n" for line in lines)[len(self.torn) :].encode()
        with translate_os_errors(self.path):
            before = os.fstat(self._descriptor).st_size
            try:
                while text:
                    text = text[os.write(self._descriptor, text) :]
                    failpoint(f"{self._what} written")
                os.fsync(self._descriptor)
            except OSError:  # a full disk keeps nothing, so that whatever comes next fits
                os.ftruncate(self._descriptor, before)
                raise
        failpoint(f"{self._what} synced")


def _lines(data: bytes) -> tuple[list[str], str]:
    *whole, torn = data.decode("ascii", "replace").split("\n")
    return whole, torn

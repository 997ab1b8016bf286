"""A file that grows by one line of JSON an event, exactly one for each key, also across crashes.

What a crash left without a mark in the database is found again at the end of the file: no more than `together` lines.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from dispatchkit.senders.message import DELIVERED, Message, Receipt, key_of

BLOCK = 65_536


class FileSender:
    """Appends to one file, which nobody else may write meanwhile."""

    def __init__(self, path: Path, together: int) -> None:
        self.together = together
        self._path = path
        self._file: int | None = None
        self._end = 0  # where the last whole line ends
        self._known: set[str] = set()

    def send(self, message: Message) -> Receipt:
        """Append the message, unless its key stands at the end of the file already."""
        try:
            if self._file is None:
                self._open()
            if message.key not in self._known:
                self._append(message.text().encode() + b"\n")
                self._known.add(message.key)
        except OSError as fault:
            return Receipt("RETRY", os.strerror(fault.errno or 0))
        return DELIVERED

    def flush(self) -> str:
        try:
            if self._file is not None:
                os.fsync(self._file)
        except OSError as fault:
            return os.strerror(fault.errno or 0)
        return ""

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> None:
        """Take the file for ourselves, cut off a line that a crash left unfinished, and learn the last keys."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        opened = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            tail, start = _tail(opened, self.together + 1)
            tail = tail[: tail.rfind(b"\n") + 1]
            self._end = start + len(tail)
            os.ftruncate(opened, self._end)
        except OSError:
            os.close(opened)
            raise
        self._known = {key_of(line) for line in tail.splitlines()}
        self._file = opened

    def _append(self, line: bytes) -> None:
        """Write a whole line or none."""
        assert self._file is not None
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += len(line)


def _tail(opened: int, lines: int) -> tuple[bytes, int]:
    """Return the end of a file with at least so many whole lines in it, or all of it, and where that begins."""
    start, tail = os.fstat(opened).st_size, b""
    while start > 0 and tail.count(b"\n") <= lines:
        size = min(BLOCK, start)
        start -= size
        tail = os.pread(opened, size, start) + tail
    return tail, start

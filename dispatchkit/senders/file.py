"""Appends each event as a line of JSON to a file, exactly once per key, also across crashes.

After a crash, at most `max_unconfirmed` lines are in the file without a mark in the database. They
stand at its end, where their keys are read when the file is handle.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from dispatchkit.senders.message import DELIVERED, Message, Receipt, key_of

BLOCK = 65_536


class FileSender:
    """Appends to one file under an exclusive lock."""

    def __init__(self, path: Path, max_unconfirmed: int) -> None:
        self.max_unconfirmed = max_unconfirmed
        self._path = path
        self._file: int | None = None
        self._end = 0  # where the last whole line ends
        self._last_keys: set[str] = set()

    def send(self, message: Message) -> Receipt:
        """Append the message, unless its key stands at the end of the file already."""
        try:
            if self._file is None:
                self._open()
            if message.key not in self._last_keys:
                self._append(message.text().encode() + b"\n")
                self._last_keys.add(message.key)
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
        """Lock the file, cut off a line that a crash left unfinished, and read the last keys."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            tail, start = _tail(handle, self.max_unconfirmed + 1)
            tail = tail[: tail.rfind(b"\n") + 1]
            self._end = start + len(tail)
            os.ftruncate(handle, self._end)
        except OSError:
            os.close(handle)
            raise
        self._last_keys = {key_of(line) for line in tail.splitlines()}
        self._file = handle

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


def _tail(handle: int, lines: int) -> tuple[bytes, int]:
    """Return the end of a file with at least `lines` whole lines, or all of it, and its offset."""
    start, tail = os.fstat(handle).st_size, b""
    while start > 0 and tail.count(b"\n") <= lines:
        size = min(BLOCK, start)
        start -= size
        tail = os.pread(handle, size, start) + tail
    return tail, start

"""The outside file of seals: one line a seal, only ever appended to, kept where no administrator of the database is.

A line says `epoch number events digest`. Each digest includes the one before, so the last line vouches for all. A line
that the database does not hold, digest for digest, means that the database was turned back or rewritten.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dispatchkit.kernel.errors import BadData, TryLater
from dispatchkit.kernel.points import reached
from dispatchkit.warehouse.files import open_old, ours, sync_directory

SEAL = re.compile(r"\d+ \d+ \d+ [0-9a-f]{64}")


def contradictions(kept: Sequence[str], held: Sequence[str]) -> list[str]:
    """Return the lines of the outside file that the database does not hold, in their order."""
    known = set(held)
    return [line for line in kept if line not in known]


def read(path: Path) -> list[str]:
    """Return the lines of the file. Raises BadData for one that is no seal, InputMissing, NotPermitted."""
    with open_old(path) as file, ours(path):
        return _lines(path, file.read())[0]


@contextmanager
def appending(path: Path) -> Iterator[Anchor]:
    """Yield the file, made if need be, held against others. Raises TryLater, BadData, NotPermitted, IOFailed."""
    with ours(path):
        fresh = not path.exists()
        mode = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, mode, 0o600)
    try:
        with ours(path):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TryLater(f"{path}: another run is appending to it") from None
            if fresh:
                sync_directory(path.parent)
            data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        yield Anchor(path, descriptor, *_lines(path, data))
    finally:
        os.close(descriptor)


class Anchor:
    """The file while it is held: the whole lines in it, and the start of one that a crash cut short."""

    def __init__(self, path: Path, descriptor: int, lines: list[str], torn: str) -> None:
        self.lines, self.torn = lines, torn
        self._path, self._descriptor = path, descriptor

    def missing(self, held: Sequence[str]) -> list[str]:
        """Return the seals that the file lacks: those after its last line. Raises BadData if it contradicts them."""
        wrong = contradictions(self.lines, held)
        if wrong:
            raise BadData(
                f"{self._path}: seal {' '.join(wrong[0].split()[:2])} is not the database's: it was turned back "
                "or rewritten; nothing appended",
                code="DK-AUD-SEAL",
            )
        after = list(held[held.index(self.lines[-1]) + 1 :] if self.lines else held)
        if self.torn and not (after and after[0].startswith(self.torn)):
            raise BadData(f"{self._path}: its last line is no seal of this database", code="DK-AUD-SEAL")
        return after

    def append(self, lines: Sequence[str]) -> None:
        """Write the lines and sync them; a line cut short before is completed, not repeated."""
        text = "".join(f"{line}\n" for line in lines)[len(self.torn) :].encode()
        with ours(self._path):
            while text:
                text = text[os.write(self._descriptor, text) :]
                reached("anchor written")
            os.fsync(self._descriptor)
        reached("anchor synced")


def _lines(path: Path, data: bytes) -> tuple[list[str], str]:
    """Return the whole lines, and what stands after the last end of line."""
    *whole, torn = data.decode("ascii", "replace").split("\n")
    for number, line in enumerate(whole, 1):
        if not SEAL.fullmatch(line):
            told = f"{path}:{number}: not a seal; expected `epoch number events digest`"
            raise BadData(told, code="DK-AUD-SEAL")
    return whole, torn

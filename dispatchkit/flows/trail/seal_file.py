"""The file of seals, one a line, kept where no administrator of the database can write.

A line is `epoch number events digest`. Each digest includes the one before, so the last line
confirms all. A line that the database does not hold means that it was restored or rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dispatchkit.flows.trail import append_only_file
from dispatchkit.flows.trail.append_only_file import AppendOnlyFile
from dispatchkit.kernel.errors import BadData
from dispatchkit.kernel.fault_codes import FileFault

SEAL = re.compile(r"\d+ \d+ \d+ [0-9a-f]{64}")


def contradictions(file_lines: Sequence[str], seal_lines: Sequence[str]) -> list[str]:
    """Return the lines of the file that the database does not hold, in their order."""
    known = set(seal_lines)
    return [line for line in file_lines if line not in known]


def read(path: Path) -> list[str]:
    """Return the lines. Raises BadData for one that is no seal, InputMissing, NotPermitted."""
    return _seals(path, append_only_file.read(path)[0])


@contextmanager
def appending(path: Path) -> Iterator[AppendOnlyFile]:
    """Yield the locked file. Raises TryLater, BadData, NotPermitted, IOFailed."""
    with append_only_file.appending(path, "anchor") as file:
        _seals(path, file.lines)
        yield file


def missing(file: AppendOnlyFile, seal_lines: Sequence[str]) -> list[str]:
    """Return the seals after the file's last line. Raises BadData if the file contradicts them."""
    wrong = contradictions(file.lines, seal_lines)
    if wrong:
        raise BadData(
            f"{file.path}: seal {' '.join(wrong[0].split()[:2])} is not the database's: "
            "it was turned back or rewritten; nothing appended",
            code=FileFault.SEAL,
        )
    after = list(seal_lines[seal_lines.index(file.lines[-1]) + 1 :] if file.lines else seal_lines)
    if not file.fits(after):
        raise BadData(
            f"{file.path}: its last line is no seal of this database", code=FileFault.SEAL
        )
    return after


def _seals(path: Path, lines: list[str]) -> list[str]:
    """Return the lines, each of them a seal."""
    for number, line in enumerate(lines, 1):
        if not SEAL.fullmatch(line):
            message = f"{path}:{number}: not a seal; expected `epoch number events digest`"
            raise BadData(message, code=FileFault.SEAL)
    return lines

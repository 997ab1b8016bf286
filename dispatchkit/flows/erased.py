"""The outside file of who was erased, a line a person, by id only: a restored backup does not know them all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from dispatchkit.kernel.errors import BadData, Usage
from dispatchkit.store.privacy import WHERE, Person
from dispatchkit.warehouse.files import open_old, ours, sync_directory


def person(told: str) -> Person:
    """Return the person that `customer:ID` or `driver:ID` names. Raises Usage."""
    kind, _, id_ = told.partition(":")
    if kind not in WHERE or not id_.isascii() or not id_.isdigit() or not 0 < int(id_) < 2**63:
        raise Usage(f"{told!r} names nobody; expected customer:ID or driver:ID")
    return kind, int(id_)


def read(path: Path) -> list[Person]:
    """Return everybody in the file. Raises BadData for a line that names nobody or is cut short, InputMissing."""
    with open_old(path) as file, ours(path):
        *lines, rest = file.read().decode("ascii", "replace").split("\n")
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(person(line))
        except Usage as fault:
            raise BadData(f"{path}:{number}: {fault}") from None
    if rest:  # half an id would name somebody else
        raise BadData(f"{path}:{len(lines) + 1}: cut short, it has no end of line; complete it or take it out")
    return found


def append(path: Path, people: Iterable[Person]) -> None:
    """Add people to the file, made if need be, all of them or none. Raises BadData, NotPermitted, IOFailed."""
    if path.exists():
        read(path)  # nothing goes behind a line that is cut short
    text = "".join(f"{kind}:{id_}\n" for kind, id_ in people).encode()
    with ours(path):
        mode = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(path, mode, 0o600)
        try:
            before = os.fstat(file).st_size
            if os.write(file, text) < len(text):
                os.ftruncate(file, before)
                raise OSError(errno.ENOSPC, "")
            os.fsync(file)
        finally:
            os.close(file)
    sync_directory(path.parent)

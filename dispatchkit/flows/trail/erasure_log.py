"""The file of erased persons, one id a line, kept outside the database.

A restored backup does not know who was erased after it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dispatchkit.flows.trail import append_only_file
from dispatchkit.kernel.errors import BadData, Usage
from dispatchkit.store.privacy import WHERE, Person


def person(text: str) -> Person:
    """Return the person that `customer:ID` or `driver:ID` names. Raises Usage."""
    kind, _, id_ = text.partition(":")
    if kind not in WHERE or not id_.isascii() or not id_.isdigit() or not 0 < int(id_) < 2**63:
        raise Usage(f"{text!r} names nobody; expected customer:ID or driver:ID")
    return kind, int(id_)


def read(path: Path) -> list[Person]:
    """Return everybody in the file.

    Raises BadData for a line that names nobody or is cut short, InputMissing.
    """
    lines, torn = append_only_file.read(path)
    people = _people(path, lines)
    if torn:  # half of an id is the id of somebody else
        raise _cut_short(path, lines)
    return people


def append(path: Path, people: Iterable[Person]) -> None:
    """Add people whom the file does not name yet, all or none; create the file if missing.

    Raises TryLater while another run appends, BadData, NotPermitted, IOFailed.
    """
    with append_only_file.appending(path, "journal") as file:
        logged = set(_people(path, file.lines))
        lines = [
            f"{kind}:{id_}" for kind, id_ in dict.fromkeys(people) if (kind, id_) not in logged
        ]
        if not file.fits(lines) or (_names(file.torn) and file.torn != lines[0]):
            # To complete the line could remove a person whom it names now.
            raise _cut_short(path, file.lines)
        file.append(lines)


def _people(path: Path, lines: Sequence[str]) -> list[Person]:
    people = []
    for number, line in enumerate(lines, 1):
        try:
            people.append(person(line))
        except Usage as fault:
            raise BadData(f"{path}:{number}: {fault}") from None
    return people


def _names(text: str) -> bool:
    """Return whether an incomplete line is a valid id."""
    try:
        return bool(person(text))
    except Usage:
        return False


def _cut_short(path: Path, lines: Sequence[str]) -> BadData:
    return BadData(
        f"{path}:{len(lines) + 1}: cut short, it has no end of line; complete it or take it out"
    )

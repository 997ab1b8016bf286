"""A vocabulary whose members say what they mean, so that reference pages are printed from the code."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class DocumentedEnum(StrEnum):
    """Base of every vocabulary: `OPEN = "OPEN", "nobody has dealt with it yet"`.

    A member is the text itself (it compares, hashes and prints as its value); `meaning` is the
    sentence that the reference pages show.
    """

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

"""Strict CSV: every field as text, every record with every field, and one clear line for what is not so.

CSV readers guess: they take a file that is cut inside a line for a shorter one, and `1.5` for an id. Here a file
is UTF-8 (or the one encoding a mapping names), one header, one delimiter, one kind of line end.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from dispatchkit.kernel.errors import BadData, shown
from dispatchkit.kernel.files import open_existing, translate_os_errors
from dispatchkit.warehouse.contracts import ROW

ENCODINGS = ("utf-8", "latin-1", "cp1252", "utf-16")
_MOST_BYTES = 2 << 30
_MOST_COLUMNS = 1_000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


def read_text(path: Path, *, encoding: str = "utf-8") -> str:
    """Return the whole text of a file. Raises BadData for packed, oversized, wrongly encoded or binary input."""
    with open_existing(path) as file, translate_os_errors(path):
        data = file.read(_MOST_BYTES + 1)
    if data.startswith(_PACKED):
        raise BadData(f"{path.name}: compressed input refused; unpack it first", code="DK-IN-044")
    if len(data) > _MOST_BYTES:
        raise BadData(
            f"{path.name}: larger than {_MOST_BYTES >> 30} GiB; split it", code="DK-IN-044"
        )
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BadData(
            f"{path.name}: not {encoding.upper()} at byte {error.start}", code="DK-IN-023"
        ) from error
    if found := _CONTROL.search(text):
        at = len(text[: found.start()].encode(encoding, "replace"))
        raise BadData(f"{path.name}: control character at byte {at}", code="DK-IN-024")
    return text


def read_csv(
    path: Path, *, delimiter: str = ",", encoding: str = "utf-8"
) -> tuple[list[str], pl.DataFrame]:
    """Return (header, rows): all columns text, the empty field null, `row_number` from 1.

    Raises BadData naming the line: fields missing, a quote left open, mixed line ends, a column twice.
    """
    records = _records(path.name, read_text(path, encoding=encoding), delimiter)
    header = next(records, None)
    if header is None:
        raise BadData(f"{path.name}: empty file, a header was expected", code="DK-IN-004")
    if len(header) > _MOST_COLUMNS:
        raise BadData(
            f"{path.name}: too many columns ({len(header)}, limit {_MOST_COLUMNS})",
            code="DK-IN-043",
        )
    for name in header:
        if header.count(name) > 1:
            raise BadData(f"{path.name}: column {shown(name)} is there twice", code="DK-IN-028")
    columns = list(zip(*records, strict=True)) or [()] * len(header)
    frame = pl.DataFrame(
        {
            name: pl.Series(values, dtype=pl.String)
            for name, values in zip(header, columns, strict=True)
        }
    )
    nulled = frame.with_columns(pl.when(pl.all() == "").then(None).otherwise(pl.all()).name.keep())
    return header, nulled.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW))


class _Lines:
    """Physical lines, remembering how the last one ended, so that a record's end can be judged."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="\n")
        self.end = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.end = "\r\n" if line.endswith("\r\n") else "\n" if line.endswith("\n") else ""
            yield line


def _records(name: str, text: str, delimiter: str) -> Iterator[list[str]]:
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width, end = 0, ""
    try:
        for record in reader:
            width, end = width or len(record), end or lines.end
            if lines.end not in (end, ""):
                raise BadData(
                    f"{name}: line {reader.line_num}: line ends differ from the first line's",
                    code="DK-IN-025",
                )
            if len(record) != width:
                fact = f"line {reader.line_num}: {len(record)} of {width} fields"
                raise BadData(f"{name}: {fact}", code="DK-IN-021")
            yield record
    except csv.Error as error:
        if "field limit" in str(error):
            raise BadData(
                f"{name}: line {reader.line_num}: field too long", code="DK-IN-043"
            ) from error
        fact = (
            "unterminated quote" if "unexpected end" in str(error) else f"not CSV: {shown(error)}"
        )
        raise BadData(f"{name}: line {reader.line_num}: {fact}", code="DK-IN-022") from error

"""Strict CSV: every field as text, every line with every field, and one clear error otherwise.

Usual CSV readers guess: a file that is cut inside a line becomes a shorter file, and `1.5` becomes
an id. Here a file has one encoding (UTF-8 or the one of a mapping), one header, one delimiter, one
kind of line end.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from dispatchkit.kernel.errors import BadData, shown
from dispatchkit.kernel.fault_codes import FileFault
from dispatchkit.kernel.files import open_existing, translate_os_errors
from dispatchkit.warehouse.quarantine import ROW

ENCODINGS = ("utf-8", "latin-1", "cp1252", "utf-16")
_MAX_BYTES = 2 << 30
_MAX_COLUMNS = 1_000
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_COMPRESSED = (  # first bytes of gzip, zip, bzip2, xz, zstd
    b"\x1f\x8b",
    b"PK\x03\x04",
    b"BZh",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
)


def read_csv(
    path: Path, *, delimiter: str = ",", encoding: str = "utf-8"
) -> tuple[list[str], pl.DataFrame]:
    """Return (header, rows): all columns text, an empty field null, `row_number` from 1.

    Raises BadData naming the line: missing fields, open quote, mixed line ends, repeated column.
    """
    lines = _csv_lines(path.name, _read_text(path, encoding), delimiter)
    header = next(lines, None)
    if header is None:
        raise BadData(f"{path.name}: empty file, a header was expected", code=FileFault.EMPTY)
    if len(header) > _MAX_COLUMNS:
        raise BadData(
            f"{path.name}: too many columns ({len(header)}, limit {_MAX_COLUMNS})",
            code=FileFault.TOO_WIDE,
        )
    for name in header:
        if header.count(name) > 1:
            raise BadData(
                f"{path.name}: column {shown(name)} is there twice", code=FileFault.COLUMN_TWICE
            )

    columns = list(zip(*lines, strict=True)) or [()] * len(header)
    frame = pl.DataFrame(
        {
            name: pl.Series(values, dtype=pl.String)
            for name, values in zip(header, columns, strict=True)
        }
    )
    nulled = frame.with_columns(pl.when(pl.all() == "").then(None).otherwise(pl.all()).name.keep())
    return header, nulled.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW))


def _read_text(path: Path, encoding: str) -> str:
    """Return the whole text of a file.

    Raises BadData for packed, oversized, wrongly encoded or binary files.
    """
    with open_existing(path) as file, translate_os_errors(path):
        data = file.read(_MAX_BYTES + 1)
    if data.startswith(_COMPRESSED):
        raise BadData(
            f"{path.name}: compressed input refused; unpack it first", code=FileFault.TOO_LARGE
        )
    if len(data) > _MAX_BYTES:
        raise BadData(
            f"{path.name}: larger than {_MAX_BYTES >> 30} GiB; split it", code=FileFault.TOO_LARGE
        )
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BadData(
            f"{path.name}: not {encoding.upper()} at byte {error.start}", code=FileFault.ENCODING
        ) from error
    if match := _CONTROL_CHARACTER.search(text):
        at = len(text[: match.start()].encode(encoding, "replace"))
        raise BadData(
            f"{path.name}: control character at byte {at}", code=FileFault.CONTROL_CHARACTER
        )
    return text


class _PhysicalLines:
    """Lines of a text; `end` is the line end of the last one, which the csv module hides."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="\n")
        self.end = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.end = "\r\n" if line.endswith("\r\n") else "\n" if line.endswith("\n") else ""
            yield line


def _csv_lines(name: str, text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the fields of each line, header first; all lines have the same width and line end."""
    lines = _PhysicalLines(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    width, line_end = 0, ""
    try:
        for fields in reader:
            width, line_end = width or len(fields), line_end or lines.end
            if lines.end not in (line_end, ""):  # the last line may lack one
                raise BadData(
                    f"{name}: line {reader.line_num}: line ends differ from the first line's",
                    code=FileFault.OTHER_DIALECT,
                )
            if len(fields) != width:
                raise BadData(
                    f"{name}: line {reader.line_num}: {len(fields)} of {width} fields",
                    code=FileFault.UNEVEN_LINE,
                )
            yield fields
    except csv.Error as error:
        line = f"{name}: line {reader.line_num}"
        if "field limit" in str(error):
            raise BadData(f"{line}: field too long", code=FileFault.TOO_WIDE) from error
        fault = f"not CSV: {shown(error)}"
        if "unexpected end" in str(error):
            fault = "unterminated quote"
        raise BadData(f"{line}: {fault}", code=FileFault.NOT_CSV) from error

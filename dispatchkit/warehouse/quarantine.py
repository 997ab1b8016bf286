"""Quarantine: rows that are kept out of the tables, one line per row with the reason.

A line names file, row, column, code and reason. `row` counts data rows from 1; the header is not
counted. Values are quoted in a reason only where they cannot hold a name, a free text or a
position.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import polars as pl

from dispatchkit.kernel.errors import BadData, shown
from dispatchkit.kernel.fault_codes import FileFault

ROW = "row_number"  # extra column of checked frames: the number of the data row in its file
MAX_QUARANTINE = 0.01  # share of a file's rows that may be quarantined
_ALWAYS_ALLOWED = 10  # bad rows; a small file is not refused for a few of them
QUARANTINE = pl.Schema(
    {
        "file": pl.String(),
        "row": pl.Int64(),
        "column": pl.String(),
        "code": pl.String(),
        "reason": pl.String(),
    }
)


def empty_quarantine() -> pl.DataFrame:
    """Return a quarantine without lines."""
    return pl.DataFrame(schema=QUARANTINE)


def quarantine_lines(
    file: str, rows: pl.DataFrame, column: str, code: str, reason: str, *, quote: bool
) -> pl.DataFrame:
    """Return one quarantine line per row, all for one reason.

    rows: with `row_number` and, if its value is to be quoted, `column`.
    """
    reasons = [reason] * len(rows)
    if quote and column in rows.columns:
        values = rows.get_column(column).to_list()
        reasons = [
            f"{'no value' if value is None else repr(shown(value))} {reason}" for value in values
        ]
    return pl.DataFrame(
        {
            "file": [file] * len(rows),
            "row": rows.get_column(ROW),
            "column": [column] * len(rows),
            "code": [str(code)] * len(rows),
            "reason": reasons,
        },
        schema=QUARANTINE,
    )


def first_fault_per_row(faults: Iterable[pl.DataFrame], row: str = "row") -> pl.DataFrame:
    """Return one fault per row, the first in the given order; `row` names the row number column."""
    ordered = pl.concat(faults).sort(row, maintain_order=True)
    return ordered.unique(row, keep="first", maintain_order=True)


def require_few(file: str, bad: int, rows: int, max_share: float) -> None:
    """Raise BadData when more than `max_share` of the rows are bad, and more than 10."""
    limit = max(_ALWAYS_ALLOWED, int(rows * max_share))
    if bad > limit:
        raise BadData(
            f"{file}: {bad} of {rows} rows bad, limit {limit}: a bad file, nothing kept",
            code=FileFault.TOO_MANY_BAD_ROWS,
        )


def quarantine_csv(quarantine: pl.DataFrame) -> bytes:
    """Return the lines as CSV; a cell that a spreadsheet would run gets a leading quote."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(quarantine.columns)
    for row in quarantine.iter_rows():
        writer.writerow([_disarmed(cell) for cell in row])
    return out.getvalue().encode()


def _disarmed(cell: object) -> object:
    formula = isinstance(cell, str) and cell.startswith(tuple("=+-@\t\r\n"))
    return f"'{cell}" if formula else cell

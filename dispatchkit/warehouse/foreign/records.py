"""Lines of foreign files become records: duplicates are dropped, lines of one order folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dispatchkit.kernel.errors import BadData, shown
from dispatchkit.kernel.fault_codes import FileFault, RowFault
from dispatchkit.warehouse.foreign.mapping import Mapping, Sum
from dispatchkit.warehouse.quarantine import QUARANTINE, ROW
from dispatchkit.warehouse.strict_csv import read_csv

# Columns of records beside those of the file. Their blanks make it unlikely that a header has them.
FILE, LINES, FAULT = "file name", "lines of record", "fault of record"
_COUNT = "^(0|[1-9][0-9]{0,8})$"


@dataclass(frozen=True, slots=True)
class Records:
    """Records as text, and quarantine lines of those that could not be folded.

    `lines` read = `duplicates` + the lines of good records + `bad_lines`.
    """

    rows: (
        pl.DataFrame
    )  # one per record, the file's columns as text; sums are integers under `sum NAME`
    quarantine: pl.DataFrame
    bad_lines: int
    lines: int
    duplicates: int
    warnings: list[str]


def read_records(paths: Sequence[Path], mapping: Mapping, *, strict: bool = False) -> Records:
    """Return the records of one or more files of one kind.

    Raises BadData for a bad file (see `strict_csv`).
    """
    frames, warnings = [], []
    for path in paths:
        header, text = read_csv(path, delimiter=mapping.delimiter, encoding=mapping.encoding)
        warnings += _check_header(path.name, header, mapping, strict=strict)
        frames.append(text.select(pl.lit(path.name).alias(FILE), ROW, *mapping.columns))
    text = pl.concat(frames)
    if mapping.missing:
        columns = pl.col(mapping.columns)
        no_value = columns.is_in(list(mapping.missing))
        text = text.with_columns(pl.when(no_value).then(None).otherwise(columns).name.keep())

    distinct = text.unique(list(mapping.columns), keep="first", maintain_order=True)
    folded = _fold(distinct, mapping)
    good = folded.filter(pl.col(FAULT).is_null())
    bad = folded.filter(pl.col(FAULT).is_not_null())
    return Records(
        rows=good.drop(FAULT),
        quarantine=_quarantine(bad),
        bad_lines=int(bad.get_column(LINES).sum()),
        lines=len(text),
        duplicates=len(text) - len(distinct),
        warnings=warnings,
    )


def _check_header(file: str, header: list[str], mapping: Mapping, *, strict: bool) -> list[str]:
    """Return a warning per unknown column.

    Raises BadData for missing columns; under `strict` for unknown ones.
    """
    missing = [name for name in mapping.columns if name not in header]
    if missing and len(missing) == len(mapping.columns):
        raise BadData(
            f"{file}: unexpected header, none of the mapping's columns; other delimiter?",
            code=FileFault.OTHER_DIALECT,
        )
    if missing:
        raise BadData(f"{file}: missing column {missing[0]}", code=FileFault.WRONG_COLUMNS)

    unknown = [name for name in header if name not in mapping.columns]
    warnings = [f"{file}: unknown column {shown(name)}" for name in unknown]
    if warnings and strict:
        raise BadData(warnings[0], code=FileFault.UNKNOWN_COLUMN)
    return warnings


def _fold(text: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Return one row per record.

    FAULT is null or `reason<tab>column`: a column in which the lines of the record differ, a value
    to be summed that is no count, or a missing value of the columns by which lines are grouped.
    """
    sources = [source for table in mapping.sources().values() for source in table.values()]
    sums = sorted({source.sum for source in sources if isinstance(source, Sum)})
    reads = sorted({name for source in sources for name in source.reads} - set(mapping.group))
    group = list(mapping.group) or [FILE, ROW]
    counts = {name: pl.when(pl.col(name).str.contains(_COUNT)).then(pl.col(name)) for name in sums}

    faults = [
        *(_fault(pl.n_unique(name) > 1, "lines of one record differ", name) for name in reads),
        *(
            _fault((count.is_null() & pl.col(name).is_not_null()).any(), "is not a count", name)
            for name, count in counts.items()
        ),
        *(_fault(pl.first(name).is_null(), "is required", name) for name in mapping.group),
        pl.lit(None, pl.String),
    ]
    folded = text.group_by(group, maintain_order=True).agg(
        *(pl.first(name) for name in (FILE, ROW) if name not in group),
        pl.len().alias(LINES),
        *(pl.first(name) for name in reads),
        *(count.cast(pl.Int64).sum().alias(f"sum {name}") for name, count in counts.items()),
        pl.concat_list(*faults).list.drop_nulls().list.first().alias(FAULT),
    )
    return folded.sort(FILE, ROW)


def _fault(is_bad: pl.Expr, reason: str, column: str) -> pl.Expr:
    return pl.when(is_bad).then(pl.lit(f"{reason}\t{column}"))


def _quarantine(bad: pl.DataFrame) -> pl.DataFrame:
    """Return a quarantine line for each record that could not be folded."""
    fault = pl.col(FAULT).str.splitn("\t", 2)
    return bad.select(
        pl.col(FILE).alias("file"),
        pl.col(ROW).alias("row"),
        fault.struct.field("field_1").alias("column"),
        pl.lit(RowFault.NOT_A_WHOLE_NUMBER).alias("code"),
        fault.struct.field("field_0").alias("reason"),
    ).cast(QUARANTINE)

"""Lines of foreign files folded into records: exact duplicates dropped, the lines of one order made one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from dispatchkit.kernel.errors import BadData, shown
from dispatchkit.warehouse.contracts import NOT_WHOLE, QUARANTINE, ROW
from dispatchkit.warehouse.csvtext import read_csv
from dispatchkit.warehouse.mapping import Mapping, Sum

FILE, LINES, FAULT = (
    "file name",
    "lines of record",
    "fault of record",
)  # with blanks: no header is likely to have them


@dataclass(frozen=True, slots=True)
class Records:
    """One row an order, text as it came; sums are whole numbers under `sum NAME`. `bad` lines are quarantined.

    `lines` read = `duplicates` + the lines of good and bad records.
    """

    rows: pl.DataFrame
    bad: pl.DataFrame
    bad_lines: int
    lines: int
    duplicates: int
    warnings: list[str]


def read_records(paths: Sequence[Path], mapping: Mapping, *, strict: bool = False) -> Records:
    """Return the records of one or more files of one kind. Raises BadData for a bad file (see `csvtext`)."""
    frames, warnings = [], []
    for path in paths:
        header, text = read_csv(path, delimiter=mapping.delimiter, encoding=mapping.encoding)
        warnings += _header(path.name, header, mapping, strict=strict)
        frames.append(text.select(pl.lit(path.name).alias(FILE), ROW, *mapping.columns))
    text = pl.concat(frames)
    if mapping.missing:
        columns = pl.col(mapping.columns)
        text = text.with_columns(
            pl.when(columns.is_in(list(mapping.missing))).then(None).otherwise(columns).name.keep()
        )
    once = text.unique(list(mapping.columns), keep="first", maintain_order=True)
    rows = _fold(once, mapping)
    good, bad = rows.filter(pl.col(FAULT).is_null()), rows.filter(pl.col(FAULT).is_not_null())
    return Records(
        rows=good.drop(FAULT),
        bad=_lines_of(bad, mapping),
        bad_lines=int(bad.get_column(LINES).sum()),
        lines=len(text),
        duplicates=len(text) - len(once),
        warnings=warnings,
    )


def _header(file: str, header: list[str], mapping: Mapping, *, strict: bool) -> list[str]:
    missing = [name for name in mapping.columns if name not in header]
    extra = [name for name in header if name not in mapping.columns]
    if missing and len(missing) == len(mapping.columns):
        raise BadData(
            f"{file}: unexpected header, none of the mapping's columns; other delimiter?",
            code="DK-IN-025",
        )
    if missing:
        raise BadData(f"{file}: missing column {missing[0]}", code="DK-IN-026")
    said = [f"{file}: unknown column {shown(name)}" for name in extra]
    if said and strict:
        raise BadData(said[0], code="DK-IN-027")
    return said


def _fold(text: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Return one row a record with `fault of record`: a column in which its lines disagree, or a sum that is none."""
    sources = [source for table in mapping.sources().values() for source in table.values()]
    sums = sorted({source.sum for source in sources if isinstance(source, Sum)})
    reads = sorted({name for source in sources for name in source.reads} - set(mapping.group))
    group = list(mapping.group) or [FILE, ROW]
    whole = {
        name: pl.when(pl.col(name).str.contains("^(0|[1-9][0-9]{0,8})$")).then(pl.col(name))
        for name in sums
    }
    folded = text.group_by(group, maintain_order=True).agg(
        *(pl.first(name) for name in (FILE, ROW) if name not in group),
        pl.len().alias(LINES),
        *(pl.first(name) for name in reads),
        *(value.cast(pl.Int64).sum().alias(f"sum {name}") for name, value in whole.items()),
        pl.concat_list(
            *(
                pl.when(pl.n_unique(name) > 1).then(pl.lit(f"lines of one record differ\t{name}"))
                for name in reads
            ),
            *(
                pl.when((value.is_null() & pl.col(name).is_not_null()).any()).then(
                    pl.lit(f"is not a count\t{name}")
                )
                for name, value in whole.items()
            ),
            *(
                pl.when(pl.first(name).is_null()).then(pl.lit(f"is required\t{name}"))
                for name in mapping.group
            ),
            pl.lit(None, pl.String),
        )
        .list.drop_nulls()
        .list.first()
        .alias(FAULT),
    )
    return folded.sort(FILE, ROW)


def _lines_of(bad: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Return quarantine lines for records that could not be folded."""
    said = pl.col(FAULT).str.splitn("\t", 2)
    return bad.select(
        pl.col(FILE).alias("file"),
        pl.col(ROW).alias("row"),
        said.struct.field("field_1").alias("column"),
        pl.lit(NOT_WHOLE).alias("code"),
        said.struct.field("field_0").alias("reason"),
    ).cast(QUARANTINE)

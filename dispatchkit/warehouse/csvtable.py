"""Our own tables as CSV: columns matched by header name, every field read as text and held to its type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadData
from dispatchkit.warehouse.contracts import ROW, harmless, nothing, quarantined
from dispatchkit.warehouse.csvtext import read_csv
from dispatchkit.warehouse.manifest import FileFacts
from dispatchkit.warehouse.parse import parse


class CsvTable:
    """One table's CSV file; `bad` holds what could not be read as its type. Raises BadData for a bad file."""

    def __init__(self, path: Path, facts: FileFacts) -> None:
        self.facts = facts
        self._header, text = read_csv(path)
        for name in TABLES[facts.table].column_names():
            if name not in self._header:
                raise BadData(f"{facts.name}: missing column {name}", code="DK-IN-026")
        if len(text) != facts.rows:
            raise BadData(
                f"{facts.name}: {len(text)} rows, manifest says {facts.rows}", code="DK-IN-009"
            )
        self._rows, self.bad = typed(facts.table, facts.name, text)

    def unknown_columns(self) -> list[str]:
        """Return columns that the contract does not have."""
        return sorted(set(self._header) - set(TABLES[self.facts.table].column_names()))

    def ids(self) -> pl.Series:
        """Return the ids of the rows that could be read; rows that could not have none and come first to quarantine."""
        return self._rows.get_column("id")

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield all readable rows at once, numbered as in the file."""
        yield self._rows


def typed(table: str, file: str, text: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (typed rows, quarantine) of rows of text; a row's first unreadable field is named."""
    found = [nothing()]
    values = {}
    for name in TABLES[table].column_names():
        parsed = parse(table, name, pl.col(name))
        values[name] = parsed.value
        bad = text.filter(pl.col(name).is_not_null() & parsed.value.is_null()).with_columns(
            parsed.code.alias("code"), parsed.fact.alias("fact")
        )
        for (code, fact), rows in bad.group_by("code", "fact", maintain_order=True):
            found.append(
                quarantined(file, rows, name, str(code), str(fact), quote=harmless(table, name))
            )
    faults = (
        pl.concat(found)
        .sort("row", maintain_order=True)
        .unique("row", keep="first", maintain_order=True)
    )
    readable = text.join(faults, left_on=ROW, right_on="row", how="anti", maintain_order="left")
    return readable.select(ROW, **values), faults

"""Checks between rows, in SQL over the loaded tables: orphans, overlapping duties, two accepts of one episode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import polars as pl

from dispatchkit.domain.tables import TABLES, refs
from dispatchkit.kernel.errors import BadData
from dispatchkit.kernel.sql import parse
from dispatchkit.warehouse.contracts import EMPTY_INTERVAL, ORPHAN, ROW, nothing, quarantined

NAMED = 5
_SQL = parse(Path(__file__).with_name("relations.sql").read_text("utf-8"))


def retire(
    con: duckdb.DuckDBPyConnection, files: Mapping[str, str], ids: Mapping[str, pl.Series]
) -> pl.DataFrame:
    """Take out rows that contradict others and return their quarantine lines.

    files: table -> file name; ids: table -> id column in file order, from which row numbers are told.
    Raises BadData when an episode has two accepted offers: no one can tell which of them was true.
    """
    found = [nothing()]
    for table in TABLES:
        for column, parent in refs(TABLES[table]).items():
            query = _SQL["orphans"].format(table=table, parent=parent, column=column)
            fact = f"points to a row of {parent} that is not there"
            while len(lost := _remove(con, table, query)):
                found.append(
                    quarantined(
                        files[table], _rows(ids[table], lost), column, ORPHAN, fact, quote=False
                    )
                )
                if parent != table:
                    break
        if table == "driver_availability_history" and len(
            lost := _remove(con, table, _SQL["overlaps"])
        ):
            rows = _rows(ids[table], lost)
            fact = "intervals overlap: begins before an earlier one of this driver ends"
            found.append(
                quarantined(files[table], rows, "since", EMPTY_INTERVAL, fact, quote=False)
            )
    twice = con.execute(_SQL["two_accepted"]).fetchone()
    if twice:
        text = (
            f"delivery {twice[0]} episode {twice[1]} has two accepted offers: the source breaks I1"
        )
        raise BadData(f"{files.get('driver_offers', 'driver_offers')}: {text}", code="DK-IN-042")
    return pl.concat(found)


def gaps(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return a warning naming drivers whose duties leave time untold; no row is at fault, so none is set aside."""
    found = con.sql(_SQL["gaps"]).fetchall()
    if not found:
        return []
    drivers = ", ".join(str(driver) for driver, _, _ in found[:NAMED]) + (
        ", ..." if len(found) > NAMED else ""
    )
    number, hours = sum(n for _, n, _ in found), sum(h for _, _, h in found)
    return [
        f"driver_availability_history: {number} gaps, {hours:.1f} h not told, in the duties of drivers {drivers}"
    ]


def _remove(con: duckdb.DuckDBPyConnection, table: str, query: str) -> pl.Series:
    lost = con.sql(query).pl().get_column("id")
    if len(lost):
        con.register("lost", lost.to_frame())
        con.execute(_SQL["remove"].format(table=table))
        con.unregister("lost")
    return lost


def _rows(ids: pl.Series, lost: pl.Series) -> pl.DataFrame:
    numbered = ids.to_frame().with_row_index(ROW, offset=1).with_columns(pl.col(ROW).cast(pl.Int64))
    return numbered.filter(pl.col("id").is_in(lost.implode())).unique(
        "id", keep="first", maintain_order=True
    )

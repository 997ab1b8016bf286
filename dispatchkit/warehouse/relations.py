"""Checks between rows, in SQL: orphans, overlapping duties, two accepted offers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import polars as pl

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadData
from dispatchkit.kernel.fault_codes import FileFault, RowFault
from dispatchkit.kernel.sql import parse
from dispatchkit.warehouse.quarantine import ROW, empty_quarantine, quarantine_lines

_DRIVERS_IN_WARNING = 5
_SQL = parse(Path(__file__).with_name("relations.sql").read_text("utf-8"))


def remove_contradictions(
    con: duckdb.DuckDBPyConnection, files: Mapping[str, str], ids: Mapping[str, pl.Series]
) -> pl.DataFrame:
    """Delete rows that contradict others and return their quarantine lines.

    files: table -> file name; ids: table -> id column in file order, which gives the row numbers.
    Raises BadData when an episode has two accepted offers: nobody can tell which of them is true.
    """
    lines = [empty_quarantine()]
    for table in TABLES:
        for column, parent in TABLES[table].references().items():
            query = _SQL["orphans"].format(table=table, parent=parent, column=column)
            reason = f"points to a row of {parent} that is not there"
            while len(orphans := _delete(con, table, query)):
                rows = _row_numbers(ids[table], orphans)
                lines.append(
                    quarantine_lines(
                        files[table], rows, column, RowFault.ORPHAN, reason, quote=False
                    )
                )
                if parent != table:  # a table that refers to itself may have orphans of orphans
                    break
        if table == "driver_availability_history":
            overlapping = _delete(con, table, _SQL["overlaps"])
            if len(overlapping):
                rows = _row_numbers(ids[table], overlapping)
                reason = "intervals overlap: begins before an earlier one of this driver ends"
                lines.append(
                    quarantine_lines(
                        files[table], rows, "since", RowFault.EMPTY_INTERVAL, reason, quote=False
                    )
                )

    doubly_accepted = con.execute(_SQL["two_accepted"]).fetchone()
    if doubly_accepted:
        delivery, episode = doubly_accepted
        raise BadData(
            f"{files.get('driver_offers', 'driver_offers')}: delivery {delivery} episode {episode}"
            " has two accepted offers: an episode ends with the first one",
            code=FileFault.TWO_ACCEPTED,
        )
    return pl.concat(lines)


def duty_gaps(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return a warning naming drivers whose duties leave gaps; that makes no row wrong."""
    gaps = con.sql(_SQL["gaps"]).fetchall()
    if not gaps:
        return []
    drivers = ", ".join(str(driver) for driver, _, _ in gaps[:_DRIVERS_IN_WARNING])
    more = ", ..." if len(gaps) > _DRIVERS_IN_WARNING else ""
    count = sum(count for _, count, _ in gaps)
    hours = sum(hours for _, _, hours in gaps)
    return [
        f"driver_availability_history: {count} gaps, {hours:.1f} h without a duty,"
        f" of drivers {drivers}{more}"
    ]


def _delete(con: duckdb.DuckDBPyConnection, table: str, query: str) -> pl.Series:
    """Delete the rows whose ids the query finds, and return these ids."""
    ids = con.sql(query).pl().get_column("id")
    if len(ids):
        con.register("bad_rows", ids.to_frame())
        con.execute(_SQL["delete"].format(table=table))
        con.unregister("bad_rows")
    return ids


def _row_numbers(ids: pl.Series, bad: pl.Series) -> pl.DataFrame:
    """Return the row number of each bad id in its file."""
    numbers = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW)
    rows = ids.to_frame().with_columns(numbers).filter(pl.col("id").is_in(bad.implode()))
    return rows.unique("id", keep="first", maintain_order=True)

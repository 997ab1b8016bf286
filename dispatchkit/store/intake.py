"""Imports checked frames: COPY to a staging table, then one insert; all tables or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadData
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.store import connect, statements


@dataclass(frozen=True)
class Counts:
    """What became of a table's rows: inserted, the same as before, or conflicting.

    conflicting: ids that exist with other values, which stay as they are.
    """

    inserted: int
    same: int
    conflicting: tuple[int, ...]


def insert(
    engine: Engine, frames: Mapping[str, pl.DataFrame], *, dry_run: bool = False
) -> dict[str, Counts]:
    """Insert rows as role dk_import in one transaction; return what became of each table's rows.

    A second import of the same rows writes nothing. dry_run: the transaction is rolled back. Raises
    BadData when rows contradict each other or the database.
    """
    counts: dict[str, Counts] = {}
    with connect.open_connection(engine, role="dk_import") as connection:
        transaction = connection.begin()
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        for table in (name for name in TABLES if name in frames):
            try:
                counts[table] = _insert_table(connection, table, frames[table])
            except DBAPIError as fault:
                raise _as_bad_data(table, fault) from None
            failpoint(f"imported {table}")
        if dry_run:
            transaction.rollback()
            return counts
        transaction.commit()
        failpoint("import committed")
        connection.exec_driver_sql("RESET ROLE")
        connection.exec_driver_sql(
            "ANALYZE"
        )  # the first sweep after a big import must not plan for empty tables
        connection.commit()
    return counts


def _insert_table(connection: Connection, table: str, frame: pl.DataFrame) -> Counts:
    names = statements.columns(table)
    staging = f"stage_{table}"
    listed = ", ".join(names)
    connection.exec_driver_sql(
        f"CREATE TEMP TABLE {staging} ON COMMIT DROP AS SELECT {listed} FROM dk.{table} LIMIT 0"  # noqa: S608
    )
    driver = connection.connection.driver_connection
    assert driver is not None
    with driver.cursor() as cursor, cursor.copy(f"COPY {staging} ({listed}) FROM STDIN") as copy:
        for row in frame.select(names).iter_rows():
            copy.write_row(row)
    compared = [name for name in names if name != "version"]
    differs = " OR ".join(f"t.{name} IS DISTINCT FROM s.{name}" for name in compared)
    existing = connection.exec_driver_sql(
        f"SELECT s.id, ({differs}) FROM {staging} s JOIN dk.{table} t USING (id) ORDER BY s.id"  # noqa: S608
    ).all()
    inserted = connection.exec_driver_sql(statements.insert(table, staging, names)).rowcount
    conflicting = tuple(int(row[0]) for row in existing if row[1])
    return Counts(inserted, len(existing) - len(conflicting), conflicting)


def _as_bad_data(table: str, fault: DBAPIError) -> Exception:
    state = connect.sqlstate(fault)
    if not state.startswith(("22", "23", "DK")):
        return fault
    constraint = getattr(getattr(fault.orig, "diag", None), "constraint_name", None)
    return BadData(
        f"{table}: the rows break {constraint or 'a rule of the database'} (SQLSTATE {state}); nothing written"
    )

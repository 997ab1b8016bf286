"""The DuckDB file that a load makes: connections, errors, and reading of tables and marts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import duckdb
import polars as pl

from dispatchkit.kernel.clock import Window
from dispatchkit.kernel.errors import (
    BadData,
    InputMissing,
    IOFailed,
    SchemaMismatch,
    TryLater,
    Usage,
    shown,
)
from dispatchkit.kernel.fault_codes import FileFault
from dispatchkit.kernel.sql import parse
from dispatchkit.warehouse.marts import TIME

_SQL = parse(Path(__file__).with_name("database.sql").read_text("utf-8"))


def connect(database: str | Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection in UTC that opens no other file and no network."""
    con = duckdb.connect(str(database), read_only=read_only)
    con.execute(
        "SET timezone='UTC'; SET enable_external_access=false; SET preserve_insertion_order=true"
    )
    return con


@contextmanager
def translate_duckdb_errors(file: Path) -> Iterator[None]:
    """Turn DuckDB errors about `file` into TryLater or IOFailed (disk full).

    TryLater means that another process writes the file. Other errors pass unchanged.
    """
    try:
        yield
    except duckdb.Error as error:
        text = str(error)
        if "lock" in text.lower() or "being used" in text or "different configuration" in text:
            raise TryLater(
                f"{file.name}: another process is writing it; try again when it is done"
            ) from error
        io_error = isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException)
        if io_error or "No space left" in text:
            raise IOFailed(f"{file.name}: disk full or unreadable, nothing kept") from error
        raise


class Marts:
    """A loaded database, read-only.

    `frame(name)` gives a table or a mart as polars, times in UTC.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self.names = sorted(row[0] for row in con.execute(_SQL["names"]).fetchall())
        self.manifest = dict(con.execute(_SQL["manifest"]).fetchall())

    def frame(
        self, name: str, columns: Sequence[str] = (), *, within: Window | None = None
    ) -> pl.DataFrame:
        """Return one table or mart in the order it was made, all or some of its columns.

        within: only the rows of a mart whose time (`marts.TIME`) lies in the window. Raises Usage
        for an unknown name, SchemaMismatch for a column that the version which loaded the database
        did not make.
        """
        if name not in self.names:
            raise Usage(
                f"{shown(name)!r} is no table here; there are: {', '.join(self.names)}",
                code=FileFault.UNKNOWN_TABLE,
            )
        selected = ", ".join(f'"{column}"' for column in columns) or "*"
        try:
            if within is None:
                return self._con.sql(_SQL["rows"].format(columns=selected, name=name)).pl()
            query = _SQL["rows_within"].format(columns=selected, name=name, time=TIME[name])
            return self._con.execute(query, {"since": within.since, "until": within.until}).pl()
        except duckdb.BinderException as error:
            raise SchemaMismatch(
                f"{name} was loaded by another version; run `dispatchkit data load` again"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._con.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_marts(database_file: Path) -> Marts:
    """Return the loaded database for reading.

    Raises InputMissing, TryLater (another process writes it), BadData (not a loaded database).
    """
    if not database_file.is_file():
        raise InputMissing(
            f"{database_file.name}: nothing loaded yet; run `dispatchkit data load` first"
        )
    try:
        with translate_duckdb_errors(database_file):
            con = connect(database_file, read_only=True)
            con.execute("SET lock_configuration=true")
            return Marts(con)
    except (duckdb.Error, IOFailed) as error:
        raise BadData(
            f"{database_file.name}: not a loaded database; run `dispatchkit data load` again"
        ) from error

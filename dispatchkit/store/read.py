"""Reads named queries as polars frames of one snapshot, and tables as Arrow batches for exports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
from sqlalchemy import Connection, Engine, text

from dispatchkit.config import Database
from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import (
    DatabaseUnavailable,
    DispatchError,
    NotPermitted,
    SchemaMismatch,
)
from dispatchkit.kernel.sql import bind
from dispatchkit.store import connect, migrate, statements
from dispatchkit.store.contract import Args

if TYPE_CHECKING:
    import pyarrow as pa

RunQuery = Callable[[str], Any]  # SQL in, Arrow stream out
_INTS = (pl.Int8, pl.Int16, pl.Int32)


def frames(
    engine: Engine, queries: Mapping[str, str], args: Args, waits: Database, role: str = "dk_app"
) -> dict[str, pl.DataFrame]:
    """Return each query's frame, all from one repeatable-read, read-only snapshot.

    role: dk_app reads the tables of the work, dk_verify also the audit trail.
    """
    with _adbc(engine, role, waits.lock_timeout, waits.statement_timeout) as run_query:
        return {
            name: _contract_types(pl.DataFrame(run_query(bind(query, args))))
            for name, query in queries.items()
        }


def typed(connection: Connection, table: str, query: str, args: Args) -> pl.DataFrame:
    """Return a query over one table as a frame of its contract, in the connection's transaction."""
    names = statements.columns(table)
    listed = ", ".join(f"t.{name}" for name in names)
    statement = f"SELECT {listed} FROM ({bind(query, args)}) t ORDER BY t.id"  # noqa: S608
    rows = connection.execute(text(statement)).all()
    dtypes = {name: column.dtype for name, column in TABLES[table].columns().items()}
    return pl.DataFrame([tuple(row) for row in rows], schema=dtypes, orient="row")


@dataclass(frozen=True)
class ExportSnapshot:
    """A database at one instant: all tables read through it fit together."""

    as_of: datetime
    snapshot: str
    database_id: str
    revision: str
    _run_query: RunQuery

    def table(
        self, name: str, where: str = "", args: Args | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows in ascending id as Arrow batches, columns as in the contract."""
        import pyarrow as pa

        listed = ", ".join(_cast(name, column) for column in statements.columns(name))
        condition = f" WHERE {where}" if where else ""
        query = f"SELECT {listed} FROM dk.{name}{condition} ORDER BY id"  # noqa: S608
        stream = self._run_query(bind(query, args or {}))
        try:
            yield from pa.RecordBatchReader.from_stream(stream)
        except (pa.ArrowException, OSError):
            raise DatabaseUnavailable(
                f"reading {name} broke off: the connection was lost or the query stopped"
            ) from None


@contextmanager
def snapshot(engine: Engine) -> Iterator[ExportSnapshot]:
    """Yield one repeatable-read snapshot.

    Raises SchemaMismatch unless the revision is the newest.
    """
    migrate.require(engine)
    with _adbc(
        engine, "dk_export", timedelta(seconds=30), timedelta()
    ) as run_query:  # an export may take its time
        row = pl.DataFrame(run_query(statements.query("snapshot").text)).row(0, named=True)
        yield ExportSnapshot(
            row["as_of"].astimezone(UTC),
            row["snapshot"],
            row["database_id"],
            migrate.newest(),
            run_query,
        )


@contextmanager
def _adbc(
    engine: Engine, role: str, lock_wait: timedelta, query_time: timedelta
) -> Iterator[RunQuery]:
    """Yield a function that runs one query in the snapshot.

    Each stream must be read before the next query. The driver's DBAPI is not used: it would import
    pyarrow and pandas, which adds a third of a second to every command.
    """
    from adbc_driver_manager import AdbcConnection, AdbcStatement, Error
    from adbc_driver_postgresql import connect as database

    bounded = engine.url.set(drivername="postgresql").update_query_dict(connect.NETWORK_LIMITS)
    url = bounded.render_as_string(hide_password=False)
    try:
        with (
            database(url) as opened,
            AdbcConnection(opened) as connection,
            AdbcStatement(connection) as statement,
        ):

            def run_query(query: str) -> Any:
                statement.set_sql_query(query)
                return statement.execute_query()[0]

            for setting in (
                f"SET ROLE {role}",
                "SET search_path = dk, pg_temp",
                "SET timezone = 'UTC'",
                f"SET lock_timeout = '{lock_wait.total_seconds():g}s'",
                f"SET statement_timeout = '{query_time.total_seconds():g}s'",
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            ):
                run_query(setting)
            yield run_query
            run_query("COMMIT")
    except Error as fault:
        raise _translated(fault, engine) from None
    except pl.exceptions.ComputeError:  # its text may hold row values
        raise DatabaseUnavailable("a read broke off: connection lost or query stopped") from None


def _translated(fault: Any, engine: Engine) -> DispatchError:
    state = str(getattr(fault, "sqlstate", "") or "")
    where = connect.place(engine.url.render_as_string(hide_password=True))
    if not state:
        return DatabaseUnavailable(f"cannot read from {where}, or the connection was lost")
    if state == "22023":  # SET ROLE to a role that is not there
        return SchemaMismatch(
            "the database has no dispatchkit schema of this version; run `dispatchkit db up`"
        )
    if state == "42501":
        return NotPermitted(
            "the login may not become one of dk_app, dk_export, dk_verify; GRANT them TO it"
        )
    return connect.by_state(state, f"a read was refused (SQLSTATE {state})", where)


def _cast(table: str, column: str) -> str:
    """Return a column for a SELECT; smallint becomes the contract's bigint."""
    return (
        f"CAST({column} AS bigint) AS {column}"
        if statements.sql_type(table, column) == "bigint"
        else column
    )


def _contract_types(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame with the contracts' types: whole numbers of 64 bit, instants in µs UTC."""
    casts = []
    for name, dtype in frame.schema.items():
        if dtype in _INTS:
            casts.append(pl.col(name).cast(pl.Int64))
        elif isinstance(dtype, pl.Datetime):
            casts.append(pl.col(name).cast(pl.Datetime("us", "UTC")))
    return frame.with_columns(casts)

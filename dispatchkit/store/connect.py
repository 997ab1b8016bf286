"""Connections to Postgres: every wait is bounded, and errors never show values of rows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from dispatchkit.config import Database
from dispatchkit.kernel.errors import (
    DatabaseUnavailable,
    DispatchError,
    IOFailed,
    NotPermitted,
    SchemaMismatch,
    TryLater,
    Usage,
)
from dispatchkit.store import embedded
from dispatchkit.store.statements import query

RETRIED = frozenset({"40P01", "40001", "55P03"})  # deadlock, serialisation, lock timeout
# libpq's limits for a network that does not answer; every connection has them.
NETWORK_LIMITS = {
    "connect_timeout": "10",
    "application_name": "dispatchkit",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "tcp_user_timeout": "10000",
}
_LOST = re.compile(r"^(08...|28...|3D000|57P0[1-5]|25P03)$")
_KINDS: tuple[tuple[re.Pattern[str], type[DispatchError]], ...] = (
    (_LOST, DatabaseUnavailable),
    (re.compile(r"^(53100|58030)$"), IOFailed),
    (re.compile(r"^(53200|53300|57014|40001|40P01|55P03)$"), TryLater),
    (re.compile(r"^42501$"), NotPermitted),
    (re.compile(r"^(3F000|42P01|42703|42883)$"), SchemaMismatch),
)


def resolve(db: str, data: Path) -> str:
    """Return the postgresql:// URL of --db, a URL or `embedded`. Raises Usage for anything else."""
    if db == "embedded":
        url = embedded.start(data)
        _ensure_database(url)
        return url
    if not re.match(r"^postgres(ql)?://[^/?]*(/|\?|$)", db) or db.rstrip("/").endswith(":"):
        raise Usage(
            "--db is not a Postgres URL; expected postgresql://user@host/database, or `embedded`"
        )
    return db


def forget(data: Path) -> None:
    """Drop the embedded server's database under `data`; the next `resolve` creates an empty one."""
    url = embedded.start(data)
    _on_server(url, f'DROP DATABASE IF EXISTS "{embedded.DATABASE}" WITH (FORCE)')


def place(url: str) -> str:
    """Return host:port/database of a URL, the part without a password, for messages."""
    parts = urlsplit(url)
    try:
        return f"{parts.hostname or 'local socket'}:{parts.port or 5432}{parts.path or '/'}"
    except ValueError:
        return "the database"


def engine(url: str, waits: Database | None = None) -> Engine:
    """Return an engine without a pool: the advisory lock of a run belongs to one connection.

    Raises Usage for a URL that Postgres does not understand.
    """
    waits = waits or Database()
    options = " ".join(
        f"-c {name}={value}"
        for name, value in {
            "timezone": "UTC",
            "search_path": "dk,pg_temp",
            "lock_timeout": f"{waits.lock_timeout.total_seconds():g}s",
            "statement_timeout": f"{waits.statement_timeout.total_seconds():g}s",
            "idle_in_transaction_session_timeout": "60s",
            "client_connection_check_interval": "5s",
        }.items()
    )
    try:
        return create_engine(
            _with_tls(make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url))),
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                "options": options,
                "target_session_attrs": "read-write",
                **NETWORK_LIMITS,
            },
        )
    except (ArgumentError, ValueError):
        raise Usage(
            "--db is not a Postgres URL; expected postgresql://user@host/database"
        ) from None


def _with_tls(url: URL) -> URL:
    """Return a URL that requires verified TLS, unless it is local or sets sslmode itself.

    Root certificates come from where libpq looks for them, else from the system.
    """
    hosts = [url.host or "", *_hosts(url.query.get("host"))]
    local = all(
        host in ("", "localhost", "::1") or host.startswith(("/", "127.")) for host in hosts
    )
    if (
        local
        or "sslmode" in url.query
        or "service" in url.query
        or {"PGSSLMODE", "PGSERVICE"} & os.environ.keys()
    ):
        return url
    root_certificate = Path("~/.postgresql/root.crt").expanduser()
    has_roots = (
        "sslrootcert" in url.query or "PGSSLROOTCERT" in os.environ or root_certificate.exists()
    )
    return url.update_query_dict(
        {"sslmode": "verify-full"} | ({} if has_roots else {"sslrootcert": "system"})
    )


def _hosts(option: str | tuple[str, ...] | None) -> list[str]:
    """Return the hosts in a URL's query option, which may appear several times or hold commas."""
    values = (option,) if isinstance(option, str) else option or ()
    return [host for value in values for host in value.split(",")]


def open_database(db: str, data: Path, waits: Database | None = None) -> Engine:
    """Return the database that --db names, for `migrate`, `check`, `intake` and `read`."""
    return engine(resolve(db, data), waits)


def release_lock(connection: Connection, sweep: str) -> None:
    """Release a lock before its connection closes.

    The server notices a closed connection a moment late, and the next run would find the lock
    taken.
    """
    if connection.closed or connection.invalidated:
        return
    # A connection that is lost has lost its lock with it.
    with suppress(DBAPIError):
        if connection.in_transaction():
            connection.rollback()
        with connection.begin():
            connection.execute(query("drop_lock"), {"sweep": sweep})


@contextmanager
def open_connection(engine: Engine, role: str | None = "dk_app") -> Iterator[Connection]:
    """Yield one connection that acts as `role`; the driver's errors become ours.

    Raises NotPermitted if the login may not act as the role, SchemaMismatch if there is no such
    role.
    """
    with translated(engine), engine.connect() as connection:
        if role:
            try:
                connection.exec_driver_sql(f"SET ROLE {role}")
            except DBAPIError as fault:
                if sqlstate(fault) == "22023":
                    raise SchemaMismatch(
                        "the database has no dispatchkit schema; run `dispatchkit db up`"
                    ) from None
                if sqlstate(fault) == "42501":
                    raise NotPermitted(
                        f"the login may not become {role}; GRANT {role} TO it"
                    ) from None
                raise
            connection.commit()
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into ours.

    They keep SQLSTATE and the primary message; DETAIL is left out, because it holds values of rows.
    """
    try:
        yield
    except DBAPIError as fault:
        raise known(fault, engine) from (None if sqlstate(fault) else fault)
    except psycopg.Error as fault:
        raise known(fault, engine) from None


def known(fault: DBAPIError | psycopg.Error, engine: Engine) -> DispatchError:
    """Return the DispatchError for a driver's error."""
    state = sqlstate(fault)
    original = fault.orig if isinstance(fault, DBAPIError) else fault
    where = place(engine.url.render_as_string(hide_password=True))
    if (not state and isinstance(original, psycopg.OperationalError)) or _LOST.match(state):
        # A server on a full disk crashes when it cannot write its log, and cannot say so.
        socket_folder = engine.url.query.get("host")
        if isinstance(socket_folder, str) and embedded.is_disk_full(Path(socket_folder)):
            return IOFailed(f"cannot work with {where}: no space left on its device")
    if not state and isinstance(original, psycopg.OperationalError):
        return DatabaseUnavailable(f"cannot work with {where}: {_cause(str(original))}")
    if not state and isinstance(
        original, psycopg.ProgrammingError
    ):  # libpq did not understand an option in it
        return Usage(
            "--db holds an option that Postgres does not know; expected postgresql://user@host/database"
        )
    primary = original.diag.message_primary if isinstance(original, psycopg.Error) else None
    return by_state(state, f"{primary or 'database error'} (SQLSTATE {state})", where)


# A part of libpq's message for a failed connection -> our message.
_CAUSES = (
    ("password authentication failed", "wrong user or password"),
    (
        "no password supplied",
        "it requires a password; give it in DISPATCHKIT_DATABASE_URL or a password file",
    ),
    ("does not exist", "there is no such user or database"),
    ("Connection refused", "nothing listens there"),
    ("No such file or directory", "no server at that socket"),
    ("not resolve", "no such host"),
    ("Name or service not known", "no such host"),
    ("could not translate host", "no such host"),
    ("timeout", "no answer in time"),
    (
        "certificate",
        "its certificate is not trusted, or is another host's; see sslrootcert and sslmode",
    ),
    (
        "SSL",
        "no agreement on TLS; on a trusted network the URL may say ?sslmode=disable",
    ),
    ("no pg_hba.conf entry", "the server does not admit this user from here (pg_hba.conf)"),
    ("read-only", "it is a standby, which takes no writes"),
)


def _cause(message: str) -> str:
    """Return why a connection failed. libpq's own message is not shown: it may hold a password."""
    return next(
        (cause for part, cause in _CAUSES if part in message),
        "cannot connect, or the connection was lost",
    )


def by_state(state: str, message: str, where: str) -> DispatchError:
    """Return the DispatchError for a SQLSTATE; `message` must not hold values of rows."""
    for pattern, kind in _KINDS:
        if pattern.match(state):
            if kind is DatabaseUnavailable:
                message = f"cannot work with {where}: SQLSTATE {state}"
            if kind is SchemaMismatch:
                message = f"the schema is not the one expected: {message}; run `dispatchkit db up`"
            return kind(message)
    return DispatchError(f"the database refused: {message}")


def sqlstate(fault: BaseException) -> str:
    """Return the SQLSTATE of a driver's error, or an empty string."""
    original = fault.orig if isinstance(fault, DBAPIError) else fault
    return str(getattr(original, "sqlstate", None) or "")


def _ensure_database(url: str) -> None:
    with suppress(psycopg.errors.DuplicateDatabase):
        if not _on_server(url, f"SELECT FROM pg_database WHERE datname = '{embedded.DATABASE}'"):
            _on_server(url, f'CREATE DATABASE "{embedded.DATABASE}"')


def _on_server(url: str, statement: str) -> int:
    """Run one statement in the server's database `postgres`; return its number of rows."""
    try:
        with psycopg.connect(
            url.replace(f"/{embedded.DATABASE}?", "/postgres?"), autocommit=True
        ) as connection:
            return connection.execute(statement.encode()).rowcount
    except psycopg.errors.DuplicateDatabase:
        raise
    except psycopg.Error as fault:
        raise DatabaseUnavailable("the embedded server does not answer") from fault

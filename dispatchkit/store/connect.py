"""Connections: an engine with every wait bounded, and database errors turned into ours without a word of their rows."""

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

RETRIED = frozenset({"40P01", "40001", "55P03"})  # deadlock, serialisation, lock timeout
PATIENCE = {  # how long a silent network is waited for, in libpq's words; every connection has them, also for reads
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
    """Return a postgresql:// URL for what --db said: a URL, or `embedded`. Raises Usage for anything else."""
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
    """Drop the database of the embedded server under `data`, so that the next `resolve` begins anew."""
    url = embedded.start(data)
    _on_server(url, f'DROP DATABASE IF EXISTS "{embedded.DATABASE}" WITH (FORCE)')


def place(url: str) -> str:
    """Return host:port/database of a URL: what may be said of it in a message."""
    parts = urlsplit(url)
    try:
        return f"{parts.hostname or 'local socket'}:{parts.port or 5432}{parts.path or '/'}"
    except ValueError:
        return "the database"


def engine(url: str, waits: Database | None = None) -> Engine:
    """Return an engine without a pool: a run holds one connection, and its advisory lock lives on it."""
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
            _sealed(make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url))),
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={"options": options, "target_session_attrs": "read-write", **PATIENCE},
        )
    except (ArgumentError, ValueError):
        raise Usage(
            "--db is not a Postgres URL; expected postgresql://user@host/database"
        ) from None


def _sealed(url: URL) -> URL:
    """Return a URL that crosses the network only under TLS with the server's name verified, unless it says otherwise.

    Roots come from where libpq looks for them, else from the system.
    """
    hosts = [url.host or "", *_listed(url.query.get("host"))]
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
    kept = Path("~/.postgresql/root.crt").expanduser()
    own = "sslrootcert" in url.query or "PGSSLROOTCERT" in os.environ or kept.exists()
    return url.update_query_dict(
        {"sslmode": "verify-full"} | ({} if own else {"sslrootcert": "system"})
    )


def _listed(said: str | tuple[str, ...] | None) -> list[str]:
    """Return the hosts that a URL's query names, alone or with commas between them."""
    words = (said,) if isinstance(said, str) else said or ()
    return [host for word in words for host in word.split(",")]


@contextmanager
def open_connection(engine: Engine, role: str | None = "dk_app") -> Iterator[Connection]:
    """Yield one connection that acts as `role`; errors leave as ours. Raises NotPermitted when the login cannot."""
    with translated(engine), engine.connect() as found:
        if role:
            try:
                found.exec_driver_sql(f"SET ROLE {role}")
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
            found.commit()
        yield found


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into ours: SQLSTATE and primary message, never DETAIL with its row values."""
    try:
        yield
    except DBAPIError as fault:
        raise known(fault, engine) from (None if sqlstate(fault) else fault)
    except psycopg.Error as fault:
        raise known(fault, engine) from None


def known(fault: DBAPIError | psycopg.Error, engine: Engine) -> DispatchError:
    """Return our error for a driver's error."""
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


_CAUSES = (  # what libpq says of a connection that did not come about, and what we say of it
    ("password authentication failed", "wrong user or password"),
    (
        "no password supplied",
        "it wants a password; give it in DISPATCHKIT_DATABASE_URL or a password file",
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
        "the two do not agree on TLS; a URL says ?sslmode=disable where the network itself is trusted",
    ),
    ("no pg_hba.conf entry", "the server does not admit this user from here (pg_hba.conf)"),
    ("read-only", "it is a standby, which takes no writes"),
)


def _cause(said: str) -> str:
    """Return why a connection failed, in our words: libpq's may hold what a user typed."""
    return next(
        (ours for theirs, ours in _CAUSES if theirs in said),
        "cannot connect, or the connection was lost",
    )


def by_state(state: str, said: str, where: str) -> DispatchError:
    """Return our error for a SQLSTATE; `said` must name no row's values."""
    for pattern, kind in _KINDS:
        if pattern.match(state):
            if kind is DatabaseUnavailable:
                said = f"cannot work with {where}: SQLSTATE {state}"
            if kind is SchemaMismatch:
                said = f"the schema is not the one expected: {said}; run `dispatchkit db up`"
            return kind(said)
    return DispatchError(f"the database refused: {said}")


def sqlstate(fault: BaseException) -> str:
    """Return the SQLSTATE of a driver's error, or an empty string."""
    original = fault.orig if isinstance(fault, DBAPIError) else fault
    return str(getattr(original, "sqlstate", None) or "")


def _ensure_database(url: str) -> None:
    with suppress(psycopg.errors.DuplicateDatabase):
        if not _on_server(url, f"SELECT FROM pg_database WHERE datname = '{embedded.DATABASE}'"):
            _on_server(url, f'CREATE DATABASE "{embedded.DATABASE}"')


def _on_server(url: str, statement: str) -> int:
    """Run one statement beside our database, on the server's own; return how many rows came."""
    try:
        with psycopg.connect(
            url.replace(f"/{embedded.DATABASE}?", "/postgres?"), autocommit=True
        ) as found:
            return found.execute(statement.encode()).rowcount
    except psycopg.errors.DuplicateDatabase:
        raise
    except psycopg.Error as fault:
        raise DatabaseUnavailable("the embedded server does not answer") from fault

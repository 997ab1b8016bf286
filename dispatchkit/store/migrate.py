"""Migrates the schema up and down, and checks that it is the one this program expects."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from dispatchkit.kernel.errors import NotPermitted, SchemaMismatch, TryLater, Usage
from dispatchkit.kernel.sql import parse
from dispatchkit.store.connect import sqlstate, translated

LOCK_TIMEOUT = "55P03"  # SQLSTATE
TRIES = 50  # of the steps that find a table locked
SCRIPTS = Path(__file__).parent / "migrations"
_SQL = parse(Path(__file__).with_name("migrate.sql").read_text("utf-8"))


@dataclass(frozen=True)
class Status:
    """The revision of a database (None before the first migration) and the newest one.

    drifted: the schema was changed without a migration.
    """

    revision: str | None
    newest: str
    drifted: bool

    @property
    def current(self) -> bool:
        return self.revision == self.newest


def newest() -> str:
    """Return the revision that this program expects."""
    return history()[-1][0]


def history() -> list[tuple[str, str]]:
    """Return (revision, file stem), oldest first.

    They come from the file names: a sweep checks the revision and must not spend time on Alembic.
    """
    stems = sorted(path.stem for path in (SCRIPTS / "versions").glob("*-*.py"))
    return [(stem.partition("-")[0], stem) for stem in stems]


def up(engine: Engine, revision: str = "head") -> Status:
    """Migrate the schema up to `revision`.

    Raises Usage for an unknown revision, TryLater while a sweep or another migration is in
    progress.
    """
    return _move(engine, revision, "upgrade")


def down(engine: Engine, revision: str) -> Status:
    """Migrate the schema down to `revision` (`base`: everything).

    The rows are kept in schema dk_kept for the next `up`.
    """
    return _move(engine, revision, "downgrade")


def status(engine: Engine) -> Status:
    """Return the status without changing anything."""
    with translated(engine), engine.connect() as connection:
        return _status(connection)


def require(engine: Engine) -> None:
    """Raise SchemaMismatch unless the database is at the newest revision."""
    with translated(engine), engine.connect() as connection:
        require_on(connection)


def require_on(connection: Connection) -> None:
    """Raise SchemaMismatch unless the database behind a connection is at the newest revision."""
    revision = _revision(connection)
    if revision is None:
        raise SchemaMismatch("the database has no dispatchkit schema; run `dispatchkit db up`")
    if revision != newest():
        raise SchemaMismatch(
            f"schema {revision}, this program needs {newest()}; run `dispatchkit db up`"
        )


def strict_clock(engine: Engine) -> None:
    """Make the database clock the only one: writes refuse --now from now on."""
    with translated(engine), engine.begin() as connection:
        connection.exec_driver_sql(_SQL["strict_clock"])


def fingerprint(connection: Connection) -> str:
    """Return a digest of the tables, constraints, indexes, triggers, functions and grants."""
    return str(
        connection.execute(text((SCRIPTS / "fingerprint.sql").read_text("utf-8"))).scalar_one()
    )


def _status(connection: Connection) -> Status:
    revision = _revision(connection)
    drifted = False
    if revision == newest():
        recorded = connection.execute(text(_SQL["recorded"])).scalar_one_or_none()
        drifted = recorded != fingerprint(connection)
    return Status(revision, newest(), drifted)


def _revision(connection: Connection) -> str | None:
    if connection.execute(text(_SQL["begun"])).scalar_one() is None:
        return None
    revision = connection.execute(text(_SQL["revision"])).scalar_one_or_none()
    return None if revision is None else str(revision)


def _move(engine: Engine, revision: str, move: str) -> Status:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with translated(engine), engine.connect() as connection:
        if not connection.exec_driver_sql(_SQL["take_lock"]).scalar_one():
            raise TryLater("a sweep is at work, or another run is migrating this database")
        connection.exec_driver_sql("SET statement_timeout = 0")
        at = _revision(connection)
        connection.commit()  # in an open transaction, Alembic would run all steps as one
        if at is not None and at not in dict(history()):
            raise SchemaMismatch(
                f"this program does not know schema {at}; "
                "use the program that created it, or a newer one"
            )
        config.attributes["connection"] = connection
        try:
            _with_short_waits(connection, lambda: getattr(command, move)(config, revision))
        except CommandError:
            known = ", ".join(step for step, _ in history())
            raise Usage(
                f"no revision {revision!r}; expected `head`, `base` or one of {known}"
            ) from None
        except DBAPIError as fault:
            if sqlstate(fault) == "42501":
                raise NotPermitted(
                    "the login may not create roles or schemas; migrate with a login that may"
                ) from None
            raise
        now = _status(connection)
        if now.current:
            digest = fingerprint(connection)
            connection.execute(text(_SQL["record"]), {"digest": digest})
            connection.exec_driver_sql(_SQL["show_revision"])
        connection.commit()
        status = _status(connection)
        # Released here: the server notices a closed connection late, and the next run would find
        # the lock taken.
        connection.exec_driver_sql(_SQL["drop_lock"])
        return status


def _with_short_waits(connection: Connection, steps: Callable[[], None]) -> None:
    """Run the remaining steps, which wait for a locked table only briefly but many times.

    A migration that waits for a table blocks everybody who wants it afterwards.
    """
    for attempt in range(TRIES):
        connection.exec_driver_sql(_SQL["wait_shortly"])  # again, since a rollback undoes it
        connection.commit()
        try:
            with redirect_stdout(io.StringIO()):
                steps()
            return
        except (DBAPIError, psycopg.Error) as fault:
            connection.rollback()
            if sqlstate(fault) != LOCK_TIMEOUT or attempt + 1 == TRIES:
                raise
            time.sleep(random.uniform(0.05, 0.2))  # noqa: S311

"""The schema up and down, and whether it is the one this program was written for."""

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

LOCKED, TRIES = "55P03", 50  # how often a step is begun anew that finds a table locked
SCRIPTS = Path(__file__).parent / "migrations"
_SQL = parse(Path(__file__).with_name("migrate.sql").read_text("utf-8"))


@dataclass(frozen=True)
class Status:
    """Where the database stands: its revision (None before the first), the newest, and whether the schema drifted."""

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
    """Return (revision, file stem), oldest first; told from the file names, so that a sweep need not load Alembic."""
    stems = sorted(path.stem for path in (SCRIPTS / "versions").glob("*-*.py"))
    return [(stem.partition("-")[0], stem) for stem in stems]


def up(engine: Engine, revision: str = "head") -> Status:
    """Bring the schema up to `revision`. Raises Usage if there is none, TryLater when another run migrates."""
    return _move(engine, revision, "upgrade")


def down(engine: Engine, revision: str) -> Status:
    """Take the schema down to `revision` (`base`: everything). Rows are kept in schema dk_kept for the next `up`."""
    return _move(engine, revision, "downgrade")


def status(engine: Engine) -> Status:
    """Return where the database stands, without changing anything."""
    with translated(engine), engine.connect() as found:
        return _status(found)


def require(engine: Engine) -> None:
    """Raise SchemaMismatch unless the database is at the newest revision."""
    with translated(engine), engine.connect() as found:
        require_on(found)


def require_on(found: Connection) -> None:
    """Raise SchemaMismatch unless the database behind a connection is at the newest revision."""
    revision = _revision(found)
    if revision is None:
        raise SchemaMismatch("the database has no dispatchkit schema; run `dispatchkit db up`")
    if revision != newest():
        raise SchemaMismatch(
            f"schema {revision}, this program needs {newest()}; run `dispatchkit db up`"
        )


def strict_clock(engine: Engine) -> None:
    """Make the database clock the only one: from now on writes refuse --now."""
    with translated(engine), engine.begin() as found:
        found.exec_driver_sql(_SQL["strict_clock"])


def fingerprint(found: Connection) -> str:
    """Return one digest over tables, columns, constraints, indexes, triggers and functions of our schemas."""
    return str(found.execute(text((SCRIPTS / "fingerprint.sql").read_text("utf-8"))).scalar_one())


def _status(found: Connection) -> Status:
    revision = _revision(found)
    drifted = False
    if revision == newest():
        recorded = found.execute(text(_SQL["recorded"])).scalar_one_or_none()
        drifted = recorded != fingerprint(found)
    return Status(revision, newest(), drifted)


def _revision(found: Connection) -> str | None:
    if found.execute(text(_SQL["begun"])).scalar_one() is None:
        return None
    revision = found.execute(text(_SQL["revision"])).scalar_one_or_none()
    return None if revision is None else str(revision)


def _move(engine: Engine, revision: str, move: str) -> Status:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with translated(engine), engine.connect() as found:
        if not found.exec_driver_sql(_SQL["take_lock"]).scalar_one():
            raise TryLater("a sweep is at work, or another run is migrating this database")
        found.exec_driver_sql("SET statement_timeout = 0")
        at = _revision(found)
        found.commit()  # Alembic would put all steps into a transaction that it finds open
        if at is not None and at not in dict(history()):
            raise SchemaMismatch(
                f"schema {at} is not one this program knows; use the program that made it, or a newer one"
            )
        config.attributes["connection"] = found
        try:
            _patiently(found, lambda: getattr(command, move)(config, revision))
        except CommandError:
            known = ", ".join(step for step, _ in history())
            raise Usage(
                f"no revision {revision!r}; expected `head`, `base` or one of {known}"
            ) from None
        except DBAPIError as fault:
            if sqlstate(fault) == "42501":
                raise NotPermitted(
                    "the login may not create roles or schemas; migrate as a wider login"
                ) from None
            raise
        now = _status(found)
        if now.current:
            digest = fingerprint(found)
            found.execute(text(_SQL["record"]), {"digest": digest})
            found.exec_driver_sql(_SQL["show_revision"])
        found.commit()
        status = _status(found)
        # Given back here: the server notices a closed connection only a moment later, and the next run must not wait.
        found.exec_driver_sql(_SQL["drop_lock"])
        return status


def _patiently(found: Connection, steps: Callable[[], None]) -> None:
    """Run the steps that are left. Who wants a locked table makes others queue behind him: so wait shortly, often."""
    for attempt in range(TRIES):
        found.exec_driver_sql(_SQL["wait_shortly"])  # anew: a rollback may have taken it back
        found.commit()
        try:
            with redirect_stdout(io.StringIO()):
                steps()
            return
        except (DBAPIError, psycopg.Error) as fault:
            found.rollback()
            if sqlstate(fault) != LOCKED or attempt + 1 == TRIES:
                raise
            time.sleep(random.uniform(0.05, 0.2))  # noqa: S311

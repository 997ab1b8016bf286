"""The invariants: queries that count offenders, for `db check`, psql, and every database test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from dispatchkit.domain.tables import ENTITIES
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import TryLater
from dispatchkit.kernel.sql import parse
from dispatchkit.store.connect import open_connection
from dispatchkit.store.statements import query

# JSON keys that must not appear in what is kept for years: names, contact details, positions. The
# payload of an offer and the stops of a plan are JSON stored as text, so their quotes are escaped.
PERSONAL = (
    r"""'"(name|phone|mobile|email|address|street|note|comment"""
    r"""|lat|lon|latitude|longitude|[a-z]+_(lat|lon))\\*" *:'"""
)
AUDIT = (
    "links",
    "heads",
    "versions",
    "images",
    "seals",
    "archives",
)  # queries of audit.sql that name what is wrong


@dataclass(frozen=True)
class Invariant:
    """A rule of the database: what an offender is, and the query that counts them."""

    name: str
    offender: str
    sql: str


@cache
def audit_faults() -> dict[str, str]:
    """Return the queries that find faults in the trail, by name.

    Each gives one row for a fault: fault, chain, seq, tbl, row_id, row_version.
    """
    live = " UNION ALL ".join(
        f"SELECT '{table}' AS tbl, id, version, row_to_json(t)::text AS image FROM dk.{table} t"  # noqa: S608
        for table in ENTITIES.values()
    )
    named = parse(Path(__file__).with_name("audit.sql").read_text("utf-8"))
    return {name: named[name].replace("{live}", live) for name in AUDIT}


@cache
def checks() -> tuple[Invariant, ...]:
    """Return all invariants; their queries run in psql unchanged."""
    table_of = (
        "CASE k.entity " + " ".join(f"WHEN '{e}' THEN '{t}'" for e, t in ENTITIES.items()) + " END"
    )
    invariants = []
    for name, body in parse(Path(__file__).with_name("invariants.sql").read_text("utf-8")).items():
        offender, _, sql = body.partition("\n")
        sql = sql.replace("{table_of}", table_of).replace("{personal}", PERSONAL)
        for part, query_ in audit_faults().items():
            sql = sql.replace(f"{{{part}}}", query_)
        invariants.append(Invariant(name, offender.removeprefix("-- "), sql.strip()))
    return tuple(invariants)


def offenders(engine: Engine) -> list[tuple[Invariant, int]]:
    """Return each invariant with its number of offenders, all from one snapshot.

    Raises TryLater while another check is running: a check reads the whole database, and cron must
    not pile them up.
    """
    with open_connection(engine, role="dk_verify") as connection:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if not connection.exec_driver_sql(_due()["take_lock"]).scalar_one():
            raise TryLater("another check of this database is at work")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL extra_float_digits = 1")
        return [
            (check, int(connection.exec_driver_sql(check.sql).scalar_one())) for check in checks()
        ]


@dataclass(frozen=True)
class Silence:
    """The last OK run of a sweep: when it finished and its `now`; and its oldest due row.

    oldest_due: since when the row has been due, None if nothing is due.
    """

    sweep: str
    last_ok: datetime | None
    last_as_of: datetime | None
    oldest_due: datetime | None


def silences(
    engine: Engine, sweeps: Sequence[str], now: datetime | None = None
) -> tuple[datetime, list[Silence]]:
    """Return the database clock and, for each sweep, its last OK run and its oldest due row."""
    named = _due()
    with open_connection(engine, role="dk_verify") as connection:
        if now is not None:
            connection.execute(query("set_clock"), {"now": rfc3339(now)})
        at = connection.execute(query("clock")).scalar_one()
        last = {row[0]: (row[1], row[2]) for row in connection.exec_driver_sql(named["last_ok"])}
        due = {
            sweep: connection.exec_driver_sql(named[sweep]).scalar_one_or_none()
            for sweep in sweeps
            if sweep in named
        }
        return at, [
            Silence(sweep, *last.get(sweep, (None, None)), due.get(sweep)) for sweep in sweeps
        ]


def senders_gone(engine: Engine) -> bool:
    """Return whether events were given to senders earlier and none waits for another try."""
    with open_connection(engine, role="dk_verify") as connection:
        return bool(connection.exec_driver_sql(_due()["senders_gone"]).scalar_one())


@cache
def _due() -> dict[str, str]:
    return parse(Path(__file__).with_name("due.sql").read_text("utf-8"))

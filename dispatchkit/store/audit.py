"""The audit trail in Postgres: read, verified and sealed as role dk_verify, retired as dk_privacy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Connection, CursorResult, Engine, TextClause, text

from dispatchkit.domain.tables import ENTITIES
from dispatchkit.kernel.errors import TryLater, Usage
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.kernel.sql import parse
from dispatchkit.store import statements
from dispatchkit.store.check import audit_faults
from dispatchkit.store.connect import open_connection

CHUNK = 100_000  # events of one archive file and one transaction
NUMBERS = frozenset(
    "chain seq epoch row_id row_version version delivery_id chain_driver_id driver_id episode".split()
)


@dataclass(frozen=True)
class Fault:
    """One kind of damage in the trail: how often, and the first row it shows at. Fields that do not apply are None."""

    fault: str
    count: int
    chain: int | None
    seq: int | None
    tbl: str | None
    row_id: int | None
    row_version: int | None


@dataclass(frozen=True)
class Verified:
    """What a verification looked at, and the faults it found; empty when the trail is whole."""

    events: int
    chains: int
    seals: int
    archives: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Chain:
    """What the database holds of one chain, row by row."""

    events: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    refusals: list[dict[str, Any]]
    broken: list[Fault]


@cache
def _named() -> Mapping[str, str]:
    return parse(Path(__file__).with_name("audit.sql").read_text("utf-8"))


@cache
def query(name: str) -> TextClause:
    """Return a named statement of `audit.sql`."""
    return text(_named()[name])


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """Yield a connection of dk_verify on one snapshot, hashing as the trail was written, without a time limit."""
    with open_connection(engine, role="dk_verify") as connection, connection.begin():
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL extra_float_digits = 1")
        connection.exec_driver_sql("SET LOCAL work_mem = '64MB'")
        yield connection


def verify(engine: Engine) -> tuple[Verified, list[str]]:
    """Return what is wrong in the whole trail, and its seals as lines; both of one snapshot."""
    with _snapshot(engine) as connection:
        faults = [fault for name in audit_faults() for fault in _first(connection, name)]
        size = connection.execute(query("trail_size")).mappings().one()
        return Verified(**size, faults=tuple(faults)), list(
            connection.execute(query("seal_lines")).scalars()
        )


def _first(connection: Connection, name: str, chain: int | None = None) -> list[Fault]:
    """Return the first row of each kind of fault that a query of `audit_faults` finds, and how many there are."""
    wrapped = _named()["first_faults" if chain is None else "first_faults_of_chain"]
    asked = text(wrapped.replace("{faults}", audit_faults()[name]))
    rows = connection.execute(asked, {} if chain is None else {"chain": chain})
    return [Fault(*row) for row in rows]


def chain(engine: Engine, id_: int) -> Chain:
    """Return a chain's events with their decisions, the runs named in them, what was refused, and broken links.

    id_: a delivery's id, or a driver's with a minus sign. Who read it is on record before anything is read.
    """
    with open_connection(engine, role="dk_verify") as connection:
        with connection.begin():
            connection.execute(query("note_reading"), {"what": "show", "chain": id_})
        with connection.begin():
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.exec_driver_sql("SET LOCAL extra_float_digits = 1")
            events = _dicts(connection, "chain", {"chain": id_})
            named = sorted({event["run_id"] for event in events if event["run_id"]})
            runs = _dicts(connection, "runs", {"runs": named})
            rows = sorted({event["row_id"] for event in events})
            decided = _dicts(connection, "decisions", {"runs": named, "rows": rows})
            ids = {
                (ENTITIES[row["entity"]], row["row_id"], row["row_version"]): row["decision_id"]
                for row in decided
            }
            root = {"root": "delivery" if id_ > 0 else "driver", "id": abs(id_)}
            refusals, broken = (
                _dicts(connection, "refusals", root),
                _first(connection, "links", id_),
            )
    for event in events:
        event["decision_id"] = ids.get((event["tbl"], event["row_id"], event["row_version"]))
    return Chain(events, runs, refusals, broken)


def _dicts(connection: Connection, name: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query(name), values).mappings()]


def clock(engine: Engine, now: datetime | None = None) -> datetime:
    """Return the instant that ages are judged at: --now (Usage where the clock is strict), or the database clock."""
    with open_connection(engine, role="dk_privacy") as connection, connection.begin():
        if (
            now is not None
            and connection.execute(statements.query("clock_mode")).scalar_one() == "strict"
        ):
            raise Usage(
                "--now is refused: this database keeps a strict clock (`db up --strict-clock`)"
            )
        found = now or connection.execute(statements.query("clock")).scalar_one()
    assert isinstance(found, datetime)
    return found.astimezone(UTC)


def note(engine: Engine, what: str) -> None:
    """Record that somebody looked at the trail of a whole period."""
    with open_connection(engine, role="dk_verify") as connection, connection.begin():
        connection.execute(query("note_reading"), {"what": what, "chain": None})


def period(engine: Engine, since: datetime, until: datetime) -> pl.DataFrame:
    """Return the trail of a period as a frame of ids, states and instants, in the order it was written."""
    with _snapshot(engine) as connection:
        return _frame(connection.execute(query("export"), {"since": since, "until": until}))


def unsealed(engine: Engine) -> tuple[int, datetime | None]:
    """Return how many events wait for a seal, and when the last seal was made."""
    with _snapshot(engine) as connection:
        row = connection.execute(query("seal_due")).one()
        return int(row[0]), row[1]


def seal(engine: Engine) -> list[str]:
    """Seal all finished events; return the seals made as lines: epoch, number, events, digest.

    A seal covers one epoch: first each closed one with unsealed events, as a restore leaves it, then this server's own.
    """
    with open_connection(engine, role="dk_verify") as connection, connection.begin():
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        lines = list(connection.execute(query("make_seals")).scalars())
    failpoint("seal made")
    return lines


def seal_lines(engine: Engine) -> list[str]:
    """Return every seal as a line, oldest first."""
    with _snapshot(engine) as connection:
        return list(connection.execute(query("seal_lines")).scalars())


def retirable(engine: Engine, before: datetime, most: int = CHUNK) -> pl.DataFrame:
    """Return at most `most` events that may be retired, the oldest first chosen, in the order of their chains."""
    with _snapshot(engine) as connection:
        return _frame(connection.execute(query("retirable"), {"before": before, "most": most}))


def retirable_count(engine: Engine, before: datetime) -> int:
    """Return how many events may be retired."""
    with _snapshot(engine) as connection:
        return int(connection.execute(query("retirable_count"), {"before": before}).scalar_one())


@contextmanager
def pruning(engine: Engine) -> Iterator[None]:
    """Hold the lock of pruning. Raises TryLater while another run holds it."""
    lock = {"sweep": "audit prune"}
    with open_connection(engine, role="dk_privacy") as connection:
        with connection.begin():
            if not connection.execute(statements.query("take_lock"), lock).scalar_one():
                raise TryLater("another run is pruning the audit trail")
        yield
        with connection.begin():  # a connection that breaks lets go by itself
            connection.execute(statements.query("drop_lock"), lock)


def retire(engine: Engine, name: str, sha256: str, before: datetime, events: pl.DataFrame) -> int:
    """Move the links of archived events; their bodies leave the database. Return how many went: all, or an error."""
    keys: dict[str, Sequence[int]] = {
        "chain": events["chain"].to_list(),
        "seq": events["seq"].to_list(),
    }
    with open_connection(engine, role="dk_privacy") as connection, connection.begin():
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        moved = connection.execute(
            query("retire"), {"name": name, "sha256": sha256, "before": before, **keys}
        ).scalar_one()
    failpoint("events retired")
    return int(moved)


def archives(engine: Engine) -> dict[str, str]:
    """Return name -> SHA-256 of every archive file that holds retired bodies."""
    with _snapshot(engine) as connection:
        return {row[0]: row[1] for row in connection.execute(query("archive_files"))}


def retired_links(engine: Engine, name: str) -> pl.DataFrame:
    """Return the links whose bodies one archive holds, in the order of their chains."""
    with _snapshot(engine) as connection:
        return _frame(connection.execute(query("retired_links"), {"name": name}))


def _frame(found: CursorResult[Any]) -> pl.DataFrame:
    """Return a result whose columns are whole numbers or text."""
    names = list(found.keys())
    types = {name: pl.Int64 if name in NUMBERS else pl.String for name in names}
    types |= {name: pl.Datetime("us", "UTC") for name in names if name == "at"}
    return pl.DataFrame([tuple(row) for row in found], schema=types, orient="row")

"""The audit trail: read, verified and sealed as role dk_verify, retired as dk_privacy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Connection, CursorResult, Engine, TextClause, text

from dispatchkit.config import Database
from dispatchkit.domain.tables import ENTITIES
from dispatchkit.kernel.errors import TryLater, Usage
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.kernel.sql import parse
from dispatchkit.store import read, statements
from dispatchkit.store.check import audit_faults
from dispatchkit.store.connect import open_connection
from dispatchkit.store.contract import Args

CHUNK = 100_000  # events of one archive file and one transaction
NUMBERS = frozenset(
    "chain seq epoch row_id row_version version delivery_id chain_driver_id driver_id episode".split()
)


@dataclass(frozen=True)
class Fault:
    """One kind of damage in the trail: how often it occurs, and its first row.

    None: does not apply.
    """

    fault: str
    count: int
    chain: int | None
    seq: int | None
    tbl: str | None
    row_id: int | None
    row_version: int | None


@dataclass(frozen=True)
class Verified:
    """The size of what was verified and the faults; no faults when the trail is intact."""

    events: int
    chains: int
    seals: int
    archives: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Chain:
    """Everything that the database holds about one chain, as rows."""

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
    """Yield a connection of dk_verify on one snapshot, without a time limit.

    Numbers are printed as they were when the trail was hashed.
    """
    with open_connection(engine, role="dk_verify") as connection, connection.begin():
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL extra_float_digits = 1")
        connection.exec_driver_sql("SET LOCAL work_mem = '64MB'")
        yield connection


@dataclass(frozen=True)
class Trail:
    """The audit trail of one database."""

    _engine: Engine
    _waits: Database = field(default_factory=Database)

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        """Return the frame of each query, which may read the trail, all from one snapshot."""
        return read.frames(self._engine, queries, args, self._waits, "dk_verify")

    def verify(self) -> tuple[Verified, list[str]]:
        """Return the faults of the whole trail, and its seals as lines; both from one snapshot."""
        with _snapshot(self._engine) as connection:
            faults = [fault for name in audit_faults() for fault in _first_faults(connection, name)]
            size = connection.execute(query("trail_size")).mappings().one()
            return Verified(**size, faults=tuple(faults)), list(
                connection.execute(query("seal_lines")).scalars()
            )

    def chain(self, id_: int) -> Chain:
        """Return a chain's events with their decisions, their runs, the refusals, and broken links.

        id_: a delivery's id, or minus a driver's id. The reading is recorded before anything is read.
        """
        with open_connection(self._engine, role="dk_verify") as connection:
            with connection.begin():
                connection.execute(query("note_reading"), {"what": "show", "chain": id_})
            with connection.begin():
                connection.exec_driver_sql(
                    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
                )
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
                    _first_faults(connection, "links", id_),
                )
        for event in events:
            event["decision_id"] = ids.get((event["tbl"], event["row_id"], event["row_version"]))
        return Chain(events, runs, refusals, broken)

    def clock(self, now: datetime | None = None) -> datetime:
        """Return --now if given, else the database clock.

        Raises Usage for --now under a strict clock.
        """
        with open_connection(self._engine, role="dk_privacy") as connection, connection.begin():
            if (
                now is not None
                and connection.execute(statements.query("clock_mode")).scalar_one() == "strict"
            ):
                raise Usage(
                    "--now is refused: this database keeps a strict clock (`db up --strict-clock`)"
                )
            instant = now or connection.execute(statements.query("clock")).scalar_one()
        assert isinstance(instant, datetime)
        return instant.astimezone(UTC)

    def note_reading(self, what: str) -> None:
        """Record that somebody read the trail of a whole period."""
        with open_connection(self._engine, role="dk_verify") as connection, connection.begin():
            connection.execute(query("note_reading"), {"what": what, "chain": None})

    def period(self, since: datetime, until: datetime) -> pl.DataFrame:
        """Return the trail of a period in writing order: a frame of ids, states and instants."""
        with _snapshot(self._engine) as connection:
            return _frame(connection.execute(query("export"), {"since": since, "until": until}))

    def unsealed(self) -> tuple[int, datetime | None]:
        """Return the number of events without a seal, and the time of the last seal."""
        with _snapshot(self._engine) as connection:
            row = connection.execute(query("seal_due")).one()
            return int(row[0]), row[1]

    def seal(self) -> list[str]:
        """Seal all finished events; return the new seals as lines: epoch, number, events, digest.

        A seal covers one epoch. A restore closes an epoch: closed epochs with unsealed events come
        first, then the present one.
        """
        with open_connection(self._engine, role="dk_verify") as connection, connection.begin():
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            lines = list(connection.execute(query("make_seals")).scalars())
        failpoint("seal made")
        return lines

    def seal_lines(self) -> list[str]:
        """Return every seal as a line, oldest first."""
        with _snapshot(self._engine) as connection:
            return list(connection.execute(query("seal_lines")).scalars())

    def retirable(self, before: datetime, most: int = CHUNK) -> pl.DataFrame:
        """Return the oldest `most` events that may be retired, in the order of their chains."""
        with _snapshot(self._engine) as connection:
            return _frame(connection.execute(query("retirable"), {"before": before, "most": most}))

    def retirable_count(self, before: datetime) -> int:
        """Return how many events may be retired."""
        with _snapshot(self._engine) as connection:
            return int(
                connection.execute(query("retirable_count"), {"before": before}).scalar_one()
            )

    @contextmanager
    def pruning(self) -> Iterator[None]:
        """Hold the lock of pruning. Raises TryLater while another run has it."""
        lock = {"sweep": "audit prune"}
        with open_connection(self._engine, role="dk_privacy") as connection:
            with connection.begin():
                if not connection.execute(statements.query("take_lock"), lock).scalar_one():
                    raise TryLater("another run is pruning the audit trail")
            yield
            with connection.begin():  # a connection that breaks releases it by itself
                connection.execute(statements.query("drop_lock"), lock)

    def retire(self, name: str, sha256: str, before: datetime, events: pl.DataFrame) -> int:
        """Move the links of archived events and delete their bodies; return how many: always all.

        name, sha256: the archive file that holds the bodies.
        """
        keys: dict[str, Sequence[int]] = {
            "chain": events["chain"].to_list(),
            "seq": events["seq"].to_list(),
        }
        with open_connection(self._engine, role="dk_privacy") as connection, connection.begin():
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            moved = connection.execute(
                query("retire"), {"name": name, "sha256": sha256, "before": before, **keys}
            ).scalar_one()
        failpoint("events retired")
        return int(moved)

    def archives(self) -> dict[str, str]:
        """Return name -> SHA-256 of every archive file that holds retired bodies."""
        with _snapshot(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query("archive_files"))}

    def retired_links(self, name: str) -> pl.DataFrame:
        """Return the links whose bodies one archive holds, in the order of their chains."""
        with _snapshot(self._engine) as connection:
            return _frame(connection.execute(query("retired_links"), {"name": name}))


def _first_faults(connection: Connection, name: str, chain: int | None = None) -> list[Fault]:
    """Return the first row and the number of each kind of fault that one query finds."""
    wrapped = _named()["first_faults" if chain is None else "first_faults_of_chain"]
    statement = text(wrapped.replace("{faults}", audit_faults()[name]))
    rows = connection.execute(statement, {} if chain is None else {"chain": chain})
    return [Fault(*row) for row in rows]


def _dicts(connection: Connection, name: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query(name), values).mappings()]


def _frame(result: CursorResult[Any]) -> pl.DataFrame:
    """Return a result whose columns are whole numbers or text."""
    names = list(result.keys())
    types = {name: pl.Int64 if name in NUMBERS else pl.String for name in names}
    types |= {name: pl.Datetime("us", "UTC") for name in names if name == "at"}
    return pl.DataFrame([tuple(row) for row in result], schema=types, orient="row")

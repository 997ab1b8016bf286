"""A sweep is killed while a row is refused or locked: it passes failpoints that no clean run
passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import psycopg
import pytest
from sqlalchemy import Engine

from dispatchkit.domain.tables import ENTITIES
from tests import counts, databases
from tests.crash.recovery import (
    broken_invariants,
    differences,
    drawn_by_day,
    sweep_command,
    table_contents,
    wait_for_disconnects,
)

# The victim is not alone in its batch. No offers: where one fails, a re-run may rightly ask others
# about the rest.
BATCH = {"reassignment": 6, "availability": 9, "escalation": 6, "routes": 8}
SHORT = "reassignment"  # the fewest rows
FIRST = """SELECT d.entity, d.row_id, d.row_version, o.root, o.root_id
FROM dk.decisions d JOIN dk.outbox o USING (decision_id)
  ORDER BY o.root_id, d.row_version DESC, d.row_id LIMIT 1"""
QUARANTINED = (
    "SELECT DISTINCT entity, row_id, row_version, sqlstate FROM dk.decisions "
    "WHERE outcome = 'POISON'"
)
LEDGER = "SELECT status, decided, applied, stale, poison, busy FROM dk.sweep_runs"
Held = dict[str, list[str]]
SHARES = 2  # of the points


@dataclass(frozen=True)
class Victim:
    """A row of the first root that a sweep writes, at the version before (0: none yet)."""

    entity: str
    id: int
    version: int
    root: str
    root_id: int


@contextmanager
def refused(engine: Engine, victim: Victim) -> Iterator[int]:
    """Let the database refuse the victim's next version; yields 0, nobody is beside the sweep."""
    rule = f"CHECK (id <> {victim.id} OR version <= {victim.version})"
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"ALTER TABLE dk.{ENTITIES[victim.entity]} ADD CONSTRAINT planted {rule}"
        )
    yield 0


@contextmanager
def held(engine: Engine, victim: Victim) -> Iterator[int]:
    """Lock the victim's root in another session for the whole block; yield its process on the
    server.
    """
    with psycopg.connect(databases.url(engine)) as other:
        other.execute(
            f"SELECT FROM dk.{ENTITIES[victim.root]} WHERE id = {victim.root_id} FOR UPDATE".encode()
        )
        yield other.info.backend_pid


# what is wrong, how such a run exits, and what it passes in this order that no clean run does
PATHS = {
    "a row is refused": (refused, 3, ["bisect", "poison", "batch begin"]),
    "a row is held": (held, 75, ["busy retry", "batch begin", "busy retry", "batch begin"]),
}


@pytest.fixture(scope="module")
def victim(fork_server):
    @cache
    def first(sweep: str) -> Victim:
        with databases.fresh("sample") as engine:
            assert fork_server.run(engine, *sweep_command(sweep, BATCH[sweep])).exit == 0
            with engine.connect() as connection:
                return Victim(*connection.exec_driver_sql(FIRST).one())

    return first


def rows(engine: Engine, query: str) -> list[str]:
    with engine.connect() as connection:
        return sorted(str(tuple(row)) for row in connection.exec_driver_sql(query))


def outcome(engine: Engine) -> Held:
    """Return what a run has made of the tables, and what it has put into quarantine."""
    return table_contents(engine) | {"quarantined": rows(engine, QUARANTINED)}


@pytest.mark.parametrize("share", drawn_by_day(SHARES))
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "sweep",
    [pytest.param(sweep, marks=[] if sweep == SHORT else pytest.mark.nightly) for sweep in BATCH],
)
def test_sweep_killed_on_bad_path_recovers(fork_server, victim, sweep, path, share):
    """The trouble lasts: the re-run meets it again, and does all the rest.

    A kill that left every table as it was leaves the database to the next; of kills that left the
    same, ledger and quarantine included, one is followed by a re-run.
    """
    trouble, exit_, passed = PATHS[path]
    words, its = sweep_command(sweep, BATCH[sweep]), victim(sweep)
    with databases.fresh("sample") as engine, trouble(engine, its):
        before = table_contents(engine)
        whole = fork_server.run(engine, *words)
        wanted = outcome(engine)
    assert whole.exit == exit_, whole
    points = iter(whole.points)
    assert all(point in points for point in passed), whole.points  # in this order
    assert differences(wanted, before | {"quarantined": []}).keys() >= {"audit", "decisions"}, (
        "the others are written"
    )
    ends, finished = list(enumerate(whole.points))[share::SHARES][::-1], list[Held]()
    while ends:
        with databases.fresh("sample", sound=False) as engine, trouble(engine, its) as beside:
            while ends:
                end_at, point = ends.pop()
                where = f"{path}, killed at point {end_at}, {point!r}"
                assert fork_server.run(engine, *words, end_at=end_at).exit == -9, where
                wait_for_disconnects(engine, beside)
                assert broken_invariants(engine) == [], where
                counts.add("crash points of bad paths")
                if differences(table_contents(engine), before):
                    break
            left = outcome(engine) | {"ledger": rows(engine, LEDGER)}
            if left not in finished:
                again = fork_server.run(engine, *words)
                assert again.exit == exit_, f"{where}: {again}"
                assert differences(outcome(engine), wanted) == {}, where
                assert broken_invariants(engine) == [], where
                finished.append(left)

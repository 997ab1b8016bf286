"""Faults planted into the program or the database at run time; the suite must notice every one of them.

A fault is one phrase of a function replaced by another, in Python or in the database's own functions, or a wall taken
down by SQL. Where the phrase is not found, once, the fault no longer fits and says so.
"""

# ruff: noqa: E501 - one fault a line reads best

from __future__ import annotations
import __future__

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from tests import databases

WRITER, STORE = "dispatchkit.store.write:Writer", "dispatchkit.store.postgres:PostgresStore"
ANSWER = "dispatchkit.decide.offers.answer"
APART = 'self._connection.exec_driver_sql("COMMIT"); self._connection.exec_driver_sql("BEGIN"); '  # two transactions instead of one
FLAGS = __future__.annotations.compiler_flag
Edit = tuple[
    str, str, str
]  # where (module:function, or a function of the database), phrase, what stands there instead


@dataclass(frozen=True)
class Mutant:
    """One fault, and the part of the suite that has to notice it (a name of `killers.KILLERS`)."""

    killer: str
    program: Sequence[Edit] = ()
    database: Sequence[Edit] = ()
    sql: Sequence[str] = ()


MUTANTS: Mapping[str, Mutant] = {
    # policies
    "an offer lives on at its deadline": Mutant(
        "model", (("dispatchkit.decide.offers.expire:expire", "now >= offer.hard_deadline", "now > offer.hard_deadline"),)
    ),
    "an offer is accepted at its deadline": Mutant(
        "model", ((f"{ANSWER}:respond", "now >= asked.offer.hard_deadline", "now > asked.offer.hard_deadline"),)
    ),
    "the offers of those who lost stay open": Mutant(
        "rivals", ((f"{ANSWER}:_accept", 'withdraw(group, asked.rivals, "TAKEN_BY_OTHER")', "pass"),)
    ),
    "anybody may answer an offer": Mutant(
        "model", ((f"{ANSWER}:_asked", " and o.driver_id == event.driver_id", ""),)
    ),
    "a driver takes more than he may hold": Mutant(
        "model", ((f"{ANSWER}:_accept", "min(driver.max_stack, params.max_stack)", "3"),)
    ),
    "a driver is asked again in one episode": Mutant(
        "model", (("dispatchkit.decide.offers.seek:seek", "barred=frozenset(o.driver_id for o in this_time)", "barred=frozenset()"),)
    ),
    "a release goes on with the old episode": Mutant(
        "model", (("dispatchkit.decide.reassignment.case_tracking:release", "episode=delivery.episode + 1", "episode=delivery.episode"),)
    ),
    "a driver on a break keeps his offer": Mutant(
        "model", (("dispatchkit.decide.availability.driver_requests:respond", "withdrawn = _withdraw_offer(frames, driver, now)", "withdrawn = [] if duty == DutyState.ON_BREAK else _withdraw_offer(frames, driver, now)"),)
    ),
    # the writer
    "no version is compared": Mutant(
        "stale",
        (
            (f"{WRITER}._compare_versions", "if k in locked and locked[k] != v", "if False"),
            ("dispatchkit.store.statements:apply", " AND t.version = s.version", ""),
        ),
    ),
    "a locked row is booked as stale": Mutant(
        "held rows", ((f"{WRITER}._compare_versions", "busy.append(group)", 'stale.append((group, "busy"))'),)
    ),
    "events leave in a second transaction": Mutant(
        "crash points", ((f"{WRITER}._transaction", "statements_write.write_events(", f"{APART}statements_write.write_events("),)
    ),
    "a batch commits half-way": Mutant(
        "crash points", ((f"{WRITER}._transaction", 'failpoint("rows written")', f'{APART}failpoint("rows written")'),)
    ),
    "a lost COMMIT is tried again blindly": Mutant(
        "lost answers", ((f"{WRITER}._write_batch", "if state in RETRIED and", 'if (state in RETRIED or state == "") and'),)
    ),
    "the lock is held by another connection": Mutant(
        "held rows", ((f"{STORE}.sweeping", "is_ours, leader = connection.execute(", "is_ours, leader = self.engine.connect().execute("),)
    ),
    "nobody asks whether the lock is taken": Mutant(
        "overlap", ((f"{STORE}.sweeping", "if not is_ours:", "if False:"), (f"{WRITER}._check_lock_held", "held = self._connection", "return; held = self._connection"))
    ),
    "the clock is read before the locks": Mutant(
        "late lock",
        (
            (f"{STORE}.acting", 'connection.execute(query("describe_actor")', 'early = self._instant(connection); connection.execute(query("describe_actor")'),
            (f"{STORE}.acting", "PostgresActing(connection, actor, self._instant(connection))", "PostgresActing(connection, actor, early)"),
        ),
    ),
    "an act locks no offers and no delivery": Mutant(
        "rivals",
        (
            (f"{STORE}.acting", "text(statements.lock(root[0], wait=True))", 'text("SELECT 1 WHERE 0 < ANY(:ids)")'),
            (f"{STORE}.acting", 'connection.execute(query("lock_pending"), {"id": root[1]})', "pass"),
        ),
    ),
    "an act locks offers but no delivery": Mutant(
        "acts at once", ((f"{STORE}.acting", "text(statements.lock(root[0], wait=True))", 'text("SELECT 1 WHERE 0 < ANY(:ids)")'),)
    ),
    # the database
    "an episode may be accepted twice": Mutant("raw rivals", sql=("DROP INDEX dk.offer_one_accepted",)),
    "a slot may be swept twice": Mutant("slot", sql=("DROP INDEX dk.sweep_run_slot",)),
    "an accepted offer need not be the delivery's": Mutant("attacks", sql=("DROP TRIGGER c_pair ON dk.driver_offers",)),
    "a delivery may leave who accepted it": Mutant("attacks", sql=("DROP TRIGGER c_pair ON dk.deliveries",)),
    "a closed delivery takes offers": Mutant("attacks", sql=("DROP TRIGGER b_open ON dk.driver_offers",)),
    "any step is allowed": Mutant("attacks", sql=("INSERT INTO dk.transitions SELECT 'deliveries', unnest('{UNASSIGNED,OFFERING}'::text[]), 'DELIVERED'",)),
    "what was agreed may change": Mutant("attacks", database=(("dk.guard_driver_offers", "IF (OLD.id", "IF false AND (OLD.id"),)),
    "a birth keeps the version that it brings": Mutant("births", database=(("dk.guard_drivers", "NEW.version := 1;", ""),)),
    "the trail sleeps for a replication role": Mutant("trail", sql=("ALTER TABLE dk.drivers ENABLE TRIGGER z_audit_u",)),
    "a level may fall": Mutant("attacks", sql=("DROP TRIGGER b_level ON dk.unassigned_orders",)),
    "who is at home may be given goods": Mutant("attacks", sql=("DROP TRIGGER d_carry ON dk.deliveries",)),
    "who carries goods may go home": Mutant("attacks", sql=("DROP TRIGGER b_holds ON dk.drivers",)),
}  # fmt: skip


def plant(name: str) -> None:
    """Plant a fault of the program into this process, for good."""
    for where, edits in _by_place(MUTANTS[name].program).items():
        _edit(where, edits)


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Plant a fault into this process, and into every fresh database, for the length of the block."""
    mutant = MUTANTS[name] if name else Mutant("")
    plain = databases.fresh

    @contextmanager
    def fresh(kind: str, *, sound: bool = True) -> Iterator[Engine]:
        with plain(kind, sound=sound) as made:
            _sabotage(made, mutant)
            yield made

    if (
        mutant.database or mutant.sql
    ):  # here nobody takes the error of a fault that no longer fits for its discovery
        with plain("empty", sound=False) as made:
            _sabotage(made, mutant)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as undo:
        for where, edits in _by_place(mutant.program).items():
            undo.callback(_edit(where, edits))
        patch.setattr(databases, "fresh", fresh)
        yield


def _by_place(edits: Iterable[Edit]) -> Mapping[str, list[Edit]]:
    return {where: [edit for edit in edits if edit[0] == where] for where, _, _ in edits}


def _edit(where: str, edits: Iterable[Edit]) -> Callable[[], None]:
    """Change a function in place, for everybody who has imported it; return what undoes that."""
    module, _, path = where.partition(":")
    found: Any = import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    function = inspect.unwrap(found)
    assert isinstance(function, FunctionType)
    source = textwrap.dedent(inspect.getsource(function))
    source = _replaced(source[source.index("def ") :], edits)
    scope: dict[str, FunctionType] = {}
    exec(compile(source, where, "exec", FLAGS), dict(function.__globals__), scope)
    plain = function.__code__

    def become(code: CodeType) -> None:
        function.__code__ = code
        getattr(found, "cache_clear", lambda: None)()

    become(scope[function.__name__].__code__)
    return partial(become, plain)


def _sabotage(made: Engine, mutant: Mutant) -> None:
    with psycopg.connect(databases.url(made), autocommit=True) as on:
        for edit in mutant.database:
            row = on.execute(
                "SELECT pg_get_functiondef(CAST(%s AS regproc))", (edit[0],)
            ).fetchone()
            assert row is not None
            on.execute(_replaced(row[0], [edit]).encode())
        for statement in mutant.sql:
            on.execute(statement.encode())


def _replaced(source: str, edits: Iterable[Edit]) -> str:
    for where, phrase, instead in edits:
        assert source.count(phrase) == 1, (
            f"{where} does not say {phrase!r} once: the fault no longer fits"
        )
        source = source.replace(phrase, instead)
    return source

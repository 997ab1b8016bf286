"""Faults planted into the program or the database at run time; the suite must notice each of them.

A fault replaces one phrase of a function by another, in Python or in the database's own functions,
or removes a protection of the database by SQL. A fault whose phrase is not found exactly once no
longer fits the code and says so.
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
ANSWER = "dispatchkit.decide.offers.respond"
# Two transactions instead of one.
APART = 'self._connection.exec_driver_sql("COMMIT"); self._connection.exec_driver_sql("BEGIN"); '
FLAGS = __future__.annotations.compiler_flag
# Where (module:function, or a function of the database), the phrase, its replacement.
Edit = tuple[str, str, str]


@dataclass(frozen=True)
class Fault:
    """One fault, and the name of the detector in `detectors.py` that has to notice it."""

    detector: str
    program: Sequence[Edit] = ()
    database: Sequence[Edit] = ()
    sql: Sequence[str] = ()


FAULTS: Mapping[str, Fault] = {
    # policies
    "an offer lives on at its deadline": Fault(
        "model", (("dispatchkit.decide.offers.find_open:expire", "now >= offer.hard_deadline", "now > offer.hard_deadline"),)
    ),
    "an offer is accepted at its deadline": Fault(
        "model", ((f"{ANSWER}:respond", "now >= context.offer.hard_deadline", "now > context.offer.hard_deadline"),)
    ),
    "the offers of the losers stay open": Fault(
        "rivals", ((f"{ANSWER}:_accept", "withdraw(changes, context.rivals, ChangeReason.TAKEN_BY_OTHER)", "pass"),)
    ),
    "any driver may answer an offer": Fault(
        "model", ((f"{ANSWER}:_context", " and o.driver_id == event.driver_id", ""),)
    ),
    "a driver takes more than they may hold": Fault(
        "model", ((f"{ANSWER}:_accept", "min(driver.max_stack, params.max_stack)", "3"),)
    ),
    "a driver is asked again in one episode": Fault(
        "model", (("dispatchkit.decide.offers.find_open:find_open", "barred=frozenset(o.driver_id for o in this_episode)", "barred=frozenset()"),)
    ),
    "a release goes on with the old episode": Fault(
        "model", (("dispatchkit.decide.reassignment.case_tracking:release", "episode=delivery.episode + 1", "episode=delivery.episode"),)
    ),
    "a driver on a break keeps the offer": Fault(
        "model", (("dispatchkit.decide.availability.driver_requests:respond", "withdrawn = _withdraw_offer(frames, driver, now)", "withdrawn = [] if duty == DutyState.ON_BREAK else _withdraw_offer(frames, driver, now)"),)
    ),
    # the writer
    "no version is compared": Fault(
        "stale",
        (
            (f"{WRITER}._compare_versions", "if k in locked and locked[k] != v", "if False"),
            ("dispatchkit.store.statements:apply", " AND t.version = s.version", ""),
        ),
    ),
    "a locked row is recorded as stale": Fault(
        "held rows", ((f"{WRITER}._compare_versions", "busy.append(group)", 'stale.append((group, "busy"))'),)
    ),
    "events leave in a second transaction": Fault(
        "crash points", ((f"{WRITER}._transaction", "statements_write.write_events(", f"{APART}statements_write.write_events("),)
    ),
    "half a batch is committed": Fault(
        "crash points", ((f"{WRITER}._transaction", 'failpoint("rows written")', f'{APART}failpoint("rows written")'),)
    ),
    "a lost COMMIT is tried again blindly": Fault(
        "lost answers", ((f"{WRITER}._write_batch", "if state in RETRIED and", 'if (state in RETRIED or state == "") and'),)
    ),
    "the lock is held by another connection": Fault(
        "held rows", ((f"{STORE}.sweeping", "is_ours, leader = connection.execute(", "is_ours, leader = self.engine.connect().execute("),)
    ),
    "no check that the lock is taken": Fault(
        "overlap", ((f"{STORE}.sweeping", "if not is_ours:", "if False:"), (f"{WRITER}._check_lock_held", "held = self._connection", "return; held = self._connection"))
    ),
    "the clock is read before the locks": Fault(
        "late lock",
        (
            (f"{STORE}.acting", 'connection.execute(query("describe_actor")', 'early = self._instant(connection); connection.execute(query("describe_actor")'),
            (f"{STORE}.acting", "PostgresActing(connection, actor, self._instant(connection))", "PostgresActing(connection, actor, early)"),
        ),
    ),
    "an act locks no offers and no delivery": Fault(
        "rivals",
        (
            (f"{STORE}.acting", "text(statements.lock(root[0], wait=True))", 'text("SELECT 1 WHERE 0 < ANY(:ids)")'),
            (f"{STORE}.acting", 'connection.execute(query("lock_pending"), {"id": root[1]})', "pass"),
        ),
    ),
    "an act locks offers but no delivery": Fault(
        "acts at once", ((f"{STORE}.acting", "text(statements.lock(root[0], wait=True))", 'text("SELECT 1 WHERE 0 < ANY(:ids)")'),)
    ),
    # the database
    "an episode may be accepted twice": Fault("raw rivals", sql=("DROP INDEX dk.offer_one_accepted",)),
    "a slot may be swept twice": Fault("slot", sql=("DROP INDEX dk.sweep_run_slot",)),
    "an accepted offer need not be the delivery's": Fault("attacks", sql=("DROP TRIGGER c_pair ON dk.driver_offers",)),
    "a delivery may leave the driver who accepted it": Fault("attacks", sql=("DROP TRIGGER c_pair ON dk.deliveries",)),
    "a closed delivery takes offers": Fault("attacks", sql=("DROP TRIGGER b_open ON dk.driver_offers",)),
    "any step is allowed": Fault("attacks", sql=("INSERT INTO dk.transitions SELECT 'deliveries', unnest('{UNASSIGNED,OFFERING}'::text[]), 'DELIVERED'",)),
    "what was agreed may change": Fault("attacks", database=(("dk.guard_driver_offers", "IF (OLD.id", "IF false AND (OLD.id"),)),
    "an inserted row keeps the version that it brings": Fault("inserts", database=(("dk.guard_drivers", "NEW.version := 1;", ""),)),
    "the trail does not record a replication role": Fault("trail", sql=("ALTER TABLE dk.drivers ENABLE TRIGGER z_audit_u",)),
    "an escalation level may fall": Fault("attacks", sql=("DROP TRIGGER b_level ON dk.unassigned_orders",)),
    "a driver off duty may get goods": Fault("attacks", sql=("DROP TRIGGER d_carry ON dk.deliveries",)),
    "a driver with goods may go off duty": Fault("attacks", sql=("DROP TRIGGER b_holds ON dk.drivers",)),
}  # fmt: skip


def plant(name: str) -> None:
    """Plant a fault of the program into this process, for good."""
    for where, edits in _by_place(FAULTS[name].program).items():
        _edit(where, edits)


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Plant a fault into this process and into every fresh database, for the length of the block.

    Raises AssertionError if the fault no longer fits the code.
    """
    fault = FAULTS[name] if name else Fault("")
    fresh_without_fault = databases.fresh

    @contextmanager
    def fresh(kind: str, *, sound: bool = True) -> Iterator[Engine]:
        with fresh_without_fault(kind, sound=sound) as engine:
            _change_database(engine, fault)
            yield engine

    # Checked here, outside of the detector: the error of a fault that no longer fits must not
    # be taken for its discovery.
    if fault.database or fault.sql:
        with fresh_without_fault("empty", sound=False) as engine:
            _change_database(engine, fault)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as undo:
        for where, edits in _by_place(fault.program).items():
            undo.callback(_edit(where, edits))
        patch.setattr(databases, "fresh", fresh)
        yield


def _by_place(edits: Iterable[Edit]) -> Mapping[str, list[Edit]]:
    return {where: [edit for edit in edits if edit[0] == where] for where, _, _ in edits}


def _edit(where: str, edits: Iterable[Edit]) -> Callable[[], None]:
    """Change a function in place, for all modules that have imported it; return the undo."""
    module, _, path = where.partition(":")
    target: Any = import_module(module)
    for name in path.split("."):
        target = getattr(target, name)
    function = inspect.unwrap(target)
    assert isinstance(function, FunctionType)
    source = textwrap.dedent(inspect.getsource(function))
    source = _replaced(source[source.index("def ") :], edits)
    scope: dict[str, FunctionType] = {}
    exec(compile(source, where, "exec", FLAGS), dict(function.__globals__), scope)
    original = function.__code__

    def replace_code(code: CodeType) -> None:
        function.__code__ = code
        getattr(target, "cache_clear", lambda: None)()

    replace_code(scope[function.__name__].__code__)
    return partial(replace_code, original)


def _change_database(engine: Engine, fault: Fault) -> None:
    with psycopg.connect(databases.url(engine), autocommit=True) as connection:
        for edit in fault.database:
            definition = "SELECT pg_get_functiondef(CAST(%s AS regproc))"
            row = connection.execute(definition, (edit[0],)).fetchone()
            assert row is not None
            connection.execute(_replaced(row[0], [edit]).encode())
        for statement in fault.sql:
            connection.execute(statement.encode())


def _replaced(source: str, edits: Iterable[Edit]) -> str:
    for where, phrase, replacement in edits:
        assert source.count(phrase) == 1, (
            f"{where} does not contain {phrase!r} once: the fault no longer fits"
        )
        source = source.replace(phrase, replacement)
    return source

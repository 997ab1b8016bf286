"""The tests that have to notice a planted fault, each as one call that fails if it notices one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from dispatchkit.config import Database
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.contract import test_store
from tests.crash import test_attacks, test_network, test_overlap, test_race, test_sweeps
from tests.fork_client import CommandResult, ForkServer, Words
from tests.integration import test_audit, test_guards, test_writer
from tests.property.operation_machine import walk

Detector = Callable[["FaultyServer"], None]


class FaultyServer:
    """The fork server; its children carry a fault of the program, if one is named."""

    def __init__(self, fork_server: ForkServer, fault: str | None) -> None:
        self._fork_server, self._fault = fork_server, fault

    def run(self, *words: Any, **options: Any) -> CommandResult:
        return self._fork_server.run(*words, **options, fault=self._fault)

    def together(self, engine: Engine, commands: Sequence[Words]) -> list[CommandResult]:
        return self._fork_server.together(engine, commands, self._fault)

    @property
    def without_fault(self) -> FaultyServer:
        return FaultyServer(self._fork_server, None)


def crash_points(server: FaultyServer) -> None:
    """Kill an offers sweep at every failpoint of its first batch."""
    undisturbed = test_sweeps.clean_runs(server.without_fault)
    points, _ = undisturbed("offers")
    first_batch = range(points.index("batch begin"), points.index("batch committed"))
    test_sweeps.recovered(server, undisturbed, "offers", first_batch)


def lost_answers(server: FaultyServer) -> None:
    clean = test_network.clean_runs(server.without_fault)("offers")
    test_network.endure(server, "offers", clean, clean.lost_answers())


def overlap(server: FaultyServer) -> None:
    alone = test_overlap.runs_alone(server.without_fault)
    test_overlap.test_only_one_of_eight_concurrent_sweeps_works(server, alone, "offers", 2)


def _on(kind: str, test: Callable[..., None], *more: Any) -> Detector:
    """Return a test that takes a database (and more) as a detector."""

    def detector(server: FaultyServer) -> None:
        with databases.fresh(kind) as engine:
            test(engine, *more)

    return detector


def _on_store(test: Callable[[PostgresStore], None]) -> Detector:
    return _on(
        "sample", lambda engine: test(PostgresStore(engine, Database(batch=3), now=databases.NOW))
    )


CONTEST = test_race.Contest(8, 4)

DETECTORS: Mapping[str, Detector] = {
    "model": lambda _: walk(),
    "rivals": lambda _: test_race.test_exactly_one_concurrent_accept_wins(CONTEST),
    "raw rivals": lambda _: test_race.test_database_refuses_concurrent_raw_accepts(
        CONTEST, "the offer first"
    ),
    "acts at once": lambda _: test_race.test_concurrent_acts_get_known_answers(),
    "late lock": _on("empty", test_race.test_accept_that_waited_past_deadline_is_refused),
    "crash points": crash_points,
    "lost answers": lost_answers,
    "overlap": overlap,
    "attacks": _on("sample", test_attacks.test_database_refuses_every_raw_attack),
    "held rows": _on("sample", test_writer.test_locked_rows_are_left_for_next_run, databases.NOW),
    "stale": _on_store(test_store.test_decision_on_old_version_is_stale),
    "slot": _on_store(test_store.test_slot_is_done_once_for_each_sweep),
    "inserts": _on("sample", test_guards.test_inserted_row_always_has_version_one),
    "trail": _on("sample", test_audit.test_replication_role_cannot_bypass_guards_or_trail),
}

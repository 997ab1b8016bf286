"""The parts of the suite that have to notice a planted fault, each as one call that fails if it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine

from dispatchkit.config import Database
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.contract import test_store
from tests.crash import test_attacks, test_network, test_overlap, test_race, test_sweeps
from tests.crash.conftest import Ended, Forge, Words
from tests.integration import test_audit, test_guards, test_writer
from tests.property.live import walk

Killer = Callable[["Bent"], None]


class Bent:
    """The prepared process, whose children carry a fault; without a name they are sound."""

    def __init__(self, forge: Forge, mutant: str | None) -> None:
        self._forge, self._mutant = forge, mutant

    def run(self, *words: Any, **said: Any) -> Ended:
        return self._forge.run(*words, **said, mutant=self._mutant)

    def together(self, made: Engine, commands: Sequence[Words]) -> list[Ended]:
        return self._forge.together(made, commands, self._mutant)

    @property
    def sound(self) -> Bent:
        return Bent(self._forge, None)


def crash_points(forge: Bent) -> None:
    """The points of the first batch."""
    undisturbed = test_sweeps.clean_runs(forge.sound)
    points, _ = undisturbed("offers")
    first = range(points.index("batch begin"), points.index("batch committed"))
    test_sweeps.recovered(forge, undisturbed, "offers", first)


def lost_answers(forge: Bent) -> None:
    clean = test_network.clean_runs(forge.sound)("offers")
    test_network.endure(forge, "offers", clean, clean.lost_answers())


def overlap(forge: Bent) -> None:
    alone = test_overlap.runs_alone(forge.sound)
    test_overlap.test_of_eight_copies_of_a_sweep_one_works_and_the_others_step_back(
        forge, alone, "offers", 2
    )


def _on(kind: str, test: Callable[..., None], *more: Any) -> Killer:
    """Return a test that takes a database (and more) as a killer."""

    def killer(forge: Bent) -> None:
        with databases.fresh(kind) as made:
            test(made, *more)

    return killer


def _on_store(test: Callable[[PostgresStore], None]) -> Killer:
    return _on(
        "sample", lambda made: test(PostgresStore(made, Database(batch=3), now=databases.NOW))
    )


KILLERS: Mapping[str, Killer] = {
    "model": lambda _: walk(),
    "rivals": lambda _: test_race.test_of_rivals_who_accept_at_the_same_time_exactly_one_wins(
        test_race.Contest(8, 4)
    ),
    "raw rivals": lambda _: (
        test_race.test_rivals_who_go_past_the_program_are_refused_by_the_database(
            test_race.Contest(8, 4), "the offer first"
        )
    ),
    "acts at once": lambda _: (
        test_race.test_acts_on_one_delivery_at_once_are_each_answered_by_name()
    ),
    "late lock": _on(
        "empty", test_race.test_an_acceptance_that_waited_past_the_deadline_is_refused
    ),
    "crash points": crash_points,
    "lost answers": lost_answers,
    "overlap": overlap,
    "attacks": _on("sample", test_attacks.test_whoever_goes_past_the_program_is_refused_by_name),
    "held rows": _on(
        "sample", test_writer.test_rows_that_somebody_holds_are_left_for_the_next_run, databases.NOW
    ),
    "stale": _on_store(test_store.test_decision_on_old_version_is_stale),
    "slot": _on_store(test_store.test_slot_is_done_once_for_each_sweep),
    "births": _on(
        "sample", test_guards.test_the_version_of_a_birth_is_one_whatever_the_client_says
    ),
    "trail": _on("sample", test_audit.test_a_replication_role_does_not_slip_past_guard_and_trail),
}

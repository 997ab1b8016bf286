"""A state machine as data: which state may become which. What is not listed is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dispatchkit.kernel.errors import IllegalTransition

INITIAL = ""


@dataclass(frozen=True)
class Machine:
    """The legal moves of one kind of row. `moves[INITIAL]` are the states of a new row."""

    table: str
    moves: Mapping[str, frozenset[str]]
    states: frozenset[str] = field(init=False)
    terminal: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        targets = frozenset().union(*self.moves.values())
        object.__setattr__(self, "states", (targets | frozenset(self.moves)) - {INITIAL})
        object.__setattr__(
            self, "terminal", frozenset(s for s in self.states if not self.moves.get(s))
        )

    def allows(self, state: str, target: str) -> bool:
        """Return whether a row may go from `state` to `target`; staying the same is no move."""
        return target in self.moves.get(state, frozenset())

    def step(self, state: str, target: str) -> str:
        """Return `target`, or raise IllegalTransition naming both."""
        if not self.allows(state, target):
            raise IllegalTransition(f'{self.table}: "{state}" may not become "{target}"')
        return target

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield (table, from, to), sorted, as they stand in the database."""
        for state in sorted(self.moves):
            for target in sorted(self.moves[state]):
                yield self.table, state, target


def machine(table: str, moves: Mapping[str, str]) -> Machine:
    """Return a Machine from space-separated targets: `machine("t", {"": "OPEN", "OPEN": "CLOSED"})`."""
    return Machine(table, {state: frozenset(targets.split()) for state, targets in moves.items()})

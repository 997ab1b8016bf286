"""A state machine as data: which state may become which. What is not listed is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dispatchkit.kernel.errors import IllegalTransition

INITIAL = ""


@dataclass(frozen=True)
class Machine:
    """The legal moves of one kind of row. `moves[INITIAL]` are the states a row may be born in."""

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

    def allows(self, was: str, becomes: str) -> bool:
        """Return whether a row in state `was` may become `becomes`; staying the same is no transition."""
        return becomes in self.moves.get(was, frozenset())

    def step(self, was: str, becomes: str) -> str:
        """Return `becomes`, or raise IllegalTransition naming both."""
        if not self.allows(was, becomes):
            raise IllegalTransition(f'{self.table}: "{was}" may not become "{becomes}"')
        return becomes

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield (table, from, to), sorted, as they stand in the database."""
        for was in sorted(self.moves):
            for becomes in sorted(self.moves[was]):
                yield self.table, was, becomes


def machine(table: str, moves: Mapping[str, str]) -> Machine:
    """Return a Machine from space-separated targets: `machine("t", {"": "OPEN", "OPEN": "CLOSED"})`."""
    return Machine(table, {was: frozenset(targets.split()) for was, targets in moves.items()})

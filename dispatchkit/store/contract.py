"""What a store promises to the corridor; Postgres and memory both keep it, and one test suite holds them to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from dispatchkit.domain.changes import Change, Fact
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.stable_random import stable_id

Args = Mapping[str, int | datetime]


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What the run ledger keeps of a run before it starts."""

    sweep: str
    seed: int | None = None
    slot: datetime | None = None
    config_sha256: str | None = None
    code_version: str | None = None
    params: str | None = None  # canonical JSON of what the run is decided with
    deadline: timedelta | None = (
        None  # from the start of the run: no batch begins after it; None: [database] deadline
    )


@dataclass(frozen=True)
class Stale:
    """A decision whose row, or a row it relied on, had moved on: reported, never applied."""

    entity: str
    id: int
    version: int
    why: str


@dataclass
class Outcome:
    """What became of a run's decisions: decided = applied + stale + poison; already and busy are not decided anew."""

    applied: int = 0
    already: int = 0
    busy: int = 0
    poison: int = 0
    stale: list[Stale] = field(default_factory=list)
    poisoned: list[Stale] = field(default_factory=list)

    @property
    def decided(self) -> int:
        return self.applied + len(self.stale) + self.poison

    def add(self, other: Outcome) -> None:
        self.applied += other.applied
        self.already += other.already
        self.busy += other.busy
        self.poison += other.poison
        self.stale += other.stale
        self.poisoned += other.poisoned


class Run(Protocol):
    """One run of a sweep: it holds the sweep's lock until it ends."""

    id: str
    now: datetime

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        """Return each query's frame, all from one snapshot."""
        ...

    def apply(
        self,
        changes: Sequence[Change],
        *,
        inputs_sha256: str,
        facts: Sequence[Fact] = (),
        held: int = 0,
        left: int = 0,
    ) -> Outcome:
        """Write a run's changes, each group whole or not at all; then its facts, all or none.

        A fact whose id is there already stays as it is. Raises BadData for a table without facts.
        `left`: changes that this run leaves to the next. They count as busy, as does what is left at the deadline.
        """
        ...


class Acting(Protocol):
    """One act: the root row is locked, the clock was read after the lock."""

    now: datetime

    def read(self, queries: Mapping[str, tuple[str, str]], args: Args) -> dict[str, pl.DataFrame]:
        """Return each (table, query) as a frame typed by the table's contract."""
        ...

    def write(self, changes: Sequence[Change], *, reason: str = "act") -> None:
        """Write the act's changes, `reason` beside them in the audit trail; the rows are locked, so none is stale."""
        ...

    def refuse(
        self,
        event: str,
        root: tuple[str, int],
        code: str,
        *,
        was: str | None = None,
        offer_id: int | None = None,
    ) -> None:
        """Record that an act was refused and by which rule; `was`: the state that the offer, else the root, was in."""
        ...


def ping_id(driver: int, at: datetime) -> int:
    """Return the id of a driver's position at an instant: told twice, it is one row."""
    return stable_id("ping", driver, rfc3339(at))


class Store(Protocol):
    """Where rows live and decisions are written."""

    def clock(self) -> datetime:
        """Return the one instant a run reasons at: the database clock, or the operator's --now."""
        ...

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        """Return each query's frame, all from one snapshot, without lock or ledger."""
        ...

    def sweeping(self, ticket: RunRequest) -> AbstractContextManager[Run | None]:
        """Yield a Run that alone does this sweep; None if its slot is already done. Raises TryLater."""
        ...

    def acting(
        self, root: tuple[str, int], *, drivers: Sequence[int], actor: str
    ) -> AbstractContextManager[Acting]:
        """Yield an Acting on a locked root row (`delivery` or `driver`) and drivers; a missing row is no error."""
        ...

    def ping(self, driver: int, at: datetime, lat: float, lon: float) -> bool:
        """Keep where a driver was; return False if that instant of his is known already."""
        ...

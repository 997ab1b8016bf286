"""What every store offers to the flows. One test suite checks it for Postgres and for memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import polars as pl

from dispatchkit.domain.changes import Change, Fact
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.stable_random import stable_id

if TYPE_CHECKING:
    from dispatchkit.store.audit import Trail
    from dispatchkit.store.outbox import EventOutbox
    from dispatchkit.store.privacy import PersonalData

Args = Mapping[str, int | datetime]


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What the run ledger records of a run before it starts.

    params: canonical JSON of the parameters. deadline: how long after its start the run may begin
    batches; None: the `deadline` of [database] in the configuration.
    """

    sweep: str
    seed: int | None = None
    slot: datetime | None = None
    config_sha256: str | None = None
    code_version: str | None = None
    params: str | None = None
    deadline: timedelta | None = None


@dataclass(frozen=True)
class Stale:
    """A decision that was not applied, and why.

    Usually its row, or a row that it relied on, has another version than the decision saw.
    """

    entity: str
    id: int
    version: int
    why: str


@dataclass
class Outcome:
    """What became of a run's changes, in numbers: decided = applied + stale + poison.

    already: applied by an earlier run. busy: rows locked by others, or left at the deadline.
    poison: refused by the database because of the row itself. Neither already nor busy counts as
    decided.
    """

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
    """One run of a sweep; it holds the sweep's lock until it ends."""

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
        """Write a run's changes, all of one root or none of them; then its facts, all or none.

        A fact whose id exists stays as it is. inputs_sha256: digest of what the run decided on.
        held: how many changes the sweep's flag held back. left: changes that this run leaves to the
        next; they count as busy. Raises BadData for a table without facts.
        """
        ...


class Acting(Protocol):
    """One act. Its root row is locked, and `now` was read after the lock."""

    now: datetime

    def read(self, queries: Mapping[str, tuple[str, str]], args: Args) -> dict[str, pl.DataFrame]:
        """Return each (table, query) as a frame typed by the table's contract."""
        ...

    def write(self, changes: Sequence[Change], *, reason: str = "act") -> None:
        """Write the act's changes, which cannot be stale; the audit trail keeps the reason."""
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
        """Record that an act was refused.

        code: the rule that refused. was: the state of the offer at that time, else of the root.
        """
        ...


def ping_id(driver: int, at: datetime) -> int:
    """Return the id of a driver's position at an instant: a repeated ping is the same row."""
    return stable_id("ping", driver, rfc3339(at))


class Store(Protocol):
    """Where rows live and decisions are written.

    A store in memory raises Usage for `trail`, `privacy` and `outbox`, which it does not keep.
    """

    @property
    def trail(self) -> Trail:
        """The audit trail: every version of every row, chained and sealed."""
        ...

    @property
    def privacy(self) -> PersonalData:
        """Names and positions of persons, to erase or purge."""
        ...

    @property
    def outbox(self) -> EventOutbox:
        """The events of decisions, which the senders deliver."""
        ...

    @property
    def now_given(self) -> bool:
        """Return whether `clock` is an instant that never moves."""
        ...

    @property
    def until(self) -> float:
        """Return the deadline of the current run on the monotonic clock, infinity without a run."""
        ...

    def clock(self) -> datetime:
        """Return the instant that counts as now: the operator's --now, else the database clock."""
        ...

    def read(self, queries: Mapping[str, str], args: Args) -> dict[str, pl.DataFrame]:
        """Return each query's frame, all from one snapshot, without a lock and outside any run."""
        ...

    def sweeping(self, ticket: RunRequest) -> AbstractContextManager[Run | None]:
        """Yield the only Run of this sweep, or None if its slot is done.

        Raises TryLater while another run of the sweep is in progress.
        """
        ...

    def acting(
        self, root: tuple[str, int], *, drivers: Sequence[int], actor: str
    ) -> AbstractContextManager[Acting]:
        """Yield an Acting on a locked root row (`delivery` or `driver`) and on locked drivers.

        A row that does not exist is no error: the act may insert it.
        """
        ...

    def ping(self, driver: int, at: datetime, lat: float, lon: float) -> bool:
        """Keep a driver's position; return False if one is known for that instant."""
        ...

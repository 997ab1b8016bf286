"""What a feature and a report are: data about pure functions, so that one corridor can run them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import polars as pl

from dispatchkit.domain.changes import Change, Fact
from dispatchkit.domain.contract import Contract
from dispatchkit.travel.interface import Travel

Frames = Mapping[str, pl.DataFrame]
OUTSIDE = "outside"  # a read with this column keeps the units outside the rollout, marked
P = TypeVar("P", contravariant=True)
Q = TypeVar("Q")


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy decides in one pass.

    explanations: the rows that `--explain` and `why` show, each fit for JSON. They are made from
    this pass, and only when somebody calls for them, as some cost more questions to travel.
    """

    changes: Sequence[Change] = ()
    explanations: Callable[[], Sequence[Mapping[str, Any]]] = field(default=tuple, compare=False)
    facts: Sequence[Fact] = ()


class Decide(Protocol[P]):
    """A policy: frames in, a decision out. No clock, no I/O, no randomness but from the seed."""

    def __call__(
        self, frames: Frames, params: P, now: datetime, travel: Travel, seed: int
    ) -> Decision: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something a person or a system did: `name` (accept, decline, reassign, ...) with its arguments."""

    name: str
    actor: str
    delivery_id: int | None = None
    driver_id: int | None = None
    offer_id: int | None = None
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of an act: a code of `domain.codes.ActResult` and the changes, none for a replay.

    A refused act changes nothing of what it asked for, but it may leave a ticket for a person.
    details: what else the caller gets to know, such as when to try again; fit for JSON.
    """

    code: str
    changes: tuple[Change, ...] = ()
    refused: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


def refused(code: str) -> Answer:
    """Return a refusal by name, which changes nothing."""
    return Answer(code, refused=True)


class Respond(Protocol[P]):
    """A policy where a person acts: the locked rows of one delivery or driver in, an Answer out."""

    def __call__(self, frames: Frames, event: Event, params: P, now: datetime) -> Answer: ...


class Look(Protocol[P]):
    """What an act would lead to, fit for JSON; empty where there is nothing to compare."""

    def __call__(
        self, frames: Frames, event: Event, params: P, now: datetime, travel: Travel
    ) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Preview(Generic[Q]):
    """The consequences of an act, told with its answer. Read beside the lock, so they may be a moment old."""

    reads: Mapping[str, Contract]
    look: Look[Q]


@dataclass(frozen=True, kw_only=True)
class Feature(Generic[Q]):
    """One room of live work. `sql` holds the named queries. A room without `decide` only answers acts.

    reads: which queries `decide` gets as frames, and by which contract each is checked at the border.

    flag: the rollout switch; units: read -> column of the unit it counts, the root of every change that read leads to.
    Rows of units outside the rollout are left out, or only marked if the read has a column OUTSIDE.
    explains: whether decisions have explanations.

    events: act names answered by `respond`; previews: those whose consequences a person wants to see first.
    """

    name: str
    flag: str
    params: type[Q]
    sql: Path | None = None
    reads: Mapping[str, Contract] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    decide: Decide[Q] | None = None
    respond: Respond[Q] | None = None
    explains: bool = False
    events: tuple[str, ...] = ()
    previews: Mapping[str, Preview[Q]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Report:
    """One way of looking back: its title, the columns it reads of each mart, and the function that measures them."""

    name: str
    title: str
    reads: Mapping[str, Sequence[str]]
    measure: Callable[..., Any]

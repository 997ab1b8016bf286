"""Changes gathered as they are written: those of one root together, each with its decision id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from dispatchkit.domain.changes import Change, Fact
from dispatchkit.domain.tables import ENTITIES, FACTS, LOCK_ORDER, TABLES
from dispatchkit.kernel.errors import BadData

Key = tuple[str, int]


@dataclass(frozen=True)
class WriteGroup:
    """The changes of one root, in their order, each with its decision id."""

    root: Key
    changes: tuple[Change, ...]
    ids: tuple[bytes, ...]

    @cached_property
    def births(self) -> frozenset[Key]:
        """The rows born in this group."""
        return frozenset((c.entity, c.id) for c in self.changes if c.version == 0)

    @cached_property
    def seen(self) -> dict[Key, int]:
        """The version at which this decision saw each row it writes or relies on (births left out)."""
        found: dict[Key, int] = {}
        for change in self.changes:
            if change.version > 0:
                found.setdefault((change.entity, change.id), change.version)
            for entity, id_, version in change.expects:
                if version > 0:
                    found.setdefault((entity, id_), version)
        for key in self.births:
            found.pop(key, None)
        return found

    @cached_property
    def keys(self) -> frozenset[Key]:
        """Every row that this group writes, bears, relies on, or hangs on: its root."""
        return frozenset((self.root, *self.seen, *self.births))


def groups(changes: Iterable[Change], sweep: str) -> list[WriteGroup]:
    """Return changes gathered by root, roots in lock order. Raises BadData for two equal decisions, and as `fit`."""
    found: dict[Key, list[tuple[Change, bytes]]] = defaultdict(list)
    decided: dict[bytes, Change] = {}
    for change in changes:
        fit(change)
        id_ = change.decision_id(sweep)
        if id_ in decided:
            raise BadData(
                f"{change.event}: {change.entity} {change.id} at version {change.version} is decided twice alike, "
                f"for {_root(decided[id_])} and {_root(change)}; nothing of this run was written",
                code="DK-CHANGE",
            )
        decided[id_] = change
        found[change.root].append((change, id_))
    ordered = sorted(found, key=lambda root: (LOCK_ORDER.index(root[0]), root[1]))
    return [WriteGroup(root, *zip(*found[root], strict=True)) for root in ordered]


def batches(left: Iterable[WriteGroup], size: int) -> Iterator[list[WriteGroup]]:
    """Yield groups in batches of about `size` changes.

    A group that sees a row which the batch writes begins the next, where it is judged on what is left.
    """
    part: list[WriteGroup] = []
    count, written = 0, set[Key]()
    for group in left:
        if part and (
            count + len(group.changes) > size
            or not written.isdisjoint(group.seen.keys() | group.births)
        ):
            yield part
            part, count, written = [], 0, set()
        part.append(group)
        count += len(group.changes)
        written.update((change.entity, change.id) for change in group.changes)
    if part:
        yield part


def shares(whole: Sequence[WriteGroup], workers: int) -> list[list[WriteGroup]]:
    """Return the groups in at most `workers` shares of like size that touch no row in common, each in its order.

    So whatever the number of workers, two decisions about one row are judged in the same order, by the same worker.
    """
    if workers == 1 or not whole:
        return [list(whole)]
    above = list(
        range(len(whole))
    )  # a forest: groups that touch a common row end at one top, the first of them

    def top(node: int) -> int:
        while above[node] != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    first: dict[Key, int] = {}
    for i, group in enumerate(whole):
        for key in group.keys:
            one, other = sorted((top(first.setdefault(key, i)), top(i)))
            above[other] = one
    knots: dict[int, list[int]] = defaultdict(list)
    for i in range(len(whole)):
        knots[top(i)].append(i)
    found: list[list[int]] = [[]]
    full, count = sum(len(group.changes) for group in whole) / workers, 0
    for knot in knots.values():
        if count >= full * len(found):
            found.append([])
        found[-1] += knot
        count += sum(len(whole[i].changes) for i in knot)
    return [[whole[i] for i in sorted(share)] for share in found]


def fit(change: Change) -> None:
    """Raise BadData if a change writes a column that its table has not, or one that only the database sets."""
    if not change.after.keys() <= _writable(change.entity):
        unknown = sorted(change.after.keys() - _writable(change.entity))
        raise BadData(
            f"{change.event}: a change of a {change.entity} may not write {unknown}",
            code="DK-CHANGE",
        )


@cache
def _writable(entity: str) -> frozenset[str]:
    return frozenset(TABLES[ENTITIES[entity]].columns()) - {"id", "version"}


def _root(change: Change) -> str:
    return f"{change.root[0]} {change.root[1]}"


def fit_facts(facts: Sequence[Fact]) -> None:
    """Raise BadData for a fact of a table that has none, or with a column that the table lacks."""
    for fact in facts:
        if fact.table not in FACTS:
            raise BadData(f"{fact.table} has no facts; expected one of {', '.join(FACTS)}")
        if unknown := sorted(fact.values.keys() - TABLES[fact.table].columns().keys()):
            raise BadData(f"{fact.table} has no column {unknown[0]}")

"""Changes grouped as they are written: those of one root together, each with its decision id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from dispatchkit.domain.changes import Change, Fact
from dispatchkit.domain.tables import ENTITIES, FACTS, LOCK_ORDER, TABLES
from dispatchkit.kernel.errors import BadData

Key = tuple[str, int]  # (entity, id) of a row


@dataclass(frozen=True)
class WriteGroup:
    """The changes of one root in their order, each with its decision id.

    It is written whole or not.
    """

    root: Key
    changes: tuple[Change, ...]
    ids: tuple[bytes, ...]

    @cached_property
    def births(self) -> frozenset[Key]:
        """The rows that this group inserts."""
        return frozenset((c.entity, c.id) for c in self.changes if c.version == 0)

    @cached_property
    def seen(self) -> dict[Key, int]:
        """The version at which the decision saw each row that it writes or relies on.

        Rows that the group itself inserts are left out. For a row changed twice the first version
        counts: the second change builds on the first.
        """
        versions: dict[Key, int] = {}
        for change in self.changes:
            if change.version > 0:
                versions.setdefault((change.entity, change.id), change.version)
            for entity, id_, version in change.expects:
                if version > 0:
                    versions.setdefault((entity, id_), version)
        for key in self.births:
            versions.pop(key, None)
        return versions

    @cached_property
    def keys(self) -> frozenset[Key]:
        """Every row that this group writes, inserts or relies on, and its root."""
        return frozenset((self.root, *self.seen, *self.births))


def groups(changes: Iterable[Change], sweep: str) -> list[WriteGroup]:
    """Return changes grouped by root, roots in lock order.

    Raises BadData for two equal decisions, and for a column that may not be written.
    """
    by_root: dict[Key, list[tuple[Change, bytes]]] = defaultdict(list)
    decided: dict[bytes, Change] = {}
    for change in changes:
        fit(change)
        id_ = change.decision_id(sweep)
        if id_ in decided:
            first, second = (f"{c.root[0]} {c.root[1]}" for c in (decided[id_], change))
            raise BadData(
                f"{change.event}: {change.entity} {change.id} at version {change.version} "
                f"has two equal decisions, for {first} and {second}; "
                "nothing of this run was written",
                code="DK-CHANGE",
            )
        decided[id_] = change
        by_root[change.root].append((change, id_))
    roots = sorted(by_root, key=lambda root: (LOCK_ORDER.index(root[0]), root[1]))
    return [WriteGroup(root, *zip(*by_root[root], strict=True)) for root in roots]


def batches(groups: Iterable[WriteGroup], size: int) -> Iterator[list[WriteGroup]]:
    """Yield groups in batches of about `size` changes.

    A group that saw a row which the batch writes begins the next batch: there its version is
    compared with what the earlier group has left.
    """
    batch: list[WriteGroup] = []
    count = 0
    written = set[Key]()
    for group in groups:
        is_full = count + len(group.changes) > size
        meets_written_row = not written.isdisjoint(group.seen.keys() | group.births)
        if batch and (is_full or meets_written_row):
            yield batch
            batch, count, written = [], 0, set()
        batch.append(group)
        count += len(group.changes)
        written.update((change.entity, change.id) for change in group.changes)
    if batch:
        yield batch


def shares(groups: Sequence[WriteGroup], workers: int) -> list[list[WriteGroup]]:
    """Return the groups in at most `workers` shares of similar size without a row in common.

    Each share keeps the order of the groups. So for any number of workers, two decisions about one
    row are compared with it in the same order, by the same worker.
    """
    if workers == 1 or not groups:
        return [list(groups)]

    # Union-find over the positions of the groups: groups that touch the same row are in one set,
    # whose representative is its first group.
    parent = list(range(len(groups)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_with_row: dict[Key, int] = {}
    for i, group in enumerate(groups):
        for key in group.keys:
            first, second = sorted((find(first_with_row.setdefault(key, i)), find(i)))
            parent[second] = first
    members: dict[int, list[int]] = defaultdict(list)
    for i in range(len(groups)):
        members[find(i)].append(i)

    # Fill the shares one after the other with whole sets, each up to an equal part of all changes.
    part = sum(len(group.changes) for group in groups) / workers
    positions: list[list[int]] = [[]]
    count = 0
    for connected in members.values():
        if count >= part * len(positions):
            positions.append([])
        positions[-1] += connected
        count += sum(len(groups[i].changes) for i in connected)
    return [[groups[i] for i in sorted(share)] for share in positions]


def fit(change: Change) -> None:
    """Raise BadData if a change writes an unknown column, or one that only the database sets."""
    unknown = sorted(change.after.keys() - _writable(change.entity))
    if unknown:
        raise BadData(
            f"{change.event}: a change of a {change.entity} may not write {unknown}",
            code="DK-CHANGE",
        )


@cache
def _writable(entity: str) -> frozenset[str]:
    return frozenset(TABLES[ENTITIES[entity]].columns()) - {"id", "version"}


def fit_facts(facts: Sequence[Fact]) -> None:
    """Raise BadData for a fact of a table that has none, or with a column that the table lacks."""
    for fact in facts:
        if fact.table not in FACTS:
            raise BadData(f"{fact.table} has no facts; expected one of {', '.join(FACTS)}")
        unknown = sorted(fact.values.keys() - TABLES[fact.table].columns().keys())
        if unknown:
            raise BadData(f"{fact.table} has no column {unknown[0]}")

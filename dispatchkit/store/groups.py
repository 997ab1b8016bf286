"""Changes gathered as they are written: those of one root together, each with its decision id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dispatchkit.kernel.change import Change
from dispatchkit.kernel.errors import BadData
from dispatchkit.kernel.tables import ENTITIES, LOCK_ORDER, TABLES

Key = tuple[str, int]


@dataclass(frozen=True)
class Group:
    """The changes of one root, in their order, each with its decision id."""

    root: Key
    changes: tuple[Change, ...]
    ids: tuple[bytes, ...]

    def seen(self) -> dict[Key, int]:
        """Return the version at which this decision saw each row it writes or relies on (births left out)."""
        found: dict[Key, int] = {}
        for change in self.changes:
            for entity, id_, version in ((change.entity, change.id, change.version), *change.expects):
                if version > 0:
                    found.setdefault((entity, id_), version)
        for key in self.births():
            found.pop(key, None)
        return found

    def births(self) -> set[Key]:
        """Return the rows born in this group."""
        return {(c.entity, c.id) for c in self.changes if c.version == 0}


def groups(changes: Iterable[Change], sweep: str) -> list[Group]:
    """Return changes gathered by root, roots in lock order. Raises BadData for two equal decisions, and as `fit`."""
    found: dict[Key, list[Change]] = defaultdict(list)
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
        found[change.root].append(change)
    ordered = sorted(found, key=lambda root: (LOCK_ORDER.index(root[0]), root[1]))
    return [Group(root, tuple(found[root]), tuple(c.decision_id(sweep) for c in found[root])) for root in ordered]


def fit(change: Change) -> None:
    """Raise BadData if a change writes a column that its table has not, or one that only the database sets."""
    columns = TABLES[ENTITIES[change.entity]].columns()
    unknown = sorted(name for name in change.after if name not in columns or name in ("id", "version"))
    if unknown:
        raise BadData(f"{change.event}: a change of a {change.entity} may not write {unknown}", code="DK-CHANGE")


def _root(change: Change) -> str:
    return f"{change.root[0]} {change.root[1]}"

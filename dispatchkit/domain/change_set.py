"""The changes of one root in their order: versions follow each other, states move as allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Protocol, TypedDict, TypeVar, Unpack

from dispatchkit.domain.changes import Change, Ref, Value
from dispatchkit.domain.tables import ROW_KINDS
from dispatchkit.kernel.machine import INITIAL


class Row(Protocol):
    """A row as a policy sees it: a frozen dataclass with at least an id and a version."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> int: ...
    @property
    def version(self) -> int: ...


Values = dict[str, Value]
R = TypeVar("R", bound=Row)


class ChangeExtras(TypedDict, total=False):
    """What a change may carry beside its columns; see `changes.Change`."""

    expects: tuple[Ref, ...]
    payload: Mapping[str, Any]
    why: Mapping[str, Any]


def entity_of(row: Row) -> str:
    """Return what changes call rows of this class, or of the class that it extends."""
    return _entity(type(row))


@cache
def _columns(row_class: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(row_class))


@cache
def _entity(row_class: type) -> str:
    for base in row_class.__mro__:
        for kind in ROW_KINDS.values():
            if kind.row_class is base:
                return kind.entity
    raise TypeError(f"{row_class.__name__} is no row that changes")


class ChangeSet:
    """Collects the changes of one root.

    A row that is changed twice is taken, the second time, as the first change left it.
    """

    def __init__(self, root: tuple[str, int], at: datetime) -> None:
        self.root, self.at = root, at
        self.changes: list[Change] = []
        self._seen: dict[tuple[str, int], Values] = {}

    def insert(
        self,
        entity: str,
        id: int,
        event: str,
        reason: str,
        after: Values,
        **said: Unpack[ChangeExtras],
    ) -> None:
        """Add a row. Raises IllegalTransition if rows of this kind are not born in that state."""
        self._add(entity, id, {"version": 0}, event, reason, after, said)

    def change(
        self,
        entity: str,
        row: Row,
        event: str,
        reason: str,
        after: Values,
        **said: Unpack[ChangeExtras],
    ) -> None:
        """Add a step of a row, be it read or born here. Raises IllegalTransition if its state may not become that."""
        self._add(entity, row.id, self._as_left(entity, row), event, reason, after, said)

    def update(
        self,
        row: R,
        event: str,
        reason: str,
        /,
        *,
        expects: tuple[Ref, ...] = (),
        payload: Mapping[str, Any] | None = None,
        why: Mapping[str, Any] | None = None,
        **columns: Value,
    ) -> R:
        """Add a step of a row and return the row as it then stands.

        columns: the new values by column name. A row changed before in this set is taken as the
        earlier change left it. Raises IllegalTransition if its state may not become the new one,
        TypeError for a column that the row does not have.
        """
        entity = entity_of(row)
        seen = self._as_left(entity, row)
        extras = ChangeExtras(expects=expects, payload=payload or {}, why=why or {})
        self._add(entity, row.id, seen, event, reason, columns, extras)
        return self.latest(row)

    def add(
        self,
        row: R,
        event: str,
        reason: str,
        *,
        expects: tuple[Ref, ...] = (),
        payload: Mapping[str, Any] | None = None,
        why: Mapping[str, Any] | None = None,
    ) -> R:
        """Add a new row, whose version is 1, and return it.

        Columns that have their default are left to the database. Raises IllegalTransition if rows of
        this kind do not begin in that state.
        """
        after = {
            field.name: getattr(row, field.name)
            for field in fields(row)
            if field.name not in ("id", "version") and getattr(row, field.name) != field.default
        }
        extras = ChangeExtras(expects=expects, payload=payload or {}, why=why or {})
        self._add(entity_of(row), row.id, {"version": 0}, event, reason, after, extras)
        self._seen[entity_of(row), row.id] = {n: getattr(row, n) for n in _columns(type(row))}
        return row

    def latest(self, row: R) -> R:
        """Return a row as the changes so far leave it."""
        latest = self._seen.get((entity_of(row), row.id))
        if latest is None:
            return row
        return replace(row, **{n: latest[n] for n in _columns(type(row)) if n in latest})

    def value(self, entity: str, row: Row, column: str) -> Value:
        """Return a column of a row as the changes so far leave it."""
        return self._as_left(entity, row)[column]

    def _as_left(self, entity: str, row: Row) -> Values:
        return self._seen.get((entity, row.id)) or {
            name: getattr(row, name) for name in _columns(type(row))
        }

    def _add(
        self,
        entity: str,
        id: int,
        seen: Values,
        event: str,
        reason: str,
        after: Values,
        said: ChangeExtras,
    ) -> None:
        version = seen["version"]
        assert isinstance(version, int)
        kind = ROW_KINDS[entity]
        if kind.machine and kind.state_column in after:
            state = str(seen.get(kind.state_column, INITIAL))
            kind.machine.step(state, str(after[kind.state_column]))
        self.changes.append(
            Change(
                entity=entity,
                id=id,
                version=version,
                event=str(event),
                after=after,
                before={name: seen[name] for name in after} if version else {},
                reason=str(reason),
                at=self.at,
                root=self.root,
                **said,
            )
        )
        self._seen[entity, id] = {**seen, **after, "version": version + 1}

"""What one transaction writes for its changes: the rows, one decision and one event for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection

from dispatchkit.domain.changes import Change, Fact
from dispatchkit.domain.tables import ENTITIES, LOCK_ORDER
from dispatchkit.kernel.canonical_json import compact
from dispatchkit.kernel.errors import DispatchError
from dispatchkit.store import statements
from dispatchkit.store.groups import WriteGroup
from dispatchkit.store.statements import array, query, repeated_texts


def write_rows(connection: Connection, groups: Sequence[WriteGroup]) -> None:
    """Write the changes step by step: the first change of every group, then the second, and so on.

    Within a step, changes of one shape share a statement. Updates come before inserts: an insert
    may need the place that an update frees, for example the one pending offer of a driver.
    """
    steps = max((len(group.changes) for group in groups), default=0)
    for step in range(steps):
        by_shape: dict[statements.Shape, list[Change]] = defaultdict(list)
        for group in groups:
            if step < len(group.changes):
                change = group.changes[step]
                shape = (change.entity, change.version == 0, tuple(sorted(change.after)))
                by_shape[shape].append(change)
        for shape in sorted(by_shape, key=lambda s: (s[1], LOCK_ORDER.index(s[0]), s[2])):
            _write_shape(connection, shape, by_shape[shape])


def _write_shape(connection: Connection, shape: statements.Shape, changes: list[Change]) -> None:
    """Write changes of one shape. Raises DispatchError if a row that was locked is not written."""
    entity, is_insert, names = shape
    columns = {name: array([c.after[name] for c in changes]) for name in names}
    columns["id"] = array([c.id for c in changes])
    if not is_insert:
        columns["version"] = array([c.version for c in changes])
    written = connection.execute(statements.apply(shape), columns).rowcount
    if written != len(changes):
        raise DispatchError(
            f"{ENTITIES[entity]}: {written} of {len(changes)} locked rows written; rolled back"
        )


def write_decisions(
    connection: Connection,
    run: str | None,
    groups: Sequence[WriteGroup],
    outcome: str,
    sqlstate: str | None = None,
) -> None:
    """Write one row of `decisions` for each change of a run; a person decided an act."""
    if not groups or run is None:
        return
    changes = [change for group in groups for change in group.changes]
    columns = {
        "did": array([id_ for group in groups for id_ in group.ids]),
        "entity": repeated_texts([c.entity for c in changes]),
        "id": array([c.id for c in changes]),
        "version": array([c.version for c in changes]),
        "event": repeated_texts([c.event for c in changes]),
        "reason": repeated_texts([c.reason for c in changes]),
        "why": array([compact(c.why) if c.why else None for c in changes]),
    }
    run_columns = {"run": run, "outcome": outcome, "sqlstate": sqlstate}
    connection.execute(query("write_decisions"), columns | run_columns)


def write_events(connection: Connection, run: str | None, groups: Sequence[WriteGroup]) -> None:
    """Write one outbox event for each change, in the order of the groups."""
    changes = [change for group in groups for change in group.changes]
    if not changes:
        return
    decision_ids = [id_ for group in groups for id_ in group.ids] if run else [None] * len(changes)
    columns = {
        "event": repeated_texts([c.event for c in changes]),
        "root": repeated_texts([c.root[0] for c in changes]),
        "root_id": array([c.root[1] for c in changes]),
        "id": array([c.id for c in changes]),
        "did": array(decision_ids),
        "payload": compact([c.event_payload() for c in changes]),
    }
    connection.execute(query("write_outbox"), columns)


def write_facts(connection: Connection, run: str | None, facts: Sequence[Fact]) -> None:
    """Insert facts with the id of their run; a fact whose id exists stays as it is."""
    by_shape: dict[tuple[str, tuple[str, ...]], list[Fact]] = defaultdict(list)
    for fact in facts:
        by_shape[fact.table, tuple(sorted(fact.values))].append(fact)
    for (table, names), alike in sorted(by_shape.items()):
        columns = {name: array([fact.values[name] for fact in alike]) for name in names}
        connection.execute(statements.append(table, names), columns | {"run": run})

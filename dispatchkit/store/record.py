"""What one transaction writes of the decisions it carries: the rows, a line for each decision, an event for each."""

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
from dispatchkit.store.statements import array, query, words


def rows(on: Connection, ready: Sequence[WriteGroup]) -> None:
    """Write step by step: the first change of every group, then the second, ...; updates before births."""
    for step in range(max((len(g.changes) for g in ready), default=0)):
        shapes: dict[statements.Shape, list[Change]] = defaultdict(list)
        for group in ready:
            if step < len(group.changes):
                change = group.changes[step]
                shapes[change.entity, change.version == 0, tuple(sorted(change.after))].append(
                    change
                )
        for shape in sorted(shapes, key=lambda s: (s[1], LOCK_ORDER.index(s[0]), s[2])):
            _shape(on, shape, shapes[shape])


def _shape(on: Connection, shape: statements.Shape, changes: list[Change]) -> None:
    columns = {name: array([c.after[name] for c in changes]) for name in shape[2]}
    columns["id"] = array([c.id for c in changes])
    if not shape[1]:
        columns["version"] = array([c.version for c in changes])
    written = on.execute(statements.apply(shape), columns).rowcount
    if written != len(changes):
        raise DispatchError(
            f"{ENTITIES[shape[0]]}: {written} of {len(changes)} locked rows written; rolled back"
        )


def decisions(
    on: Connection,
    run: str | None,
    decided: Sequence[WriteGroup],
    outcome: str,
    state: str | None = None,
) -> None:
    """Write one line a decision of a run; acts decide nothing, a person did."""
    if not decided or run is None:
        return
    changes = [change for group in decided for change in group.changes]
    columns = {
        "did": array([did for group in decided for did in group.ids]),
        "entity": words([c.entity for c in changes]),
        "id": array([c.id for c in changes]),
        "version": array([c.version for c in changes]),
        "event": words([c.event for c in changes]),
        "reason": words([c.reason for c in changes]),
        "why": array([compact(c.why) if c.why else None for c in changes]),
    }
    on.execute(
        query("write_decisions"), columns | {"run": run, "outcome": outcome, "sqlstate": state}
    )


def events(on: Connection, run: str | None, done: Sequence[WriteGroup]) -> None:
    """Write one event a change, in the order of the groups."""
    changes = [change for group in done for change in group.changes]
    if not changes:
        return
    columns = {
        "event": words([c.event for c in changes]),
        "root": words([c.root[0] for c in changes]),
        "root_id": array([c.root[1] for c in changes]),
        "id": array([c.id for c in changes]),
        "did": array(
            [did for group in done for did in group.ids] if run else [None] * len(changes)
        ),
        "payload": compact([c.event_payload() for c in changes]),
    }
    on.execute(query("write_outbox"), columns)


def facts(on: Connection, run: str | None, new: Sequence[Fact]) -> None:
    """Insert facts with the id of their run; one that is there already stays as it is."""
    shapes: dict[tuple[str, tuple[str, ...]], list[Fact]] = defaultdict(list)
    for fact in new:
        shapes[fact.table, tuple(sorted(fact.values))].append(fact)
    for (table, names), alike in sorted(shapes.items()):
        columns = {name: array([fact.values[name] for fact in alike]) for name in names}
        on.execute(statements.append(table, names), columns | {"run": run})

"""How much a run changes, known before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dispatchkit.domain.changes import Change


def impact(changes: Sequence[Change]) -> dict[str, int]:
    """Return how many deliveries, drivers and offers the changes affect, and the pay offered.

    offers: those created and those revoked; offered_cents: the pay of those created.
    """
    deliveries, drivers = set[int](), set[int]()
    for change in changes:
        deliveries.update(_ids(change, "delivery"))
        drivers.update(_ids(change, "driver"))
    created = [change for change in changes if change.entity == "offer" and change.version == 0]
    revoked = [
        change
        for change in changes
        if change.entity == "offer" and change.after.get("state") == "REVOKED"
    ]
    return {
        "deliveries": len(deliveries),
        "drivers": len(drivers),
        "offers": len(created) + len(revoked),
        "offered_cents": sum(_integer(change.after, "pay_cents") for change in created),
    }


def _ids(change: Change, entity: str) -> Iterator[int]:
    """Yield the ids of an entity that a change writes, belongs to, or names before or after."""
    if change.entity == entity:
        yield change.id
    if change.root[0] == entity:
        yield change.root[1]
    for values in (change.before, change.after):
        if id_ := _integer(values, f"{entity}_id"):
            yield id_
    if id_ := _integer(change.payload, f"{entity}Id"):
        yield id_


def _integer(values: Mapping[str, object], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else 0

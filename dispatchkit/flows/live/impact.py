"""How much a run would touch: the blast radius of its changes, told before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dispatchkit.domain.changes import Change


def blast(changes: Sequence[Change]) -> dict[str, int]:
    """Return how many orders, drivers and promises changes touch, and the cents they offer.

    An order counts by its delivery. A promise is an offer to a driver: one that is made, or one that is withdrawn;
    cents are those of offers made.
    """
    deliveries, drivers = set[int](), set[int]()
    for change in changes:
        deliveries.update(_named(change, "delivery"))
        drivers.update(_named(change, "driver"))
    made = [change for change in changes if change.entity == "offer" and change.version == 0]
    withdrawn = [
        change
        for change in changes
        if change.entity == "offer" and change.after.get("state") == "REVOKED"
    ]
    return {
        "orders": len(deliveries),
        "drivers": len(drivers),
        "promises": len(made) + len(withdrawn),
        "cents": sum(_whole(change.after, "pay_cents") for change in made),
    }


def _named(change: Change, entity: str) -> Iterator[int]:
    """Yield the rows of an entity that a change writes, hangs on, or names before or after."""
    if change.entity == entity:
        yield change.id
    if change.root[0] == entity:
        yield change.root[1]
    for values in (change.before, change.after):
        if found := _whole(values, f"{entity}_id"):
            yield found
    if found := _whole(change.payload, f"{entity}Id"):
        yield found


def _whole(values: Mapping[str, object], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else 0

"""Reads and writes for tests of policies, on frames and the memory store, without `flows`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import polars as pl

from dispatchkit.domain.changes import Change
from dispatchkit.domain.feature import Event, Feature, Frames
from dispatchkit.domain.hours import LOOK_BACK
from dispatchkit.domain.tables import ENTITIES, ROW_KINDS
from dispatchkit.flows.live import act
from dispatchkit.flows.live.gather import bounds
from dispatchkit.kernel.sql import bind, parse
from dispatchkit.store.groups import groups
from dispatchkit.store.memory import MemoryStore
from tests.builders import NOW, Tables

ACTS = parse(act.SQL.read_text())
LOCKED = {name: ACTS[name] for name in act.NEIGHBOURS}


def gather(
    feature: Feature[Any], tables: Tables, now: datetime, *, check: bool = True
) -> dict[str, pl.DataFrame]:
    """Return a feature's reads over `tables`, each checked against its contract."""
    assert feature.sql is not None
    queries = parse(feature.sql.read_text())
    context = pl.SQLContext(tables, eager=True)
    frames = {name: context.execute(bind(queries[name], bounds(now))) for name in feature.reads}
    if not check:
        return frames
    return {
        name: pl.DataFrame(contract.validate(frames[name]))
        for name, contract in feature.reads.items()
    }


def locked(tables: Tables, event: Event, now: datetime = NOW) -> Frames:
    """Return the rows that an act locks, by the queries of the real corridor."""
    offers = tables["driver_offers"].filter(pl.col("id") == (event.offer_id or -1))
    args = {
        "delivery": event.delivery_id or (offers["delivery_id"][0] if offers.height else 0),
        "driver": event.driver_id or event.args.get("to") or 0,
        "order": event.args.get("order") or 0,
        "since": now - LOOK_BACK,
    }
    context = pl.SQLContext(tables, eager=True)
    return {name: context.execute(bind(query, args)) for name, query in LOCKED.items()}


def apply(tables: Tables, changes: list[Change] | tuple[Change, ...]) -> Tables:
    """Return the tables after every change. Fails on a change that the memory store refuses."""
    store = MemoryStore(tables, max((change.at for change in changes), default=NOW))
    for group in groups(changes, "test"):
        assert store.find_stale(group) is None, store.find_stale(group)
        _check_before(store, group.changes)
        store.commit("test", group.changes, decided=True)
    after = {name: store.frame(name) for name in tables}
    _check(after)
    return after


def _check_before(store: MemoryStore, changes: Sequence[Change]) -> None:
    """Assert that `before` of each change is what the row holds after the changes before it."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for change in changes:
        stored = store.rows[ENTITIES[change.entity]].get(change.id, {})
        row = rows.setdefault((change.entity, change.id), dict(stored))
        if change.version == 0:
            columns = fields(ROW_KINDS[change.entity].row_class)
            row.update((column.name, column.default) for column in columns)
        else:
            assert {name: row.get(name) for name in change.after} == dict(change.before)
        row.update(change.after)


def _check(tables: Tables) -> None:
    """Assert that each pending offer belongs to the present search of its delivery."""
    pending = tables["driver_offers"].filter(pl.col("state") == "PENDING")
    asked = pending.join(tables["deliveries"], left_on="delivery_id", right_on="id", suffix="_d")
    assert set(asked["state_d"]) <= {"OFFERING"}, "a delivery with a pending offer is OFFERING"
    assert (asked["episode"] == asked["episode_d"]).all(), "a pending offer is of an old episode"

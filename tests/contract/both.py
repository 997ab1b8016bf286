"""Helpers that read and write either store in the same way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from dispatchkit.domain.changes import Change
from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.canonical_json import canonical
from dispatchkit.store.contract import Outcome, Run, RunRequest
from dispatchkit.store.memory import MemoryStore
from dispatchkit.store.postgres import PostgresStore

Either = MemoryStore | PostgresStore
REQUEST = RunRequest(sweep="offers")


def table(store: Either, name: str) -> pl.DataFrame:
    """Return a whole table as a store holds it, rows in ascending id."""
    listed = ", ".join(TABLES[name].columns())
    return store.read({name: f"SELECT {listed} FROM {name} ORDER BY id"}, {})[name]


def row(store: Either, name: str, id: int) -> dict[str, Any]:
    """Return one row."""
    return table(store, name).row(by_predicate=pl.col("id") == id, named=True)


def apply(store: Either, *changes: Change, request: RunRequest = REQUEST) -> Outcome:
    """Return what became of `changes` in a run of their own."""
    with store.sweeping(request) as run:
        assert run is not None
        return written(run, changes)


def written(run: Run, changes: Sequence[Change]) -> Outcome:
    """Return what a run did with changes."""
    return run.apply(changes, inputs_sha256="0" * 64)


def events(store: Either) -> list[tuple[Any, ...]]:
    """Return the outbox as (event, root, root id, payload, came from a sweep), in order."""
    if isinstance(store, MemoryStore):
        return [
            (e["event"], *e["root"], plain(e["payload"]), e["decision_id"] is not None)
            for e in store.events
        ]
    with store.engine.connect() as on:
        result = on.exec_driver_sql(
            "SELECT event, root, root_id, payload, decision_id IS NOT NULL FROM dk.outbox ORDER BY id"
        )
        return [tuple(line) for line in result]


def refusals(store: Either) -> list[tuple[Any, ...]]:
    """Return the recorded refusals as (actor, event, root, root id, code)."""
    if isinstance(store, MemoryStore):
        return [(r["actor"], r["event"], *r["root"], r["code"]) for r in store.refusals]
    with store.engine.connect() as on:
        result = on.exec_driver_sql(
            "SELECT actor, event, root, root_id, code FROM dk.refusals ORDER BY id"
        )
        return [tuple(line) for line in result]


def plain(value: Any) -> Any:
    """Return a payload as JSON would give it back."""
    return json.loads(canonical(value))

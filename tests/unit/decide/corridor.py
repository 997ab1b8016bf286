"""The corridor in small, on frames: read by SQL, decide, apply. For tests of policies; the real one is in `flows`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from dispatchkit.domain.changes import Change
from dispatchkit.domain.feature import Event, Feature, Frames
from dispatchkit.domain.hours import LOOK_BACK
from dispatchkit.domain.states import ACTIVE
from dispatchkit.domain.tables import ENTITIES, ROW_KINDS, TABLES
from dispatchkit.flows.live import act
from dispatchkit.flows.live.gather import bounds
from dispatchkit.kernel.machine import INITIAL
from dispatchkit.kernel.sql import bind, parse
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
    """Return the tables after every change, as the writer would leave them; a change that it would refuse fails."""
    for table in sorted({ENTITIES[change.entity] for change in changes}):
        state = {row["id"]: dict(row) for row in tables[table].iter_rows(named=True)}
        for change in (c for c in changes if ENTITIES[c.entity] == table):
            _write(state, change)
        contract = TABLES[table]
        types = {name: column.dtype for name, column in contract.columns().items()}
        frame = pl.DataFrame(list(state.values()), schema=types).sort("id")
        tables = {**tables, table: pl.DataFrame(contract.validate(frame))}
    _check(tables)
    return tables


def _write(state: dict[int, dict[str, Any]], change: Change) -> None:
    machine, column = ROW_KINDS[change.entity].machine, ROW_KINDS[change.entity].state_column
    if change.version == 0:
        assert change.id not in state, f"{change.entity} {change.id} is born twice"
        if machine:
            machine.step(INITIAL, str(change.after[column]))
        state[change.id] = {"id": change.id, **change.after, "version": 1}
        return
    row = state[change.id]
    assert row["version"] == change.version, (
        f"{change.entity} {change.id} is at {row['version']}, not {change.version}"
    )
    assert {name: row[name] for name in change.after} == dict(change.before)
    if machine and change.after.get(column, row[column]) != row[column]:
        machine.step(row[column], str(change.after[column]))
    row.update(change.after, version=row["version"] + 1)


def _check(tables: Tables) -> None:
    """Assert what the database refuses (reliability 2.1 and section 6)."""
    offers, deliveries = tables["driver_offers"], tables["deliveries"]
    pending = offers.filter(pl.col("state") == "PENDING")
    accepted = offers.filter(pl.col("state") == "ACCEPTED")
    active = deliveries.filter(pl.col("state").is_in(sorted(ACTIVE)))
    assert pending["driver_id"].is_unique().all(), "a driver has two pending offers"
    assert accepted.select("delivery_id", "episode").is_unique().all(), (
        "an episode has two accepted offers"
    )
    assert active.select("driver_id", "slot").is_unique().all(), "two deliveries share a slot"
    assert active["driver_id"].null_count() == 0 and active["slot"].null_count() == 0
    cases = tables["reassignment_cases"]
    for states in (["SUSPECTED", "GRACE", "CONFIRMED"], ["RELEASED", "REOFFERING", "REASSIGNED"]):
        of_kind = cases.filter(pl.col("state").is_in(states))
        assert of_kind["delivery_id"].is_unique().all(), "a delivery has two cases of one kind"
    in_force = accepted.join(
        deliveries, left_on=["delivery_id", "episode"], right_on=["id", "episode"]
    )
    assert in_force.filter(
        pl.col("driver_id") != pl.col("driver_id_right").fill_null(-1)
    ).is_empty()
    on = pending.join(deliveries, left_on="delivery_id", right_on="id", suffix="_d")
    assert set(on["state_d"]) <= {"OFFERING"}, (
        "a pending offer hangs on a delivery that is not offering"
    )
    assert (on["episode"] == on["episode_d"]).all(), "a pending offer is of an old episode"

"""The table contracts are consistent: parents first, units in the names, every table there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from dispatchkit.domain.tables import ENTITIES, LOCK_ORDER, MACHINES, TABLES

AT = datetime(2026, 3, 2, 19, 30, tzinfo=UTC)
COLUMNS = [
    (table, name, column)
    for table, schema in TABLES.items()
    for name, column in schema.columns().items()
]
PLAN = (
    "driver_offers driver_availability_history unassigned_orders delivery_costs delivery_revenue "
    "delivery_zones "
    "driver_zone_preferences zone_health_metrics driver_performance_metrics "
    "route_optimization_data pricing_rules"
).split()


def test_every_table_of_plan_has_contract():
    assert set(PLAN) <= set(TABLES)


def test_reference_names_table_that_comes_before():
    order = list(TABLES)
    late = [
        (table, column)
        for table, schema in TABLES.items()
        for column, parent in schema.references().items()
        if order.index(parent) > order.index(table)
    ]
    assert late == []


def test_every_table_has_one_key_called_id():
    keys = {(table, name) for table, name, column in COLUMNS if column.primary_key}
    assert keys == {(table, "id") for table in TABLES}


def test_name_tells_unit():
    for table, name, column in COLUMNS:
        where = f"{table}.{name}"
        assert name.endswith("_cents") == (column.unit == "cents"), where
        assert name.endswith(("lat", "lon")) == (column.unit in ("lat", "lon")), where
        if name.endswith(("_cents", "_m", "_s")):
            assert column.dtype == pl.Int64, where


def test_every_instant_is_utc_in_microseconds():
    kinds = {column.dtype for _, _, column in COLUMNS if isinstance(column.dtype, pl.Datetime)}
    assert kinds == {pl.Datetime("us", "UTC")}


def test_changeable_entities_have_version_and_lock_order():
    assert set(LOCK_ORDER) == set(ENTITIES)
    assert all("version" in TABLES[table].columns() for table in ENTITIES.values())


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.table)
def test_state_column_takes_words_of_its_machine(machine):
    columns = TABLES[machine.table].columns()
    column = columns["duty" if machine.table == "drivers" else "state"]
    assert list(column.words) == sorted(machine.states)


OFFER: dict[str, Any] = {
    "id": 1, "delivery_id": 1, "driver_id": 1, "episode": 1, "attempt": 1, "ask": 1, "state": "PENDING", "cause": None,
    "mode": "cascade", "pay_cents": 500, "boost_cents": 0,
    "distance_m": 900, "payload": "{}", "payload_sha256": "0" * 64, "sent_at": AT,
    "expires_at": AT + timedelta(seconds=45), "hard_deadline": AT + timedelta(seconds=48), "delivered_at": None,
    "viewed_at": None, "responded_at": None, "late": False, "version": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({}, None),
        ({"state": "ACCEPTED", "responded_at": AT}, None),
        ({"hard_deadline": OFFER["expires_at"]}, None),
        ({"state": "ACCEPTED"}, "answered_iff_ended"),
        ({"responded_at": AT}, "answered_iff_ended"),
        ({"expires_at": AT}, "sent_before_expiry"),
        ({"hard_deadline": AT + timedelta(seconds=44)}, "sent_before_expiry"),
        ({"state": "LOST", "responded_at": AT}, "state|words"),
        ({"pay_cents": -1}, "pay_cents|min"),
        ({"sent_at": AT.replace(year=1999)}, "sent_at|min"),
        ({"id": None}, "id|nullability"),
    ],
)
def test_invalid_offer_names_broken_rule(wrong, rule):
    schema = TABLES["driver_offers"]
    frame = pl.DataFrame([{**OFFER, **wrong}], schema=schema.dtypes())
    _, failures = schema.filter(frame)
    assert set(failures.counts()) == ({rule} if rule else set())


@pytest.mark.parametrize(
    ("until", "fine"), [(None, True), (AT + timedelta(seconds=1), True), (AT, False)]
)
def test_duty_interval_is_not_empty(until, fine):
    schema = TABLES["driver_availability_history"]
    row = {
        "id": 1,
        "driver_id": 1,
        "duty": "ON_DUTY",
        "since": AT,
        "until": until,
        "reason": None,
        "version": 1,
    }
    _, failures = schema.filter(pl.DataFrame([row], schema=schema.dtypes()))
    assert (failures.counts() == {}) is fine

"""Every invariant of `store.check` holds in a working city, and fails when it is broken by hand."""

from __future__ import annotations

import pytest

from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.store.check import checks, offenders
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.integration.invariant_breaks import BREAKS, TRIGGERS_OFF


@pytest.fixture(scope="module")
def worked():
    """Yield a city after sweeps of offers and routes: runs, decisions, events and plans exist."""
    with databases.fresh("sample") as engine:
        for name in ("offers", "routes"):
            swept = sweep(
                PostgresStore(engine, now=databases.NOW), catalog.settings(), name, Options()
            )
            assert swept.outcome.applied > 0
        yield engine


def test_city_at_work_has_no_offender(worked):
    assert [(found.name, count) for found, count in offenders(worked) if count] == []


def test_every_invariant_has_way_to_break_it():
    assert sorted(BREAKS) == sorted(found.name for found in checks())


@pytest.mark.parametrize(
    ("name", "how"), [(name, how) for name, ways in BREAKS.items() for how in ways]
)
def test_breaking_it_by_hand_is_seen(worked, name, how):
    found = next(found for found in checks() if found.name == name)
    with worked.connect() as connection:
        before = connection.exec_driver_sql(found.sql).scalar_one()
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(TRIGGERS_OFF)
        driver.execute(BREAKS[name][how])
        after = connection.exec_driver_sql(found.sql).scalar_one()
        connection.rollback()
    assert (before, after > before) == (0, True)

"""Every attack past the program, each with a victim, is refused by the database."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.store.postgres import PostgresStore
from tests import counts, databases
from tests.property.attacks import ATTACKS


def test_database_refuses_every_raw_attack(sample_db):
    for name, later in (
        ("offers", timedelta()),
        ("escalation", timedelta(minutes=7)),
    ):  # offers, and levels above none
        sweep(
            PostgresStore(sample_db, now=databases.NOW + later), catalog.settings(), name, Options()
        )
    with psycopg.connect(databases.url(sample_db)) as connection:
        for what, (statement, state) in ATTACKS.items():
            connection.execute("SET LOCAL ROLE dk_app")
            with pytest.raises(psycopg.Error) as fault:
                victims = connection.execute(statement.encode()).rowcount
                connection.commit()
                pytest.fail(f"who {what} is not refused: {victims} rows")
            assert fault.value.sqlstate == state, f"{what}: {fault.value}"
            connection.rollback()
            counts.add("attacks refused")

"""Everything that somebody might try past the program, each with a victim."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.store.postgres import PostgresStore
from tests import databases, tally
from tests.property.attacks import ATTACKS


def test_whoever_goes_past_the_program_is_refused_by_name(sample_db):
    for name, later in (
        ("offers", timedelta()),
        ("escalation", timedelta(minutes=7)),
    ):  # offers, and levels above none
        sweep(
            PostgresStore(sample_db, now=databases.NOW + later), catalog.settings(), name, Options()
        )
    with psycopg.connect(databases.url(sample_db)) as on:
        for what, (statement, state) in ATTACKS.items():
            on.execute("SET LOCAL ROLE dk_app")
            with pytest.raises(psycopg.Error) as fault:
                victims = on.execute(statement.encode()).rowcount
                on.commit()
                pytest.fail(f"who {what} is not refused: {victims} rows")
            assert fault.value.sqlstate == state, f"{what}: {fault.value}"
            on.rollback()
            tally.count("attacks refused")

"""The schema goes up and down step by step, keeps every row, and equals the contracts."""

from __future__ import annotations

import re

import polars as pl
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from dispatchkit.domain.states import DUTY
from dispatchkit.domain.tables import ENTITIES, FACTS, FROZEN, MACHINES, TABLES
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.errors import SchemaMismatch, Usage
from dispatchkit.store import migrate
from dispatchkit.store.postgres import PostgresStore
from dispatchkit.store.rules import CHECKS, EXCLUSIONS
from tests import databases

STEPS = [step for step, _ in migrate.history()]
SQL_TYPES = {
    pl.Int64: {"bigint", "smallint"},
    pl.Float64: {"double precision"},
    pl.Boolean: {"boolean"},
    pl.String: {"text"},
    pl.Datetime: {"timestamp with time zone"},
    pl.Date: {"date"},
}


def checksums(engine: Engine) -> dict[str, str]:
    """Return one checksum over the rows of all tables, without derived columns."""
    with engine.connect() as connection:
        names = connection.exec_driver_sql(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' "
            "AND relname NOT IN ('transitions', 'meta') "
            "AND relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('dk', 'dk_aud'))"
        )
        return {
            name: connection.exec_driver_sql(
                "SELECT md5(string_agg(row, '' ORDER BY row)) "
                f"FROM (SELECT to_jsonb(t)::text AS row FROM {name} t) x"
            ).scalar_one()
            for name in sorted(names.scalars())
        }


def fingerprint(engine: Engine) -> str:
    with engine.connect() as connection:
        return migrate.fingerprint(connection)


@pytest.fixture
def worked(sample_db, now):
    """Return the city after a cycle of sweeps, with runs, decisions, events and audit rows."""
    for name in catalog.FEATURES:
        sweep(PostgresStore(sample_db, now=now), catalog.settings(), name, Options())
    return sample_db


def test_each_migration_down_and_up_keeps_rows(worked):
    for i, step in reversed(list(enumerate(STEPS))):
        below = STEPS[i - 1] if i else "base"
        was, rows = fingerprint(worked), checksums(worked)
        migrate.down(worked, below)
        migrate.up(worked, step)
        assert fingerprint(worked) == was, f"the schema after {step} is another one the second time"
        assert checksums(worked) == rows, f"{step} lost or changed rows"
        migrate.down(worked, below)


def test_full_downgrade_and_upgrade_keeps_everything(worked, now):
    was, rows = fingerprint(worked), checksums(worked)
    assert len(rows) > 20
    assert migrate.down(worked, "base").revision is None
    found = migrate.up(worked)
    assert (found.current, found.drifted) == (True, False)
    assert fingerprint(worked) == was
    assert checksums(worked) == rows
    swept = sweep(PostgresStore(worked, now=now), catalog.settings(), "offers", Options())
    assert (swept.outcome.applied, swept.outcome.stale) == (0, []), (
        "the finished work is still known to be finished"
    )


def test_each_downgrade_restores_earlier_schema(worked):
    with databases.fresh("empty") as fresh:
        migrate.down(fresh, "base")
        on_the_way_up = {}
        for step in STEPS:
            migrate.up(fresh, step)
            on_the_way_up[step] = fingerprint(fresh)
    for step in reversed(STEPS):
        migrate.down(worked, step)
        assert fingerprint(worked) == on_the_way_up[step], step
    migrate.up(worked)


def test_changes_without_trail_get_new_baseline(worked):
    migrate.down(worked, "20260201000300")
    with worked.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE dk.drivers SET timeouts = timeouts + 1 WHERE duty = 'ON_DUTY'"
        )
    migrate.up(worked)
    with worked.connect() as connection:
        counted = connection.exec_driver_sql(
            "SELECT count(*) FILTER (WHERE e.op = 'B'), count(*) FROM dk.drivers r "
            "JOIN dk_aud.delivery_audit_logs e "
            "ON (e.tbl, e.row_id, e.row_version) = ('drivers', r.id, r.version) "
            "WHERE r.duty = 'ON_DUTY'"
        )
        baselines, drivers = counted.one()
    assert baselines == drivers > 0


def test_schema_is_that_of_contracts(database):
    with database.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT table_name, column_name, data_type, is_nullable = 'YES' "
            "FROM information_schema.columns "
            "WHERE table_schema = 'dk' AND is_generated = 'NEVER'"
        ).all()
    there = {
        (table, column): (kind, nullable)
        for table, column, kind, nullable in found
        if table in TABLES
    }
    promised = {
        (table, name): column
        for table, schema in TABLES.items()
        for name, column in schema.columns().items()
    }
    # The run that wrote a fact stands in the database only: it is no part of an export.
    runs_of_facts = {(table, "run_id") for table in FACTS}
    assert set(there) == set(promised) | runs_of_facts
    for key, column in promised.items():
        kind, nullable = there[key]
        assert kind in SQL_TYPES[column.dtype.base_type()], key
        assert nullable == column.nullable, key


def test_database_and_code_have_same_transitions(database):
    with database.connect() as connection:
        found = {
            tuple(row)
            for row in connection.exec_driver_sql("SELECT tbl, src, dst FROM dk.transitions")
        }
    births = {("driver_availability_history", "", duty) for duty in DUTY.states}
    assert found == {row for machine in MACHINES for row in machine.rows()} | births


def test_database_and_code_freeze_same_columns(database):
    guard = "SELECT pg_get_functiondef(to_regproc('dk.guard_' || %s))"
    with database.connect() as connection:
        found = {
            table: connection.exec_driver_sql(guard, (table,)).scalar_one()
            for table in ENTITIES.values()
        }
    compared = {
        table: re.search(r"IF \((.*)\) IS DISTINCT FROM \((.*)\) THEN", body)
        for table, body in found.items()
    }
    for side, group in (("OLD.", 1), ("NEW.", 2)):
        assert {t: [side + name for name in FROZEN[t]] for t in ENTITIES.values()} == {
            t: match.group(group).split(", ") for t, match in compared.items() if match
        }
    assert FROZEN.keys() == set(ENTITIES.values())


def test_database_and_memory_store_have_same_rules(database):
    with database.connect() as connection:
        # what spans columns or rows; checks of one column are in the contracts
        named = connection.exec_driver_sql(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint "
            "WHERE connamespace = 'dk'::regnamespace "
            "AND (contype IN ('u', 'x') OR contype = 'c' AND cardinality(conkey) > 1) "
            "UNION SELECT indrelid::regclass::text, relname FROM pg_index i JOIN pg_class c "
            "ON c.oid = indexrelid "
            "WHERE indisunique AND NOT indisprimary AND relnamespace = 'dk'::regnamespace"
        ).all()
        keys = connection.exec_driver_sql(
            "SELECT conrelid::regclass::text, attname, confrelid::regclass::text "
            "FROM pg_constraint "
            "JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] "
            "WHERE contype = 'f' AND connamespace = 'dk'::regnamespace"
        ).all()
    audited = set(ENTITIES.values())
    assert {(t, n) for t, n in named if t in audited} == {
        (rule.table, rule.name) for rule in (*CHECKS, *EXCLUSIONS)
    }
    assert {tuple(key) for key in keys if key[0] in audited} == {
        (table, column, parent)
        for table in audited
        for column, parent in TABLES[table].references().items()
    }


def test_schema_changed_by_hand_has_drifted(database):
    with database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE dk.drivers DISABLE TRIGGER a_guard")
    assert migrate.status(database).drifted
    with database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE dk.drivers ENABLE ALWAYS TRIGGER a_guard")
    assert not migrate.status(database).drifted


def test_migration_file_names_match_their_history():
    steps = [step.revision for step in ScriptDirectory(str(migrate.SCRIPTS)).walk_revisions()]
    assert STEPS == steps[::-1]


def test_unknown_revision_is_refused_by_name(database):
    with pytest.raises(Usage, match="no revision '999'"):
        migrate.up(database, "999")


def test_database_that_is_behind_is_refused(database):
    migrate.down(database, STEPS[-2])
    with pytest.raises(SchemaMismatch, match=STEPS[-1]):
        migrate.require(database)


def test_newer_schema_is_refused(database):
    with database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE public.alembic_version SET version_num = '29990101000000'"
        )
    with pytest.raises(SchemaMismatch, match="29990101000000"):
        migrate.up(database)


def test_migration_releases_its_lock_immediately(database):
    for _ in range(3):
        assert migrate.up(database).current

"""Reads come from one snapshot and return what was written; an interrupted read is an error."""

from __future__ import annotations

import re

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dispatchkit.config import Database
from dispatchkit.domain.tables import TABLES
from dispatchkit.flows.explain import listings as shows
from dispatchkit.flows.live import act, catalog
from dispatchkit.flows.live.gather import queries
from dispatchkit.kernel.errors import DatabaseUnavailable, SchemaMismatch
from dispatchkit.kernel.sql import bind
from dispatchkit.store import read
from dispatchkit.store.postgres import PostgresStore
from tests import databases


def test_every_table_is_read_back_unchanged(sample_db):
    rows = 0
    with read.snapshot(sample_db) as snapshot:
        for name in TABLES:
            batches = list(snapshot.table(name))
            if databases.sample_frames().get(name, pl.DataFrame()).height:
                kept = pl.concat([pl.DataFrame(batch) for batch in batches])
                assert_frame_equal(
                    kept,
                    databases.sample_frames()[name].select(kept.columns).sort("id"),
                    check_dtypes=False,
                )
                rows += kept.height
    assert rows > 5000


def test_snapshot_reads_all_tables_at_one_instant(sample_db):
    with read.snapshot(sample_db) as snapshot:
        first = len(list(snapshot.table("customers")))
        with sample_db.begin() as connection:
            connection.exec_driver_sql("INSERT INTO dk.customers (id) VALUES (999999)")
        kept = pl.concat([pl.DataFrame(batch) for batch in snapshot.table("customers")])
    assert first == 1
    assert 999999 not in set(kept["id"])


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("SELECT 1 / (id - 20) AS a FROM generate_series(1, 20) AS id", DatabaseUnavailable),
        ("SELECT no_such_column FROM deliveries", SchemaMismatch),
        ("SELECT * FROM no_such_table", SchemaMismatch),
    ],
)
def test_failed_read_raises_own_error(sample_db, query, fault):
    with pytest.raises(fault) as said:
        read.frames(sample_db, {"query": query}, {}, Database())
    assert "DETAIL" not in str(said.value)
    assert said.value.__cause__ is None


LIVE = {  # what runs every minute or waits for a person
    f"{path.parent.name}/{name}": sql
    for path in (act.SQL, *filter(None, (catalog.feature(name).sql for name in catalog.FEATURES)))
    for name, sql in queries(path).items()
}


@pytest.mark.parametrize("name", LIVE)
def test_live_queries_use_indexes(sample_db, now, name):
    ids = dict.fromkeys(("delivery", "driver", "offer", "order", "ticket"), 1)
    query = bind(LIVE[name], {"now": now, "recent": now, "since": now, **ids})
    with sample_db.connect() as connection:
        for way in (
            "seqscan",
            "indexscan",
            "indexonlyscan",
        ):  # what remains is to look rows up in a fitting index
            connection.exec_driver_sql(f"SET enable_{way} = off")
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {query}").scalars())
    assert not re.findall(
        r"Seq Scan on (?:deliveries|driver_offers|driver_locations|orders)\b", plan
    ), plan


def test_listing_reads_only_shown_rows(sample_db, now):
    store = PostgresStore(sample_db, now=now)
    for what in shows.LISTINGS:
        assert shows.listing(store, catalog.settings(), what, limit=2).height <= 2
    newest = shows.listing(store, catalog.settings(), "deliveries", limit=3)
    assert_frame_equal(
        newest, shows.listing(store, catalog.settings(), "deliveries", limit=1000).head(3)
    )
    assert set(
        shows.listing(store, catalog.settings(), "deliveries", state="DELIVERED", limit=5)["state"]
    ) == {"DELIVERED"}

"""Reading from Postgres: what went in comes out, from one snapshot, and a read that breaks off says nothing of rows."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dispatchkit.kernel.errors import DatabaseUnavailable, SchemaMismatch
from dispatchkit.kernel.tables import TABLES
from dispatchkit.store import read
from tests import databases


def test_every_table_comes_out_of_a_snapshot_as_it_went_in(city):
    rows = 0
    with read.snapshot(city) as snapshot:
        for name in TABLES:
            batches = list(snapshot.table(name))
            if name in databases.city_frames():
                kept = pl.concat([pl.DataFrame(batch) for batch in batches])
                assert_frame_equal(
                    kept, databases.city_frames()[name].select(kept.columns).sort("id"), check_dtypes=False
                )
                rows += kept.height
    assert rows > 5000


def test_all_tables_of_a_snapshot_are_of_one_instant(city):
    with read.snapshot(city) as snapshot:
        first = len(list(snapshot.table("customers")))
        with city.begin() as on:
            on.exec_driver_sql("INSERT INTO dk.customers (id) VALUES (999999)")
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
def test_a_read_that_fails_says_so_in_our_words(city, query, fault):
    with pytest.raises(fault) as said:
        read.frames(city, {"query": query}, {})
    assert "DETAIL" not in str(said.value)
    assert said.value.__cause__ is None

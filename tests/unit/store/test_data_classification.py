"""Every column has a class, so that nothing personal is kept where it cannot be erased."""

from __future__ import annotations

import pytest

from dispatchkit.domain.tables import ENTITIES, TABLES
from dispatchkit.store.data_classification import CLASSES, LEDGERS, PERSONAL, TEXTS, class_of
from dispatchkit.store.privacy import ERASED

COLUMNS = [(table, column) for table, schema in TABLES.items() for column in schema.columns()]


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=[".".join(key) for key in COLUMNS])
def test_column_has_class(table, column):
    assert class_of(table, column) in CLASSES, (
        f"say in store/classes.py what {table}.{column} tells"
    )


def test_audited_tables_decisions_and_events_hold_nothing_personal():
    kept = [(table, column) for table in ENTITIES.values() for column in TABLES[table].columns()]
    kept += [(table, column) for table, columns in LEDGERS.items() for column in columns]
    assert [key for key in kept if class_of(*key) in PERSONAL] == []


def test_erasure_removes_exactly_personal_columns():
    assert {key for key in COLUMNS if class_of(*key) in PERSONAL} == ERASED


def test_only_columns_that_exist_are_classed_by_hand():
    assert set(TEXTS) <= {".".join(key) for key in COLUMNS}


def test_unclassified_column_has_no_class():
    assert class_of("outbox", "phone") is None
    assert class_of("drivers", "nickname") is None
    assert class_of("driver_offers", "cause") == "word"

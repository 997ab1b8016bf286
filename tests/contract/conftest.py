"""The made-up city in either store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatchkit.config import Database
from dispatchkit.store.memory import MemoryStore
from dispatchkit.store.postgres import PostgresStore
from tests import databases
from tests.contract.both import Either


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Either]:
    """Yield the sample city in memory, then in Postgres: each test runs on both."""
    if request.param == "memory":
        yield MemoryStore(databases.sample_frames(), databases.NOW)
        return
    with databases.fresh("sample") as made:
        yield PostgresStore(made, Database(batch=3), now=databases.NOW)


@pytest.fixture
def pair() -> Iterator[tuple[MemoryStore, PostgresStore]]:
    """Yield both stores with the same city."""
    with databases.fresh("sample") as made:
        yield (
            MemoryStore(databases.sample_frames(), databases.NOW),
            PostgresStore(made, Database(batch=5), now=databases.NOW),
        )

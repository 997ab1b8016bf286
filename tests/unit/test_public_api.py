"""The names that `import dispatchkit as dk` promises."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dispatchkit as dk
from tests.builders import NOW, a_driver, tables


@pytest.mark.parametrize("name", dk.PUBLIC)
def test_public_name_is_defined_and_documented(name):
    assert (getattr(dk, name).__doc__ or "").strip()


def test_unknown_name_is_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'dispatch'"):
        dk.dispatch  # noqa: B018


def test_import_is_light():
    heavy = "polars duckdb sqlalchemy ortools osmnx networkx numpy"
    script = f"import dispatchkit, sys; print([m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_sweep_runs_on_store_in_memory():
    store = dk.MemoryStore(tables(a_driver(1)), NOW)
    swept = dk.sweep(store, dk.Settings(), "offers", dk.SweepOptions(dry_run=True))
    assert list(swept.changes) == []

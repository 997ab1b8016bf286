"""Each rule of the house fails when it is broken: shown on tiny made-up trees."""

from __future__ import annotations

import json

import pytest

from tests.house import rules
from tests.house.tree import modules, texts


def tree(root, **files):
    """Return the modules of a sample package; `decide__offers__policy` is decide/offers/policy.py."""
    for name, text in files.items():
        path = root / "dispatchkit" / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return modules(root)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"kernel__a": "from dispatchkit.flows import b", "flows__b": ""}, "not on a lower floor"),
        ({"kernel__a": "import dispatchkit.config", "config": ""}, "not on a lower floor"),
        (
            {"store__a": "import dispatchkit.warehouse.b", "warehouse__b": ""},
            "not on a lower floor",
        ),
        (
            {"store__a": "def f():\n    from ..measure import b", "measure__b": ""},
            "not on a lower floor",
        ),
        ({"flows__a": "import_module('dispatchkit.cli.b')", "cli__b": ""}, "not on a lower floor"),
        (
            {
                "decide__zones__a": "from dispatchkit.decide.prices import b",
                "decide__prices__b": "",
            },
            "another feature",
        ),
        *(
            (
                {
                    "measure__funnel": f"from dispatchkit.measure.{subject} import x",
                    f"measure__{subject}": "def measure(marts, scope): ...",
                },
                "another feature",
            )
            for subject in ("etas", "risk", "new_subject", "nightly")
        ),
        (
            {"streets__a": "from dispatchkit.travel import b", "travel__b": ""},
            "not on a lower floor",
        ),
        (
            {"routing__a": "from dispatchkit.domain import b", "domain__b": ""},
            "not on a lower floor",
        ),
        ({"attic__a": ""}, "stands on no floor"),
    ],
)
def test_import_that_leaves_its_floor_is_found(tmp_path, files, fault):
    found = list(rules.floor_faults(tree(tmp_path, **files)))
    assert len(found) == 1
    assert fault in found[0]


def test_imports_downwards_and_within_room_are_fine(tmp_path):
    good = tree(
        tmp_path,
        kernel__a="",
        config="from dispatchkit.kernel import a",
        decide__offers__model="from dispatchkit.kernel.a import x",
        decide__offers__policy="from .model import x",
        measure__metric="",
        measure__funnel="from dispatchkit.measure.metric import x",
        streets__a="",
        travel__a="from dispatchkit.streets import a",
        domain__a="from dispatchkit.travel import a",
        flows__a="from dispatchkit.decide.offers import policy\nfrom dispatchkit import __version__",
        cli__a="from dispatchkit.flows import a",
    )
    assert list(rules.floor_faults(good)) == []


@pytest.mark.parametrize(
    ("place", "library", "fine"),
    [
        ("warehouse__load", "duckdb", True),
        ("flows__report", "duckdb", False),
        ("store__write", "psycopg", True),
        ("flows__sweep", "sqlalchemy", False),
        ("routing__or_tools", "ortools", True),
        ("decide__routes__policy", "ortools", False),
        ("streets__graph", "networkx", True),
        ("simulation__streets", "osmnx", False),
        ("cli__main", "typer", True),
        ("flows__act", "rich", False),
        ("pages__nightly", "altair", True),
        ("measure__nightly", "altair", False),
    ],
)
def test_heavy_library_stays_in_its_room(tmp_path, place, library, fine):
    found = list(
        rules.library_faults(tree(tmp_path, **{place: f"def f():\n    import {library}.sub"}))
    )
    assert bool(found) is not fine


@pytest.mark.parametrize(
    ("place", "body", "fine"),
    [
        ("flows__act", "from dispatchkit.store.postgres import PostgresStore", False),
        ("flows__act", "from dispatchkit.store.postgres import open_store", True),
        ("cli__act", "x = store.engine", False),
        ("flows__act", "x = connect.engine(url)", False),
        ("cli__routes", "x = plan.engine", True),
        ("store__write", "x = store.engine", True),
    ],
)
def test_postgres_stays_in_the_store(tmp_path, place, body, fine):
    assert bool(list(rules.store_faults(tree(tmp_path, **{place: body})))) is not fine


@pytest.mark.parametrize(
    "body",
    [
        "import time",
        "from random import random",
        "def f():\n    import os",
        "x = datetime.now(UTC)",
        "x = date.today()",
        "x = open('f')",
        "x = path.read_text()",
        "x = pl.read_parquet('f')",
        "frame.write_csv('f')",
        "print(1)",
        "now = datetime.now",
    ],
)
def test_impure_policy_is_found(tmp_path, body):
    assert len(list(rules.purity_faults(tree(tmp_path, decide__offers__policy=body)))) == 1
    assert len(list(rules.purity_faults(tree(tmp_path / "b", measure__funnel=body)))) == 1
    assert list(rules.purity_faults(tree(tmp_path / "c", flows__sweep=body))) == []


def test_policy_may_take_now_and_sql_file(tmp_path):
    body = "from pathlib import Path\nSQL = Path(__file__)\n"
    body += "def decide(rows, now):\n    open = rows.now\n    return open"
    assert list(rules.purity_faults(tree(tmp_path, decide__offers__policy=body))) == []


def test_module_without_docstring_is_found(tmp_path):
    found = tree(tmp_path, kernel__a='"""Says what it is."""', kernel__b="x = 1")
    assert list(rules.docstring_faults(found)) == ["dispatchkit.kernel.b has no docstring"]


@pytest.mark.parametrize(
    ("body", "fine"),
    [
        ("x = 'SELECT id FROM orders'", False),
        ('x = """\n  select id\n  from orders"""', False),
        ("x = f'SELECT {columns} FROM {table}'", False),
        ("x = f'INSERT INTO {table} VALUES (1)'", False),
        ("x = f'UPDATE {table} SET a = 1'", False),
        ("x = 'DELETE FROM orders'", False),
        ("x = f'CREATE TABLE {table} (id bigint)'", False),
        ("x = 'SET timezone'", True),
        ("x = f'rows were inserted into {table}'", True),
        ("def f():\n    'Return what SELECT takes FROM a table.'", True),
    ],
)
def test_sql_in_python_is_found_outside_allowed_modules(tmp_path, body, fine):
    assert (list(rules.loose_sql_faults(tree(tmp_path, flows__sweep=body))) == []) is fine
    assert list(rules.loose_sql_faults(tree(tmp_path / "b", store__statements=body))) == []


def test_modules_with_allowed_sql_contain_some(monkeypatch):
    homes = set(rules.SQL_AT_HOME)
    monkeypatch.setattr(rules, "SQL_AT_HOME", set())
    assert {
        fault.partition(":")[0].removeprefix("dispatchkit.")
        for fault in rules.loose_sql_faults(modules())
    } == homes


@pytest.mark.parametrize(
    ("name", "text", "faults"),
    [
        ("reads.sql", "-- name: a\n-- Deliveries.\nSELECT 1", 1),  # one word describes nothing
        ("reads.sql", "-- name: a\n-- Deliveries that seek a driver.\nSELECT 1", 0),
        ("reads.sql", "-- name: a\nSELECT 1", 1),
        (
            "reads.sql",
            "-- name: a\n-- One row a driver.\nSELECT 1\n-- name: a\n-- One row a driver.\nSELECT 2",
            2,
        ),
        ("reads.sql", "-- Everything there is, unnamed.\nSELECT 1", 1),
        ("marts/offers.sql", "-- One row an offer.\nSELECT 1", 0),
        ("marts/offers.sql", "SELECT 1 -- one row an offer", 1),
    ],
)
def test_query_without_name_or_description_is_found(name, text, faults):
    assert len(list(rules.sql_faults(name, text))) == faults


def test_notebook_stored_with_output_is_found():
    def notebook(**cell):
        return json.dumps(
            {"cells": [{"cell_type": "markdown"}, {"outputs": [], "execution_count": None, **cell}]}
        )

    assert list(rules.notebook_faults("n", notebook())) == []
    assert list(rules.notebook_faults("n", notebook(outputs=[{"text": "7"}]))) == [
        "n: cell 1 is stored with its output"
    ]
    assert list(rules.notebook_faults("n", notebook(execution_count=3))) == [
        "n: cell 1 is stored with its output"
    ]


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("see dispatchkit/wor" + "k/plan", True),
        ("open /wor" + "k/plan", False),
        ("in /roo" + "t/x", False),
        ("/hom" + "e/anna/x", False),
        ("https://py" + "pi.org/simple", False),
        ("--no-emit-index" + "-url", True),
        ("index" + "-url = https://mirror", False),
        ("postgresql://localhost/dispatch", True),
    ],
)
def test_path_or_host_of_one_machine_is_found(text, fine):
    assert (list(rules.foreign_faults("f", f"first line\n{text}\n")) == []) is fine


def test_texts_leave_out_caches_and_private_data(tmp_path):
    for name in (
        "data/real.csv",
        "data/sample/a.csv",
        "dispatchkit/__pycache__/a.py",
        "dispatchkit/a.py",
        "secret/a.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [name for name, _ in texts(tmp_path)] == ["data/sample/a.csv", "dispatchkit/a.py"]

"""Data in and out of a real Postgres, through the flows and the command line."""

from __future__ import annotations

import errno
import json
import os
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from dispatchkit.domain.tables import TABLES
from dispatchkit.flows.data import data_io
from dispatchkit.kernel.errors import InputMissing, IOFailed, NotPermitted, Refused
from dispatchkit.warehouse.imports import read_export
from tests import databases

HEAD = "store,placed,done,cents\n"
MAPPING = """
source = "shop"
columns = ["store", "placed", "done", "cents"]
[tables.merchants]
id = { key = ["store"] }
label = { text = "store {store}" }
[tables.customers]
id = { key = [] }
[tables.orders]
id = { key = ["*"] }
customer_id = { key = [] }
merchant_id = { key = ["store"] }
placed_at = "placed"
items = { constant = 1 }
goods_cents = "cents"
fee_cents = { constant = 0 }
source = { constant = "shop" }
[tables.deliveries]
id = { key = ["*"] }
order_id = { key = ["*"] }
state = { constant = "DELIVERED" }
driver_unknown = { constant = true }
created_at = "placed"
dispatch_at = "placed"
ended_at = "done"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.toml").write_text(MAPPING)
    line = "{},2026-03-02T12:00:00Z,2026-03-02T12:{}:00Z,{}\n"
    (tmp_path / "shop.csv").write_text(
        HEAD + line.format(1, 30, 900) + line.format(2, 40, 950) + line.format(2, 41, -5)
    )
    return tmp_path


def test_extract_import_extract_gives_same_rows(sample_db, database, tmp_path, now):
    data_io.extract(databases.url(sample_db), tmp_path, tmp_path / "a")
    batch = data_io.read_files([tmp_path / "a"], None, now=now + timedelta(days=3650))
    assert batch.quarantine.is_empty()
    imported = data_io.import_files(databases.url(database), tmp_path, batch)
    assert sum(counts.inserted for counts in imported.tables.values()) == batch.counts["lines"]
    again = data_io.import_files(databases.url(database), tmp_path, batch)
    assert sum(counts.inserted for counts in again.tables.values()) == again.conflicting == 0
    data_io.extract(databases.url(database), tmp_path, tmp_path / "b")
    for table in TABLES:
        one, two = (pl.read_parquet(tmp_path / x / f"{table}.parquet") for x in ("a", "b"))
        assert one.drop("version", strict=False).equals(two.drop("version", strict=False)), table


def test_extract_has_orders_of_period_with_rows(sample_db, tmp_path, now):
    since, until = now - timedelta(hours=3), now - timedelta(hours=1)
    data_io.extract(databases.url(sample_db), tmp_path, tmp_path / "x", since=since, until=until)
    batch = read_export(tmp_path / "x", now=now + timedelta(days=3650))
    assert batch.quarantine.is_empty()  # so nothing points to a row that was left out
    placed = databases.sample_frames()["orders"].get_column("placed_at")
    assert len(batch.frames["orders"]) == placed.is_between(since, until, closed="left").sum() > 0
    assert 0 < len(batch.frames["driver_offers"]) < len(databases.sample_frames()["driver_offers"])


def test_max_changes_refuses_before_writing(database, shop):
    batch = data_io.read_files([shop / "shop.csv"], shop / "shop.toml", now=databases.NOW)
    with pytest.raises(Refused, match="7 rows would be written, --max-changes is 6"):
        data_io.import_files(databases.url(database), shop, batch, max_changes=6)
    imported = data_io.import_files(databases.url(database), shop, batch, max_changes=7)
    assert {table: counts.inserted for table, counts in imported.tables.items()} == {
        "merchants": 2,
        "customers": 1,
        "orders": 2,
        "deliveries": 2,
    }


def test_full_disk_at_quarantine_imports_nothing(database, shop, monkeypatch):
    batch = data_io.read_files([shop / "shop.csv"], shop / "shop.toml", now=databases.NOW)
    (shop / "quarantine.csv").mkdir()
    with pytest.raises(InputMissing, match=r"quarantine.csv: is a directory"):
        data_io.import_files(databases.url(database), shop, batch)
    (shop / "quarantine.csv").rmdir()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IOFailed, match="disk full, nothing kept"):
        data_io.import_files(databases.url(database), shop, batch)
    monkeypatch.undo()
    imported = data_io.import_files(databases.url(database), shop, batch)
    assert [counts.inserted for counts in imported.tables.values()] == [2, 1, 2, 2]
    assert [counts.same for counts in imported.tables.values()] == [0, 0, 0, 0]


def full(_descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_import_reports_counts_and_exits_3_for_bad_row(database, shop, cli):
    words = ("import", shop / "shop.csv", "--mapping", shop / "shop.toml")
    dry_run = cli("--json", "--data", shop, "data", *words, "--dry-run", db=database)
    assert dry_run.exit == 3 and not (shop / "quarantine.csv").exists()
    real = cli("--json", "--data", shop, "data", *words, db=database)
    document = json.loads(real.stdout)
    assert document["tables"] == json.loads(dry_run.stdout)["tables"]
    assert (
        document["read"]["lines"],
        document["read"]["records"],
        document["read"]["quarantined_lines"],
    ) == (
        3,
        2,
        1,
    )
    assert (
        real.exit == 3 and real.stderr.count("\n") == 1 and "DK-IN-034: shop.csv:3" in real.stderr
    )
    assert "shop.csv,3,goods_cents,DK-IN-034" in (shop / "quarantine.csv").read_text()


REFUSED = [
    (("import", "shop.csv"), 2, "foreign files need --mapping"),
    (("import", "none.csv", "--mapping", "shop.toml"), 66, "no such file"),
    (("import", "shop.csv", "--mapping", "none.toml"), 66, "no such file"),
    (("import", "shop.csv", "--mapping", "shop.csv"), 78, "not TOML"),
    (
        ("import", "shop.csv", "--mapping", "shop.toml", "--rows", "4"),
        65,
        "3 rows, 4 were announced",
    ),
    (
        ("import", "shop.csv", "--mapping", "shop.toml", "--sha256", "0" * 64),
        65,
        "checksum mismatch",
    ),
    (("load", "none"), 66, "no such export"),
    (("load", "."), 65, "no manifest"),
    (("check", ".", "--max-age", "soon"), 2, "expected a span"),
    (("check", ".", "--now", "yesterday"), 2, "not an instant"),
    (("extract", "--since", "2026-03-03", "--until", "2026-03-02"), 2, "is not before"),
    (("extract", "--to", "../x"), 77, "outside output root"),
    (("sample", "--to", "../x"), 77, "outside output root"),
    (("sample", "--to", "none/x"), 73, "no such directory"),
]


@pytest.mark.parametrize(
    ("words", "exit_code", "gist"), REFUSED, ids=[" ".join(r[0])[:50] for r in REFUSED]
)
def test_refused_command_prints_one_line(words, exit_code, gist, shop, cli_in_process):
    ran = cli_in_process("--data", "here", "data", *words)
    assert (ran.exit, ran.stdout) == (exit_code, "")
    assert gist in ran.stderr and ran.stderr.count("\n") == 1


def test_relative_output_must_not_climb(tmp_path):
    data_io.inside(tmp_path / "x")
    data_io.inside(Path("a/../x"))
    with pytest.raises(NotPermitted):
        data_io.inside(Path("a/../../x"))

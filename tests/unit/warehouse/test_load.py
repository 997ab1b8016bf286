from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from dispatchkit.kernel.errors import CannotCreate, InputMissing, IOFailed, TryLater, Usage
from dispatchkit.warehouse.database import open_marts
from dispatchkit.warehouse.imports import read_export
from dispatchkit.warehouse.load import load
from tests.unit.warehouse.exports import NOW, export, frames, order, rows


def test_rows_beyond_one_row_group_are_loaded(tmp_path: Path) -> None:
    ids = pl.DataFrame({"id": pl.int_range(1, 300_001, eager=True)})
    many = ids.join(frames(1)["orders"].drop("id"), how="cross")
    report = load(
        export(tmp_path / "x", frames(1) | {"orders": many}), tmp_path / "x.duckdb", now=NOW
    )
    assert report.rows["orders"] == 300_000
    with open_marts(tmp_path / "x.duckdb") as marts:
        assert marts.frame("orders").get_column("id").equals(many.get_column("id"))


def test_second_load_replaces_tables(tmp_path: Path) -> None:
    first = load(export(tmp_path / "a", frames(3)), tmp_path / "x.duckdb", now=NOW)
    second = load(export(tmp_path / "b", frames(2)), tmp_path / "x.duckdb", now=NOW)
    assert (first.rows["orders"], second.rows["orders"]) == (3, 2)
    with open_marts(tmp_path / "x.duckdb") as marts:
        assert len(marts.frame("orders")) == 2


def test_refused_load_keeps_old_database(tmp_path: Path) -> None:
    load(export(tmp_path / "a", frames(3)), tmp_path / "x.duckdb", now=NOW)
    before = (tmp_path / "x.duckdb").read_bytes()
    bad = export(tmp_path / "b", frames(2))
    (bad / "orders.parquet").write_bytes(b"")
    with pytest.raises(Exception, match="empty file"):
        load(bad, tmp_path / "x.duckdb", now=NOW)
    assert (tmp_path / "x.duckdb").read_bytes() == before


def test_full_disk_at_quarantine_keeps_old_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    old, new = export(tmp_path / "a", frames(3)), export(tmp_path / "b", frames(2))
    load(old, tmp_path / "x.duckdb", now=NOW)
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IOFailed, match=r"quarantine.csv: disk full, nothing kept"):
        load(new, tmp_path / "x.duckdb", now=NOW)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_other_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine, all of it")
    with pytest.raises(CannotCreate, match="not a DuckDB file"):
        load(export(tmp_path / "x", frames()), tmp_path / "notes.txt", now=NOW)
    assert (tmp_path / "notes.txt").read_text() == "mine, all of it"


def test_database_in_use_means_try_later(tmp_path: Path) -> None:
    x = export(tmp_path / "x", frames())
    load(x, tmp_path / "x.duckdb", now=NOW)
    code = (
        "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('open', flush=True); "
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"open\n"
        with pytest.raises(TryLater, match="another process"):
            open_marts(tmp_path / "x.duckdb")
        with pytest.raises(TryLater, match="another process"):
            load(x, tmp_path / "x.duckdb", now=NOW)
        assert other.stdin is not None
        other.stdin.close()


def test_only_known_tables_can_be_read(tmp_path: Path) -> None:
    load(export(tmp_path / "x", frames()), tmp_path / "x.duckdb", now=NOW)
    with open_marts(tmp_path / "x.duckdb") as marts:
        assert {"orders", "quarantine", "export_manifest", "mart_deliveries"} <= set(marts.names)
        with pytest.raises(Usage, match="no table here"):
            marts.frame('orders"; drop table x--')
    with pytest.raises(InputMissing, match="nothing loaded yet"):
        open_marts(tmp_path / "none.duckdb")


def test_read_export_leaves_bad_rows_out(tmp_path: Path) -> None:
    data = frames(2) | {"orders": rows("orders", order(2), order(1), order(3, customer_id=9))}
    batch = read_export(export(tmp_path / "x", data), now=NOW)
    assert batch.frames["orders"].get_column("id").to_list() == [1, 2]
    assert batch.frames["orders"].schema == data["orders"].schema
    counts = batch.counts
    assert counts["lines"] == counts["quarantined_lines"] + counts["records"] == 8

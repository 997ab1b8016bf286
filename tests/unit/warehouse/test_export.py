from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dispatchkit.kernel.errors import (
    BadData,
    CannotCreate,
    DispatchError,
    IOFailed,
    NotPermitted,
    TryLater,
    Usage,
)
from dispatchkit.warehouse import manifest as manifests
from dispatchkit.warehouse.database import open_marts
from dispatchkit.warehouse.export import ExportWriter
from dispatchkit.warehouse.load import check, load
from tests.unit.warehouse.exports import NOON, NOW, export, frames, order, rows


def writer(to: Path, *, force: bool = False) -> ExportWriter:
    return ExportWriter(
        to, as_of=NOON, database_id="db-1", revision="r1", snapshot="s1", force=force
    )


def test_loaded_database_holds_exported_rows(tmp_path: Path) -> None:
    data = frames(50)
    report = load(export(tmp_path / "x", data), tmp_path / "x.duckdb", now=NOW)
    with open_marts(tmp_path / "x.duckdb") as marts:
        for table, frame in data.items():
            assert marts.frame(table).sort("id").equals(frame)
        assert marts.manifest["sha256"] == report.manifest_sha256
    assert report.quarantine.is_empty() and report.rows["orders"] == 50


def test_manifest_states_facts_of_each_file(tmp_path: Path) -> None:
    to = export(tmp_path / "x", frames(3))
    manifest = manifests.read(to)
    facts = {f.table: f for f in manifest.files}
    assert list(facts) == ["merchants", "customers", "drivers", "orders", "deliveries"]
    orders = facts["orders"]
    assert (orders.rows, orders.distinct_ids, orders.bytes) == (
        3,
        3,
        (to / "orders.parquet").stat().st_size,
    )
    assert (
        orders.ranges["id"] == [1, 3]
        and orders.ranges["placed_at"] == ["2026-03-02T12:00:00.000000Z"] * 2
    )
    assert orders.cents == {"goods_cents": 3600, "fee_cents": 900}
    assert facts["merchants"].classes == {"lat": "position", "lon": "position"}
    assert manifest.encode() == (to / "manifest.json").read_bytes()


def test_batches_of_any_kind_and_order_are_written(tmp_path: Path) -> None:
    one, two = rows("orders", order(9), order(4)), rows("orders", order(4), order(7))
    with writer(tmp_path / "x") as export:
        export.append("orders", one)
        export.append(
            "orders",
            (batch for batch in pa.Table.from_batches(two.to_arrow().to_batches()).to_batches()),
        )
        export.append("orders", two.head(0))
    assert export.manifest is not None
    facts = export.manifest.files[0]
    assert (facts.rows, facts.distinct_ids, facts.ranges["id"]) == (4, 3, [4, 9])
    assert pq.read_table(tmp_path / "x" / "orders.parquet").column("id").to_pylist() == [9, 4, 4, 7]


def test_same_rows_make_same_bytes(tmp_path: Path) -> None:
    one, two = export(tmp_path / "a", frames(9)), export(tmp_path / "b", frames(9))
    for path in sorted(one.iterdir()):
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_failed_export_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), writer(tmp_path / "x") as export:
        export.append("orders", rows("orders", order(1)))
        raise RuntimeError
    assert not (tmp_path / "x").exists()


def test_failed_replacement_keeps_old_export(tmp_path: Path) -> None:
    to = export(tmp_path / "x", frames(3))
    before = {path.name: path.read_bytes() for path in to.iterdir()}
    with pytest.raises(BadData, match="missing columns"), writer(to, force=True) as again:
        again.append("orders", rows("orders", order(1)))
        again.append("customers", pl.DataFrame({"id": [1]}))
    assert {path.name: path.read_bytes() for path in to.iterdir()} == before


def test_full_disk_exits_74_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(IOFailed, match="disk full, nothing kept") as failed,
        writer(tmp_path / "x") as export,
    ):
        export.append("orders", rows("orders", order(1)))
    assert failed.value.exit_code == 74
    assert not (tmp_path / "x").exists()


def test_leftovers_of_killed_run_are_removed(tmp_path: Path) -> None:
    to = tmp_path / "x"
    to.mkdir()
    for name in ("orders.parquet.tmp", "customers.parquet"):
        (to / name).write_bytes(b"half")
    export(to, {"orders": rows("orders", order(1))})
    assert sorted(path.name for path in to.iterdir()) == ["manifest.json", "orders.parquet"]


def test_force_replaces_only_export(tmp_path: Path) -> None:
    to = export(tmp_path / "x", frames(3))
    (to / "notes.txt").write_text("mine")
    with writer(to, force=True) as again:
        again.append("orders", rows("orders", order(1)))
    assert sorted(path.name for path in to.iterdir()) == [
        "manifest.json",
        "notes.txt",
        "orders.parquet",
    ]


REFUSED: list[tuple[str, type[DispatchError], int, str]] = [
    ("an export", CannotCreate, 73, "exists"),
    ("a file", CannotCreate, 73, "is a file"),
    ("no parent", CannotCreate, 73, "no such directory"),
    ("a symlink", NotPermitted, 77, "symlink"),
]


@pytest.mark.parametrize(("what", "error", "code", "gist"), REFUSED)
def test_unusable_output_is_refused(
    what: str, error: type[DispatchError], code: int, gist: str, tmp_path: Path
) -> None:
    to = tmp_path / "x"
    if what == "an export":
        export(to, frames(1))
    elif what == "a file":
        to.write_text("")
    elif what == "no parent":
        to = tmp_path / "none" / "x"
    else:
        (tmp_path / "real").mkdir()
        to.symlink_to(tmp_path / "real")
    with pytest.raises(error, match=gist) as refused, writer(to):
        pass
    assert refused.value.exit_code == code


def test_second_writer_of_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with writer(tmp_path / "x"), pytest.raises(TryLater), writer(tmp_path / "x"):
        pass


def test_unknown_table_is_usage_error(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="not one of our tables"), writer(tmp_path / "x") as export:
        export.append('offer"; drop table x--', pl.DataFrame({"id": [1]}))


def test_other_column_type_is_refused(tmp_path: Path) -> None:
    odd = rows("customers", {"id": 1}).with_columns(id=pl.lit("one"))
    with pytest.raises(BadData, match="customers"), writer(tmp_path / "x") as export:
        export.append("customers", odd)


def test_export_without_rows_is_valid(tmp_path: Path) -> None:
    to = export(tmp_path / "x", {"orders": rows("orders")})
    assert check(to, now=datetime(2026, 3, 2, 13, tzinfo=UTC)).rows["orders"] == 0
    assert json.loads((to / "manifest.json").read_text())["files"][0]["ranges"] == {}

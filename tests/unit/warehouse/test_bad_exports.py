"""Bad exports: each ends with its exit code, its stable code and one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from dispatchkit.kernel.errors import DispatchError
from dispatchkit.warehouse.database import open_marts
from dispatchkit.warehouse.imports import read_export
from dispatchkit.warehouse.load import check, load
from dispatchkit.warehouse.quarantine import QUARANTINE, quarantine_csv
from tests.unit.warehouse.exports import (
    NOON,
    NOW,
    as_csv,
    delivery,
    duty,
    edit,
    entry,
    export,
    frames,
    offer,
    order,
    reseal,
    rows,
)

Damage = Callable[[Path], None]
CUSTOMERS = "id,since\n1,\n"


def remove_export(x: Path) -> None:
    shutil.rmtree(x)


def replace_by_file(x: Path) -> None:
    shutil.rmtree(x)
    x.write_text("")


def replace_table_by_directory(x: Path) -> None:
    (x / "orders.parquet").unlink()
    (x / "orders.parquet").mkdir()


def remove_manifest(x: Path) -> None:
    (x / "manifest.json").unlink()


def empty_table(x: Path) -> None:
    (x / "orders.parquet").write_bytes(b"")


def flip_bit(x: Path) -> None:
    data = bytearray((x / "orders.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (x / "orders.parquet").write_bytes(data)


def cut_table(x: Path) -> None:
    path = x / "orders.parquet"
    path.write_bytes(path.read_bytes()[:-40])


def cut_and_reseal(x: Path) -> None:
    cut_table(x)
    reseal(x, "orders")


def state_more_rows(x: Path) -> None:
    edit(x, lambda m: entry(m, "orders").update(rows=1000))


def state_other_sum(x: Path) -> None:
    edit(x, lambda m: entry(m, "orders")["cents"].update(goods_cents=1))


def take_table_of_other_export(**head: str) -> Damage:
    def damage(x: Path) -> None:
        other = export(x.with_name("other"), {"orders": frames()["orders"]}, **head)
        shutil.copy(other / "orders.parquet", x)
        reseal(x, "orders")

    return damage


def write_csv_as_parquet(x: Path) -> None:
    (x / "orders.parquet").write_text("id\n1\n")
    reseal(x, "orders")


def rewrite_table(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Damage:
    def damage(x: Path) -> None:
        change(pl.read_parquet(x / "orders.parquet")).write_parquet(x / "orders.parquet")
        reseal(x, "orders")

    return damage


def edit_manifest(**words: object) -> Damage:
    return lambda x: edit(x, lambda m: m.update(words))


def edit_file_entry(**words: object) -> Damage:
    return lambda x: edit(x, lambda m: entry(m, "orders").update(words))


def write_manifest(written: str) -> Damage:
    def damage(x: Path) -> None:
        (x / "manifest.json").write_text(written)

    return damage


def replace_by_symlink(x: Path) -> None:
    (x / "orders.parquet").rename(x.with_name("elsewhere"))
    (x / "orders.parquet").symlink_to(x.with_name("elsewhere"))


def customers_csv(written: str | bytes, count: int = 1) -> Damage:
    return lambda x: as_csv(x, "customers", written, count)


BAD: list[tuple[str, Damage, int, str, str]] = [
    ("no such export", remove_export, 66, "DK-IN-001", "no such export"),
    ("a file for a directory", replace_by_file, 66, "DK-IN-002", "is a file"),
    ("a directory for a file", replace_table_by_directory, 66, "DK-IN-002", "is a directory"),
    ("an empty file", empty_table, 65, "DK-IN-004", "empty file, manifest says 3 rows"),
    ("a header alone", customers_csv("id,since\n"), 65, "DK-IN-009", "0 rows, manifest says 1"),
    ("no manifest", remove_manifest, 65, "DK-IN-007", "no manifest"),
    ("a flipped bit", flip_bit, 65, "DK-IN-008", "checksum mismatch"),
    ("a cut file", cut_table, 65, "DK-IN-008", "not a complete file, checksum mismatch"),
    (
        "a cut file that the manifest vouches for",
        cut_and_reseal,
        65,
        "DK-IN-017",
        "not a complete Parquet file",
    ),
    ("other rows than stated", state_more_rows, 65, "DK-IN-009", "3 rows, manifest says 1000"),
    ("other sums than stated", state_other_sum, 65, "DK-IN-009", "sums or ranges differ"),
    (
        "tables of two snapshots",
        take_table_of_other_export(snapshot="s2"),
        65,
        "DK-IN-010",
        "snapshots differ",
    ),
    (
        "tables of two databases",
        take_table_of_other_export(database_id="db-2"),
        65,
        "DK-IN-013",
        "expected db-1",
    ),
    (
        "an extract from the future",
        edit_manifest(as_of="2026-03-03T00:00:00Z"),
        65,
        "DK-IN-012",
        "lies in the future",
    ),
    ("another format", edit_manifest(format=2), 76, "DK-IN-014", "format 2, this program reads 1"),
    ("other contracts", edit_manifest(contracts="0" * 64), 76, "DK-IN-014", "this program reads"),
    ("no JSON", write_manifest('{"format": 1,\n oops'), 65, "DK-IN-015", "unreadable at line 2"),
    (
        "a key twice",
        write_manifest('{"format": 1, "format": 1}'),
        65,
        "DK-IN-015",
        "is there twice",
    ),
    (
        "another document",
        write_manifest('{"format": 1}'),
        65,
        "DK-IN-015",
        "not a manifest of an export",
    ),
    ("no object", write_manifest("[]"), 65, "DK-IN-015", "not a manifest of an export"),
    ("deep JSON", write_manifest("[" * 100_000), 65, "DK-IN-015", "unreadable"),
    (
        "a number for a name",
        edit_file_entry(name=7),
        65,
        "DK-IN-015",
        "not a manifest of an export",
    ),
    (
        "a path upwards",
        edit_file_entry(name="../orders.parquet"),
        77,
        "DK-IN-016",
        "outside the export directory",
    ),
    (
        "an absolute path",
        edit_file_entry(name="/etc/passwd"),
        77,
        "DK-IN-016",
        "outside the export directory",
    ),
    (
        "an unknown table",
        edit_file_entry(table="secrets"),
        65,
        "DK-IN-015",
        "not one of our tables",
    ),
    ("CSV named Parquet", write_csv_as_parquet, 65, "DK-IN-019", "not a Parquet file"),
    (
        "a missing column",
        rewrite_table(lambda f: f.drop("items")),
        65,
        "DK-IN-026",
        "missing column items",
    ),
    (
        "another type",
        rewrite_table(lambda f: f.cast({"items": pl.Int32})),
        65,
        "DK-IN-026",
        "column items is Int32",
    ),
    ("a symlink", replace_by_symlink, 77, "DK-IN-047", "symlink refused"),
    (
        "CSV cut at a line end",
        customers_csv(CUSTOMERS, 2),
        65,
        "DK-IN-009",
        "1 rows, manifest says 2",
    ),
    (
        "CSV cut inside a line",
        customers_csv("id,since\n1"),
        65,
        "DK-IN-021",
        "line 2: 1 of 2 fields",
    ),
    ("an open quote", customers_csv('id,since\n1,"\n'), 65, "DK-IN-022", "unterminated quote"),
    ("UTF-16", customers_csv(CUSTOMERS.encode("utf-16")), 65, "DK-IN-023", "not UTF-8 at byte 0"),
    (
        "Latin-1",
        customers_csv("id,since\n1,é\n".encode("latin-1")),
        65,
        "DK-IN-023",
        "not UTF-8 at byte 11",
    ),
    ("NUL", customers_csv("id,since\n1,\0\n"), 65, "DK-IN-024", "control character at byte 11"),
    ("another delimiter", customers_csv("id;since\n1;\n"), 65, "DK-IN-026", "missing column id"),
    (
        "mixed line ends",
        customers_csv("id,since\r\n1,\n"),
        65,
        "DK-IN-025",
        "line 2: line ends differ",
    ),
    ("a CSV column missing", customers_csv("id\n1\n"), 65, "DK-IN-026", "missing column since"),
    (
        "a CSV column twice",
        customers_csv("id,since,id\n1,,1\n"),
        65,
        "DK-IN-028",
        "column id is there twice",
    ),
    (
        "a long field",
        customers_csv("id,since\n1," + "x" * 10_000_000 + "\n"),
        65,
        "DK-IN-043",
        "field too long",
    ),
    (
        "many columns",
        customers_csv(",".join(f"c{i}" for i in range(5000))),
        65,
        "DK-IN-043",
        "too many columns",
    ),
    ("gzip", customers_csv(b"\x1f\x8b\x08\x00"), 65, "DK-IN-044", "compressed input refused"),
    ("zip", customers_csv(b"PK\x03\x04"), 65, "DK-IN-044", "compressed input refused"),
]


@pytest.mark.parametrize(
    ("damage", "exit_code", "code", "gist"), [b[1:] for b in BAD], ids=[b[0] for b in BAD]
)
def test_bad_export_is_refused(
    damage: Damage, exit_code: int, code: str, gist: str, tmp_path: Path
) -> None:
    damage(export(tmp_path / "x", frames()))
    with pytest.raises(DispatchError, match=gist) as refused:
        load(tmp_path / "x", tmp_path / "x.duckdb", now=NOW)
    assert (refused.value.exit_code, refused.value.code) == (exit_code, code)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300
    assert not list(tmp_path.glob("x.duckdb*")) and not list(tmp_path.glob("quarantine*"))


def test_check_and_import_refuse_bad_exports_too(tmp_path: Path) -> None:
    flip_bit(export(tmp_path / "x", frames()))
    with pytest.raises(DispatchError, match="checksum mismatch"):
        check(tmp_path / "x", now=NOW)
    with pytest.raises(DispatchError, match="checksum mismatch"):
        read_export(tmp_path / "x", now=NOW)


RINGS = [
    ("[[13,52],[14,52],", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ('{"type": "Polygon"}', r"not a list of \[lon, lat\] pairs"),
    ("[[13,52,0],[14,52,0],[14,53,0],[13,52,0]]", r"not a list of \[lon, lat\] pairs"),
    ('[["13","52"],[14,52],[14,53],["13","52"]]', r"not a list of \[lon, lat\] pairs"),
    ("[]", "fewer than three corners"),
    ("[[13,52],[14,52],[14,53],[13,53]]", "not closed"),
    ("[[13,52],[14,53],[14,52],[13,53],[13,52]]", "crosses itself"),
    ("[[52,130],[52,140],[53,140],[52,130]]", "longitude comes first"),
    (f"[[13,52],[1{'0' * 400},52],[14,53],[13,52]]", "not a coordinate"),
    ("[[13,52],[NaN,52],[14,53],[13,52]]", "not a coordinate"),
    ("[[13,52],[14,52],[15,52],[13,52]]", "encloses nothing"),
]


@pytest.mark.parametrize(("ring", "fault"), RINGS, ids=[f"{r[1]} {r[0][:20]}" for r in RINGS])
def test_bad_zone_ring_refuses_export(ring: str, fault: str, tmp_path: Path) -> None:
    good = {"id": 6, "name": "east", "ring": "[[13,52],[14,52],[14,53],[13,52]]"}
    data = frames() | {
        "delivery_zones": rows("delivery_zones", good, {"id": 7, "name": "west", "ring": ring})
    }
    x = export(tmp_path / "x", data)
    for use in (
        lambda: load(x, tmp_path / "x.duckdb", now=NOW),
        lambda: check(x, now=NOW),
        lambda: read_export(x, now=NOW),
    ):
        with pytest.raises(
            DispatchError, match=f"delivery_zones.parquet: zone 7: .*{fault}"
        ) as refused:
            use()
        assert (refused.value.exit_code, refused.value.code) == (65, "DK-IN-062")
    assert not list(tmp_path.glob("x.duckdb*"))


def test_good_zone_ring_is_loaded(tmp_path: Path) -> None:
    zone = {"id": 7, "name": "west", "ring": "[[13.0, 52], [14, 52.5], [14, 53], [13, 52]]"}
    report = check(
        export(tmp_path / "x", frames() | {"delivery_zones": rows("delivery_zones", zone)}), now=NOW
    )
    assert report.rows["delivery_zones"] == 1 and report.quarantine.is_empty()


def test_every_cut_and_flipped_byte_is_found(tmp_path: Path) -> None:
    x = export(tmp_path / "x", frames())
    for name in ("orders.parquet", "manifest.json"):
        data = (x / name).read_bytes()
        for at in range(0, len(data) - 1, max(1, len(data) // 30)):
            for damaged in (data[:at], data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :]):
                (x / name).write_bytes(damaged)
                try:
                    report = check(x, now=NOW)
                except DispatchError as refused:
                    assert refused.exit_code in (65, 66, 76, 77)
                else:  # a manifest may be edited to say something else that is true, never something false
                    assert name == "manifest.json" and report.rows["orders"] == 3
        (x / name).write_bytes(data)


@pytest.mark.parametrize(
    ("age", "passes"), [(timedelta(minutes=61), True), (timedelta(minutes=15), False)]
)
def test_export_past_max_age_is_refused(age: timedelta, passes: bool, tmp_path: Path) -> None:
    x = export(tmp_path / "x", frames())
    if passes:
        assert check(x, now=NOW, max_age=age).rows["orders"] == 3
        return
    with pytest.raises(
        DispatchError, match="as_of is 60 min old, limit 15 min: extract again"
    ) as refused:
        check(x, now=NOW, max_age=age)
    assert refused.value.exit_code == 75


def test_unknown_revision_exits_76(tmp_path: Path) -> None:
    x = export(tmp_path / "x", frames(), revision="20991231000000")
    with pytest.raises(
        DispatchError, match=r"schema 20991231000000 .* this program reads 20260101000000"
    ) as refused:
        check(x, now=NOW, revisions=frozenset({"20260101000000", "made-up"}))
    assert refused.value.exit_code == 76


def test_unknown_column_warns_or_is_refused_when_strict(tmp_path: Path) -> None:
    x = export(tmp_path / "x", frames())
    rewrite_table(lambda f: f.with_columns(zzz=pl.lit(1)))(x)
    assert check(x, now=NOW).warnings == ["orders.parquet: unknown column zzz"]
    with pytest.raises(DispatchError, match="unknown column zzz") as refused:
        check(x, now=NOW, strict=True)
    assert refused.value.exit_code == 65


def test_columns_are_matched_by_name(tmp_path: Path) -> None:
    x = export(tmp_path / "x", frames())
    rewrite_table(lambda f: f.select(reversed(f.columns)))(x)
    load(x, tmp_path / "x.duckdb", now=NOW)
    with open_marts(tmp_path / "x.duckdb") as marts:
        assert marts.frame("orders").equals(frames()["orders"])


def test_csv_without_rows_is_loaded_if_stated(tmp_path: Path) -> None:
    x = export(tmp_path / "x", {"customers": rows("customers")})
    as_csv(x, "customers", "id,since\n", 0)
    assert check(x, now=NOW).rows["customers"] == 0


T = "2026-03-02T12:00:00Z"
ORDERS = (
    "id,customer_id,merchant_id,zone_id,placed_at,ready_at,promised_at,items,goods_cents,fee_cents"
)
ORDERS += ",dropoff_lat,dropoff_lon,source\n"
GOOD = f"1,1,1,,{T},,,1,100,100,,,x\n"
NO_TIMES = [
    "infinity",
    "294000-01-01T00:00:00Z",
    "0000-00-00T00:00:00Z",
    "2026-03-02T24:00:00Z",
    "2026-03-02",
]
NO_TIMES += ["1999-12-31T23:59:59Z", "epoch", "2026-02-30T12:00:00Z"]
BAD_ROWS: list[tuple[str, str, str]] = [
    *(
        (f"{id},1,1,,{T},,,1,100,100,,,x", "id", "DK-IN-032")
        for id in ("1.5", "0x10", "007", " 7", "9" * 19, "-7", "")
    ),
    *(
        (f"2,1,1,,{T},,,1,{cents},100,,,x", "goods_cents", "DK-IN-033")
        for cents in ("10.5", "1e3", "1_000")
    ),
    (f"2,1,1,,{T},,,1,-1,100,,,x", "goods_cents", "DK-IN-034"),
    *(
        (f"2,1,1,,{T},,,1,1,1,{lat},4,x", "dropoff_lat", "DK-IN-035")
        for lat in ("NaN", "inf", "91", "1e400")
    ),
    (f"2,1,1,,{T},,,1,1,1,4,181,x", "dropoff_lon", "DK-IN-035"),
    ("2,1,1,,2026-03-02T12:00:00,,,1,1,1,,,x", "placed_at", "DK-IN-037"),
    *((f"2,1,1,,{at},,,1,1,1,,,x", "placed_at", "DK-IN-038") for at in NO_TIMES),
    (f"2,9,1,,{T},,,1,1,1,,,x", "customer_id", "DK-IN-041"),
]


@pytest.mark.parametrize(
    ("line", "column", "code"), BAD_ROWS, ids=[f"{b[1]} {b[0][:40]}" for b in BAD_ROWS]
)
def test_bad_row_is_quarantined_alone(line: str, column: str, code: str, tmp_path: Path) -> None:
    x = export(tmp_path / "x", frames(1))
    as_csv(x, "orders", ORDERS + GOOD + line + "\n", 2)
    report = check(x, now=NOW)
    assert report.rows["orders"] == 1
    assert report.quarantine.select("file", "row", "column", "code").rows() == [
        ("orders.csv", 2, column, code)
    ]


def test_quarantine_is_written_beside_database(tmp_path: Path) -> None:
    data = frames(2) | {"orders": rows("orders", order(1), order(2, goods_cents=-1))}
    load(export(tmp_path / "x", data), tmp_path / "x.duckdb", now=NOW)
    written = (tmp_path / "quarantine.csv").read_text().splitlines()
    assert written == [
        "file,row,column,code,reason",
        "deliveries.parquet,2,order_id,DK-IN-041,points to a row of orders that is not there",
        "orders.parquet,2,goods_cents,DK-IN-034,'-1' is negative money",
    ]
    with open_marts(tmp_path / "x.duckdb") as marts:
        assert len(marts.frame("quarantine")) == 2


def test_reason_quotes_ids_but_no_positions(tmp_path: Path) -> None:
    x = export(tmp_path / "x", frames(1))
    as_csv(
        x, "orders", ORDERS + GOOD + f"2,1,1,,{T},,,1,1,1,91.234,4,x\n007,1,1,,{T},,,1,1,1,,,x\n", 3
    )
    reasons = check(x, now=NOW).quarantine.get_column("reason").to_list()
    assert not any("91.234" in reason for reason in reasons) and "'007'" in reasons[1]


def test_states_intervals_and_null_island_are_checked_per_row(tmp_path: Path) -> None:
    data = frames(3) | {
        "deliveries": rows(
            "deliveries", delivery(1), delivery(2, state="PENDNG"), delivery(3, state=" CREATED ")
        ),
        "driver_offers": rows(
            "driver_offers", offer(1, hard_deadline=NOON), offer(2, delivery_id=2)
        ),
        "merchants": rows(
            "merchants",
            {"id": 1, "label": "a", "lat": 1.0},
            {"id": 2, "label": "b", "lat": 0, "lon": 0},
        ),
    }
    result = (
        check(export(tmp_path / "x", data), now=NOW)
        .quarantine.select("file", "row", "column", "code")
        .rows()
    )
    assert result == [
        ("deliveries.parquet", 2, "state", "DK-IN-040"),
        ("deliveries.parquet", 3, "state", "DK-IN-040"),
        ("driver_offers.parquet", 1, "sent_before_expiry", "DK-IN-039"),
        (
            "driver_offers.parquet",
            2,
            "delivery_id",
            "DK-IN-041",
        ),  # its delivery is in quarantine itself
        ("merchants.parquet", 2, "lat", "DK-IN-036"),
    ]


def test_orphans_of_orphans_are_quarantined(tmp_path: Path) -> None:
    tries = rows(
        "deliveries",
        delivery(1, order_id=9),
        delivery(2, replaces=1),
        delivery(3, replaces=2),
        delivery(4),
    )
    data = frames(4) | {"deliveries": tries}
    report = check(export(tmp_path / "x", data), now=NOW)
    assert report.quarantine.select("row", "column").rows() == [
        (1, "order_id"),
        (2, "replaces"),
        (3, "replaces"),
    ]
    assert report.rows["deliveries"] == 1


def test_later_of_overlapping_duties_is_quarantined(tmp_path: Path) -> None:
    hour = timedelta(hours=1)
    data = frames(1) | {
        "driver_availability_history": rows(
            "driver_availability_history",
            duty(1, NOON - 5 * hour, NOON - 3 * hour),
            duty(2, NOON - 4 * hour, NOON - 2 * hour),
            duty(3, NOON - 2 * hour, None),
            duty(4, NOON, None),
        )
    }
    result = check(export(tmp_path / "x", data), now=NOW).quarantine
    assert result.select("row", "code").rows() == [(2, "DK-IN-039"), (4, "DK-IN-039")]


def test_duty_gap_warns_and_quarantines_nothing(
    tmp_path: Path,
) -> None:
    hour = timedelta(hours=1)
    duties = [
        duty(1, NOON - 5 * hour, NOON - 3 * hour),
        duty(2, NOON - 3 * hour, NOON - 2 * hour),
        duty(3, NOON, None),
    ]
    data = frames(1) | {"driver_availability_history": rows("driver_availability_history", *duties)}
    result = check(export(tmp_path / "x", data), now=NOW)
    assert (result.rows["driver_availability_history"], result.quarantine.height) == (3, 0)
    assert result.warnings == [
        "driver_availability_history: 1 gaps, 2.0 h without a duty, of drivers 1"
    ]


def test_two_accepted_offers_refuse_export(tmp_path: Path) -> None:
    accepted = {"state": "ACCEPTED", "responded_at": NOON + timedelta(seconds=9)}
    data = frames(1) | {
        "driver_offers": rows("driver_offers", offer(1, **accepted), offer(2, **accepted))
    }
    with pytest.raises(
        DispatchError, match="delivery 1 episode 1 has two accepted offers"
    ) as refused:
        check(export(tmp_path / "x", data), now=NOW)
    assert (refused.value.exit_code, refused.value.code) == (65, "DK-IN-042")


def test_repeated_row_is_kept_once(tmp_path: Path) -> None:
    data = frames(2) | {"orders": rows("orders", order(1), order(2), order(1))}
    report = check(export(tmp_path / "x", data), now=NOW)
    assert report.rows["orders"] == 2
    assert report.quarantine.select("row", "code").rows() == [(3, "DK-IN-030")]


def test_id_with_two_versions_refuses_export(tmp_path: Path) -> None:
    data = frames(2) | {"orders": rows("orders", order(1), order(2), order(1, items=7))}
    with pytest.raises(DispatchError, match="id 1 has two versions") as refused:
        check(export(tmp_path / "x", data), now=NOW)
    assert (refused.value.exit_code, refused.value.code) == (65, "DK-IN-031")


@pytest.mark.parametrize(("bad", "passes"), [(10, True), (11, False)])
def test_more_than_ten_bad_rows_refuse_file(bad: int, passes: bool, tmp_path: Path) -> None:
    many = [order(i, customer_id=1 if i > bad else 9) for i in range(1, 101)]
    x = export(tmp_path / "x", frames(0) | {"orders": rows("orders", *many)})
    if passes:
        assert len(check(x, now=NOW).quarantine) == 10
        return
    with pytest.raises(DispatchError, match="11 of 100 rows bad, limit 10") as refused:
        check(x, now=NOW)
    assert refused.value.exit_code == 65


def test_quarantine_csv_disarms_formulas() -> None:
    lines = pl.DataFrame([("=cmd()", 1, "a", "b", "+c")], schema=QUARANTINE, orient="row")
    assert quarantine_csv(lines).splitlines()[1] == b"'=cmd(),1,a,b,'+c"

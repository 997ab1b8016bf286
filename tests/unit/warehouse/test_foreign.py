"""Foreign files through mappings: rows folded, dropped, implied and quarantined add up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.errors import BadConfig, BadData, DispatchError, Usage
from dispatchkit.kernel.stable_random import stable_id
from dispatchkit.warehouse.foreign.mapping import mapping_of, read_mapping
from dispatchkit.warehouse.foreign.read import read_foreign
from dispatchkit.warehouse.imports import ImportBatch, require_checksum

IMPORTS = Path(__file__).parents[3] / "configs" / "imports"
SIMPLE: dict[str, Any] = {
    "source": "shop",
    "time_zone": "Europe/Berlin",
    "columns": ["no", "placed", "left", "done", "cents", "pieces"],
    "tables": {
        "merchants": {"id": {"key": []}, "label": {"constant": "the shop"}},
        "customers": {"id": {"key": []}},
        "orders": {
            "id": {"key": ["no"]},
            "customer_id": {"key": []},
            "merchant_id": {"key": []},
            "placed_at": "placed",
            "items": "pieces",
            "goods_cents": "cents",
            "fee_cents": {"constant": 0},
            "source": {"constant": "shop"},
        },
        "deliveries": {
            "id": {"key": ["no"]},
            "order_id": {"key": ["no"]},
            "state": {"constant": "DELIVERED"},
            "driver_unknown": {"constant": True},
            "created_at": "placed",
            "dispatch_at": "placed",
            "picked_up_at": "left",
            "ended_at": "done",
        },
    },
}
HEAD = "no,placed,left,done,cents,pieces\n"
GOOD = "1,2026-03-02 12:00:00,2026-03-02 12:10:00,2026-03-02 12:30:00,1200,2\n"


def import_csv(
    tmp_path: Path, text: str | bytes, mapping: dict[str, Any] | None = None, **options: Any
) -> ImportBatch:
    path = tmp_path / "shop.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_foreign([path], mapping_of(mapping or SIMPLE, "shop.toml"), **options)


def check_counts(batch: ImportBatch) -> None:
    c = batch.counts
    assert (
        c["lines"]
        == c["duplicate_lines"] + c["folded_lines"] + c["quarantined_lines"] + c["records"]
    )
    assert c["records"] == len(batch.frames["orders"]) == len(batch.frames["deliveries"])
    for table, frame in batch.frames.items():
        TABLES[table].validate(frame)
        assert frame.get_column("id").is_sorted()


def test_good_line_becomes_order_and_delivery(tmp_path: Path) -> None:
    batch = import_csv(tmp_path, HEAD + GOOD)
    check_counts(batch)
    order, delivery = (
        batch.frames["orders"].row(0, named=True),
        batch.frames["deliveries"].row(0, named=True),
    )
    assert order["id"] == stable_id("shop", "orders", "1") == delivery["order_id"]
    assert (
        order["placed_at"] == datetime(2026, 3, 2, 11, tzinfo=UTC) and order["goods_cents"] == 1200
    )
    assert (delivery["state"], delivery["version"], delivery["driver_id"]) == ("DELIVERED", 1, None)
    assert delivery["picked_up_at"] - delivery["created_at"] == timedelta(minutes=10)
    assert delivery["arrived_pickup_at"] is None


ROW = "2,2026-03-02 12:00:00,,{done},{cents},{pieces}\n"
DONE = "2026-03-02 12:30:00"
BAD: list[tuple[str, str, str, str]] = [
    (
        ROW.format(done=DONE, cents="10.5", pieces=1),
        "cents",
        "DK-IN-033",
        "'10.5' is not a whole number of cents",
    ),
    (
        ROW.format(done=DONE, cents="1e3", pieces=1),
        "cents",
        "DK-IN-033",
        "'1e3' is not a whole number of cents",
    ),
    (ROW.format(done=DONE, cents="-1", pieces=1), "goods_cents", "DK-IN-034", "negative money"),
    (ROW.format(done=DONE, cents="", pieces=1), "goods_cents", "DK-IN-034", "is required"),
    (ROW.format(done="noon", cents=1, pieces=1), "done", "DK-IN-038", "'noon' is not a timestamp"),
    (
        ROW.format(done="", cents=1, pieces=1),
        "deliveries.ended_at",
        "DK-IN-038",
        "is required: the delivery is over",
    ),
    (
        ROW.format(done="2026-03-02 11:59:59", cents=1, pieces=1),
        "deliveries.ended_at",
        "DK-IN-039",
        "before it began",
    ),
    (
        ROW.format(done="2026-03-09 11:00:00", cents=1, pieces=1),
        "deliveries.ended_at",
        "DK-IN-038",
        "lasted 167 h",
    ),
    (
        f"2,2026-03-29 02:30:00,,{DONE},1,1\n",
        "placed",
        "DK-IN-037",
        "the hour that the clock change skips",
    ),
    (
        "2,1999-03-02 12:00:00,,1999-03-02 12:30:00,1,1\n",
        "placed_at",
        "DK-IN-038",
        "outside the years 2000 to 2100",
    ),
]


@pytest.mark.parametrize(
    ("line", "column", "code", "reason"), BAD, ids=[b[3] + " " + b[0][22:50] for b in BAD]
)
def test_bad_record_is_quarantined_whole(
    line: str, column: str, code: str, reason: str, tmp_path: Path
) -> None:
    batch = import_csv(tmp_path, HEAD + GOOD + line)
    check_counts(batch)
    assert (batch.counts["quarantined_lines"], batch.counts["records"]) == (1, 1)
    line_in_quarantine = batch.quarantine.row(0, named=True)
    assert (line_in_quarantine["file"], line_in_quarantine["row"], line_in_quarantine["code"]) == (
        "shop.csv",
        2,
        code,
    )
    assert line_in_quarantine["column"].endswith(column) and reason in line_in_quarantine["reason"]


def test_repeated_hour_means_first_without_offset(
    tmp_path: Path,
) -> None:
    text = (
        "1,2026-10-25 02:30:00,,2026-10-25 "
        "03:30:00,1,1\n2,2026-10-25T02:30:00+01:00,,2026-10-25T03:30:00Z,1,1\n"
    )
    placed = (
        import_csv(tmp_path, HEAD + text).frames["orders"].get_column("placed_at").sort().to_list()
    )
    assert placed == [
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    ]


def test_time_without_zone_is_quarantined(tmp_path: Path) -> None:
    zoneless = {name: value for name, value in SIMPLE.items() if name != "time_zone"}
    line_in_quarantine = import_csv(tmp_path, HEAD + GOOD, zoneless).quarantine.row(0, named=True)
    assert (line_in_quarantine["code"], line_in_quarantine["reason"]) == (
        "DK-IN-037",
        "'2026-03-02 12:00:00' has no time zone",
    )


def test_impossible_time_is_dropped_and_counted(tmp_path: Path) -> None:
    lines = [
        "1,2026-03-02 12:00:00,2026-03-02 11:59:00,2026-03-02 12:30:00,1,1",  # before the start
        "2,2026-03-02 12:00:00,2026-03-02 12:31:00,2026-03-02 12:30:00,1,1",  # after the end
        "3,2026-03-02 12:00:00,,2026-03-02 12:30:00,1,1",  # not there
        # at once, which may be
        "4,2026-03-02 12:00:00,2026-03-02 12:00:00,2026-03-02 12:30:00,1,1",
    ]
    batch = import_csv(tmp_path, HEAD + "\n".join(lines))
    check_counts(batch)
    assert (
        batch.counts["impossible picked_up_at"] == 2 and batch.counts["missing picked_up_at"] == 1
    )
    assert batch.frames["deliveries"].get_column("picked_up_at").null_count() == 3


def test_lines_are_folded_and_duplicates_dropped(tmp_path: Path) -> None:
    mapping = SIMPLE | {"group": ["no"]}
    mapping["tables"] = SIMPLE["tables"] | {
        "orders": SIMPLE["tables"]["orders"] | {"items": {"sum": "pieces"}}
    }
    line = "1,2026-03-02 12:00:00,,2026-03-02 12:30:00,700,{}\n"
    other = "2,2026-03-02 12:00:00,,2026-03-02 12:30:00,{},1\n"
    text = (
        line.format(2)
        + line.format(3)
        + line.format(2)
        + line.format("")
        + other.format(5)
        + other.format(6)
    )
    batch = import_csv(tmp_path, HEAD + text, mapping)
    check_counts(batch)
    assert batch.counts | {"missing picked_up_at": 1} == {
        "lines": 6,
        "duplicate_lines": 1,
        "folded_lines": 2,
        "quarantined_lines": 2,
        "records": 1,
        "missing picked_up_at": 1,
    }
    assert batch.frames["orders"].get_column("items").to_list() == [5]
    assert batch.quarantine.rows() == [
        ("shop.csv", 5, "cents", "DK-IN-033", "lines of one record differ")
    ]


def test_line_in_two_files_counts_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEAD + GOOD)
    (tmp_path / "b.csv").write_text(HEAD + GOOD + GOOD.replace("1,", "2,", 1))
    batch = read_foreign([tmp_path / "a.csv", tmp_path / "b.csv"], mapping_of(SIMPLE, "m"))
    check_counts(batch)
    assert (batch.counts["lines"], batch.counts["duplicate_lines"], batch.counts["records"]) == (
        3,
        1,
        2,
    )


def test_differing_records_of_one_id_refuse_file(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="its key needs more columns") as refused:
        import_csv(tmp_path, HEAD + GOOD + GOOD.replace("1200", "1300"))
    assert refused.value.code == "DK-IN-031"


def test_too_many_bad_records_refuse_file(tmp_path: Path) -> None:
    bad = "".join(f"{i},2026-03-02 12:00:00,,noon,1,1\n" for i in range(2, 14))
    with pytest.raises(BadData, match=r"shop.csv: 12 of 13 rows bad, limit 10"):
        import_csv(tmp_path, HEAD + GOOD + bad)


REFUSED: list[tuple[str, str | bytes, str, str]] = [
    ("empty", "", "DK-IN-004", "empty file"),
    (
        "missing column",
        HEAD.replace(",pieces", "") + "1,2,3,4,5\n",
        "DK-IN-026",
        "missing column pieces",
    ),
    ("another delimiter", (HEAD + GOOD).replace(",", ";"), "DK-IN-025", "unexpected header"),
    ("a column twice", HEAD.replace("cents", "no") + GOOD, "DK-IN-028", "column no is there twice"),
    ("cut inside a line", HEAD + GOOD[:30], "DK-IN-021", "line 2: 3 of 6 fields"),
    ("open quote", HEAD + '1,"' + GOOD, "DK-IN-022", "unterminated quote"),
    ("Latin-1", HEAD + "é", "DK-IN-023", "not UTF-8 at byte 33"),
    ("NUL", HEAD + "\0", "DK-IN-024", "control character at byte 33"),
    ("gzip", b"\x1f\x8b\x08", "DK-IN-044", "compressed"),
]


@pytest.mark.parametrize(
    ("text", "code", "gist"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_bad_file_is_refused(text: str | bytes, code: str, gist: str, tmp_path: Path) -> None:
    data = text.encode("latin-1") if isinstance(text, str) else text
    with pytest.raises(DispatchError, match=gist) as refused:
        import_csv(tmp_path, data)
    assert (refused.value.exit_code, refused.value.code) == (65, code)


def test_column_order_and_unknown_columns_change_nothing(tmp_path: Path) -> None:
    swapped = (
        "zzz,pieces,cents,done,left,placed,no\n-,2,1200,2026-03-02 12:30:00,2026-03-02 12:10:00,"
    )
    swapped += "2026-03-02 12:00:00,1\n"
    batch, other = import_csv(tmp_path, HEAD + GOOD), import_csv(tmp_path, swapped)
    assert all(batch.frames[table].equals(other.frames[table]) for table in batch.frames)
    assert other.warnings == ["shop.csv: unknown column zzz"]
    with pytest.raises(BadData, match="unknown column zzz"):
        import_csv(tmp_path, swapped, strict=True)


def test_mapping_names_encoding_delimiter_and_missing_words(tmp_path: Path) -> None:
    mapping = SIMPLE | {"delimiter": ";", "encoding": "latin-1", "missing": ["n/a"]}
    mapping["tables"] = SIMPLE["tables"] | {
        "merchants": {"id": {"key": []}, "label": {"text": "café {no}"}}
    }
    text = (HEAD + GOOD.replace("2026-03-02 12:10:00", "n/a")).replace(",", ";")
    batch = import_csv(tmp_path, text.encode("latin-1"), mapping)
    assert batch.frames["merchants"].get_column("label").to_list() == ["café 1"]
    assert batch.counts["missing picked_up_at"] == 1


def mapping_with(**words: Any) -> dict[str, Any]:
    return SIMPLE | words


def mapping_with_table(table: str, **words: Any) -> dict[str, Any]:
    return SIMPLE | {"tables": SIMPLE["tables"] | {table: SIMPLE["tables"][table] | words}}


UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({name: value for name, value in SIMPLE.items() if name != "source"}, "`source` is missing"),
    (mapping_with(sauce="x"), "unknown key `sauce`"),
    (mapping_with(time_zone="Berlin"), "not a time zone"),
    (mapping_with(encoding="klingon"), "encoding one of"),
    (mapping_with(delimiter="||"), "one character"),
    (mapping_with(group=["number"]), "not among `columns`"),
    (mapping_with(columns="no"), "`columns`: expected a list"),
    (mapping_with(tables=SIMPLE["tables"] | {"secrets": {}}), "not one of our tables"),
    (mapping_with_table("orders", colour="no"), "not a column of ours"),
    (mapping_with_table("orders", items="piece"), "'piece' is not among"),
    (mapping_with_table("orders", items={"sum": "piece"}), "'piece' is not among"),
    (
        mapping_with_table("orders", items={"median": "pieces"}),
        "expected a column name or a table with one of",
    ),
    (
        mapping_with_table("orders", items={"column": "pieces", "plus_hours": "no"}),
        "unknown key `plus_hours`",
    ),
    (mapping_with_table("orders", id={"key": "no"}), "tables.orders.id: expected a list"),
    (mapping_with_table("orders", items=7), "expected a column name"),
    (mapping_with(tables={"customers": {}}), "column `id` is required"),
]


@pytest.mark.parametrize(("document", "gist"), UNUSABLE, ids=[u[1] for u in UNUSABLE])
def test_bad_mapping_names_key(document: dict[str, Any], gist: str) -> None:
    with pytest.raises(BadConfig, match=gist) as refused:
        mapping_of(document, "shop.toml")
    assert refused.value.exit_code == 78


def test_mapping_file_must_be_toml(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(BadConfig, match="not TOML"):
        read_mapping(tmp_path / "m.toml")


def test_file_must_have_its_senders_checksum(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_bytes(b"abc")
    require_checksum(
        tmp_path / "f.csv", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    with pytest.raises(BadData, match="checksum mismatch"):
        require_checksum(tmp_path / "f.csv", "0" * 64)
    with pytest.raises(Usage, match="64 hexadecimal digits"):
        require_checksum(tmp_path / "f.csv", "abc")


MINIATURES: list[tuple[str, list[dict[str, str]], dict[str, int]]] = [
    (
        "postmates",
        [
            {"delivery_id": "7", "item_quantity": "2", "pickup_lat": "40.5", "item_name": "soup"},
            {"delivery_id": "7", "item_quantity": "1", "pickup_lat": "40.5", "item_name": "bread"},
            {"delivery_id": "7", "item_quantity": "1", "pickup_lat": "40.5", "item_name": "bread"},
            {
                "delivery_id": "8",
                "vehicle_type": "truck",
                "when_the_Jumpman_left_pickup": "2014-10-15 19:00:00.5",
            },
        ],
        {
            "lines": 4,
            "duplicate_lines": 1,
            "folded_lines": 1,
            "records": 2,
            "impossible picked_up_at": 1,
        },
    ),
    (
        "wolt",
        [{"ITEM_COUNT": "1"}, {"ITEM_COUNT": "2"}, {"ITEM_COUNT": "1"}],
        {"lines": 3, "duplicate_lines": 1, "records": 2},
    ),
    (
        "doordash",
        [
            {"store_id": "5"},
            {"actual_delivery_time": "NA"},
            {"created_at": "2014-10-19 05:00:00"},
            {"subtotal": "-1"},
        ],
        {"lines": 4, "quarantined_lines": 3, "records": 1},
    ),
]
USUAL = {
    **dict.fromkeys(
        ["delivery_id", "customer_id", "jumpman_id", "store_id", "total_items", "ITEM_COUNT"], "3"
    ),
    **dict.fromkeys(["pickup_lat", "pickup_lon", "dropoff_lat", "dropoff_lon"], "40.25"),
    **dict.fromkeys(["USER_LAT", "USER_LONG", "VENUE_LAT", "VENUE_LONG"], "24.5"),
    "pickup_place": "Corner",
    "vehicle_type": "bicycle",
    "when_the_delivery_started": "2014-10-15 20:00:00.25",
    "when_the_Jumpman_arrived_at_dropoff": "2014-10-15 20:40:00",
    "TIMESTAMP": "2020-08-01 06:00:00.000",
    "ESTIMATED_DELIVERY_MINUTES": "25",
    "ACTUAL_DELIVERY_MINUTES": "31",
    "created_at": "2015-02-01 19:00:00",
    "actual_delivery_time": "2015-02-01 19:45:00",
    "subtotal": "1250",
}


@pytest.mark.parametrize(("name", "lines", "expected"), MINIATURES, ids=[m[0] for m in MINIATURES])
def test_shipped_mappings_read_their_files(
    name: str, lines: list[dict[str, str]], expected: dict[str, int], tmp_path: Path
) -> None:
    mapping = read_mapping(IMPORTS / f"{name}.toml")
    text = ",".join(mapping.columns) + "\n"
    text += "".join(
        ",".join((USUAL | line).get(column, "") for column in mapping.columns) + "\n"
        for line in lines
    )
    (tmp_path / "f.csv").write_text(text)
    batch = read_foreign([tmp_path / "f.csv"], mapping)
    check_counts(batch)
    assert {count: batch.counts[count] for count in expected} == expected
    if name == "postmates":
        first = batch.frames["orders"].filter(
            batch.frames["orders"]["id"] == stable_id("postmates", "orders", "7")
        )
        assert first.row(0, named=True)["items"] == 3
        assert first.row(0, named=True)["placed_at"] == datetime(
            2014, 10, 16, 0, 0, 0, 250_000, tzinfo=UTC
        )
    if name == "wolt":
        quote = batch.frames["eta_quotes"].row(0, named=True)
        assert quote["eta_at"] - quote["quoted_at"] == timedelta(minutes=25)
        delivery = batch.frames["deliveries"].row(0, named=True)
        assert delivery["ended_at"] - delivery["created_at"] == timedelta(minutes=31)


def test_foreign_zone_needs_ring(tmp_path: Path) -> None:
    zone = {
        "id": {"key": ["no"]},
        "name": {"constant": "west"},
        "ring": {"constant": "[[13,52],[14,52],[14,53]]"},
    }
    with pytest.raises(
        BadData, match=r"delivery_zones: zone [0-9]+: fewer than three corners"
    ) as refused:
        import_csv(
            tmp_path, HEAD + GOOD, SIMPLE | {"tables": SIMPLE["tables"] | {"delivery_zones": zone}}
        )
    assert refused.value.code == "DK-IN-062"

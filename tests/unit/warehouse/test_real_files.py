"""The three published histories, counted a second time with nothing but the csv module. Skipped
where they are absent.

Set DISPATCHKIT_REAL_DATA to the folder that holds `deliveries/`; beside a checkout `../shared/data`
is found by itself.
"""

from __future__ import annotations

import csv
import os
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from dispatchkit.domain.tables import TABLES
from dispatchkit.kernel.clock import service_day
from dispatchkit.kernel.stable_random import stable_id
from dispatchkit.warehouse.foreign.mapping import read_mapping
from dispatchkit.warehouse.foreign.read import read_foreign
from dispatchkit.warehouse.imports import ImportBatch

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("DISPATCHKIT_REAL_DATA", ROOT.parent / "shared" / "data")) / "deliveries"
FILES = {
    "postmates": "postmates_nyc_2014-10-01_to_21.csv",
    "wolt": "wolt_helsinki_2020-08-01_to_09-07.csv",
    "doordash": "doordash_2015-01-21_to_02-09.csv",
}
NEW_YORK = ZoneInfo("America/New_York")
STARTED, ARRIVED = "when_the_delivery_started", "when_the_Jumpman_arrived_at_pickup"
LEFT, DOOR = "when_the_Jumpman_left_pickup", "when_the_Jumpman_arrived_at_dropoff"


@cache
def csv_lines(name: str) -> list[dict[str, str]]:
    path = DATA / FILES[name]
    if not path.is_file():
        pytest.skip(
            f"{path.name} is not here; set DISPATCHKIT_REAL_DATA to the folder that holds "
            "deliveries/"
        )
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def imported(name: str) -> ImportBatch:
    csv_lines(name)
    return read_foreign(
        [DATA / FILES[name]], read_mapping(ROOT / "configs" / "imports" / f"{name}.toml")
    )


@pytest.mark.parametrize("name", FILES)
def test_line_counts_add_up_and_frames_are_valid(name: str) -> None:
    lines, intake = csv_lines(name), imported(name)
    c = intake.counts
    assert c["lines"] == len(lines)
    assert c["duplicate_lines"] == len(lines) - len({tuple(line.values()) for line in lines})
    assert (
        c["lines"]
        == c["duplicate_lines"] + c["folded_lines"] + c["quarantined_lines"] + c["records"]
    )
    for table, frame in intake.frames.items():
        TABLES[table].validate(frame)


def instant(text: str) -> datetime:
    whole, _, part = text.partition(".")
    naive = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - local, made aware below
    return naive.replace(microsecond=int(part.ljust(6, "0") or 0), tzinfo=NEW_YORK).astimezone(UTC)


def test_postmates_counts_agree_with_csv() -> None:
    one = {line["delivery_id"]: line for line in csv_lines("postmates")}.values()
    intake = imported("postmates")
    assert intake.counts["records"] == len(one) and intake.quarantine.is_empty()
    for column, table in (("customer_id", "customers"), ("jumpman_id", "drivers")):
        assert len(intake.frames[table]) == len({line[column] for line in one})
    started = {line["delivery_id"]: instant(line[STARTED]) for line in one}
    for theirs, ours in ((ARRIVED, "arrived_pickup_at"), (LEFT, "picked_up_at")):
        assert intake.counts[f"missing {ours}"] == sum(not line[theirs] for line in one)
        early = sum(
            bool(line[theirs]) and instant(line[theirs]) < started[line["delivery_id"]]
            for line in one
        )
        assert intake.counts[f"impossible {ours}"] == early
    items: dict[str, int] = {}
    for line in {tuple(line.items()) for line in csv_lines("postmates")}:
        words = dict(line)
        items[words["delivery_id"]] = items.get(words["delivery_id"], 0) + int(
            words["item_quantity"] or 0
        )
    found = dict(intake.frames["orders"].select("id", "items").iter_rows())
    assert found == {
        stable_id("postmates", "orders", number): count for number, count in items.items()
    }


def test_postmates_service_day_agrees_with_csv() -> None:
    day = service_day(datetime(2014, 10, 15).date(), "America/New_York")  # noqa: DTZ001 - a calendar day
    one = {line["delivery_id"]: line for line in csv_lines("postmates")}.values()
    that_day = [line for line in one if day.since <= instant(line[STARTED]) < day.until]
    total = sum(((instant(line[DOOR]) - instant(line[STARTED])) for line in that_day), timedelta())
    frames = imported("postmates").frames
    ours = frames["deliveries"].filter(
        (pl.col("created_at") >= day.since) & (pl.col("created_at") < day.until)
    )
    assert len(ours) == len(that_day) > 0
    assert ours.select((pl.col("ended_at") - pl.col("created_at")).sum()).item() == total
    by_driver: dict[int, int] = {}
    for line in that_day:
        driver = stable_id("postmates", "drivers", line["jumpman_id"])
        by_driver[driver] = by_driver.get(driver, 0) + 1
    assert dict(ours.group_by("driver_id").len().iter_rows()) == by_driver
    waits = [
        instant(line[LEFT]) - instant(line[ARRIVED])
        for line in that_day
        if line[ARRIVED] and line[LEFT] and instant(line[STARTED]) <= instant(line[ARRIVED])
    ]
    waited = ours.select(
        (pl.col("picked_up_at") - pl.col("arrived_pickup_at")).drop_nulls()
    ).to_series()
    assert sorted(waited) == sorted(waits)


def test_wolt_lateness_agrees_with_csv() -> None:
    late = [
        int(line["ACTUAL_DELIVERY_MINUTES - ESTIMATED_DELIVERY_MINUTES"])
        for line in csv_lines("wolt")
    ]
    frames = imported("wolt").frames
    joined = frames["deliveries"].join(frames["eta_quotes"], left_on="id", right_on="delivery_id")
    minutes = joined.select((pl.col("ended_at") - pl.col("eta_at")).dt.total_minutes()).to_series()
    assert sorted(minutes) == sorted(late)


def test_doordash_quarantines_endless_and_99_day_orders() -> None:
    reasons = imported("doordash").quarantine.get_column("reason").to_list()
    assert reasons == ["lasted 2365 h, limit 24 h", "is required: the delivery is over"]
    kept = [
        line
        for line in csv_lines("doordash")
        if line["actual_delivery_time"] != "NA" and line["created_at"] > "2015"
    ]
    frames = imported("doordash").frames
    assert frames["orders"].get_column("goods_cents").sum() == sum(
        int(line["subtotal"]) for line in kept
    )
    assert len(frames["merchants"]) == len({line["store_id"] for line in kept})

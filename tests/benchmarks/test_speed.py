"""Speeds, each beside the raw tool on the same data in the same run; they print and never fail."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import polars as pl
import pytest
from sqlalchemy import Engine

from dispatchkit.domain.changes import Change
from dispatchkit.domain.tables import ENTITIES, TABLES
from dispatchkit.flows.data import data_io as upkeep
from dispatchkit.flows.data.sample import write_sample
from dispatchkit.simulation import Scenario, days, world
from dispatchkit.store import intake
from dispatchkit.store.contract import RunRequest
from dispatchkit.store.postgres import PostgresStore
from tests import databases

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]
ORDERS = int(os.environ.get("DISPATCHKIT_BENCH_ORDERS", "20000"))
ROUNDS = 5


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _beside(
    ours: Callable[[], object], rival: Callable[[], object], rounds: int = ROUNDS
) -> tuple[float, float, float]:
    """Return (our median, the rival's, the median of rival / ours pair by pair; above 1 we are
    faster).
    """
    pairs = [(_seconds(ours), _seconds(rival)) for _ in range(rounds)]
    ratio = statistics.median(theirs / mine for mine, theirs in pairs)
    return statistics.median(m for m, _ in pairs), statistics.median(t for _, t in pairs), ratio


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)


@pytest.fixture(scope="module")
def plan() -> Scenario:
    return Scenario(orders=ORDERS, days=4, seed=7)


@pytest.fixture(scope="module")
def filled(plan: Scenario) -> Iterator[Engine]:
    parts: dict[str, list[pl.DataFrame]] = {name: [frame] for name, frame in world(plan).items()}
    for day in days(plan):
        for name, frame in day.items():
            parts.setdefault(name, []).append(frame)
    frames = {name: pl.concat(found) for name, found in parts.items()}
    with databases.fresh("empty", sound=False) as engine:  # one benchmark turns the audit trail off
        took = _seconds(lambda: intake.insert(engine, frames))
        rows = sum(frame.height for frame in frames.values())
        _say(f"import, audited: {rows:,} rows in {took:.1f} s, {rows / took:,.0f} rows/s")
        yield engine


def test_extract_beside_raw_read(filled: Engine, tmp_path: Path) -> None:
    url = databases.url(filled)
    count = 0

    def raw() -> None:
        nonlocal count
        with adbc.connect(url, autocommit=True) as found, found.cursor() as cursor:
            count = 0
            for table, schema in TABLES.items():
                cursor.execute(f"SELECT {', '.join(schema.column_names())} FROM dk.{table}")
                count += cursor.fetch_arrow_table().num_rows

    def ours() -> None:
        upkeep.extract(url, tmp_path, tmp_path / "extract", force=True)

    raw()
    mine, theirs, ratio = _beside(ours, raw)
    _say(
        f"extract: {count / mine:,.0f} rows/s to Parquet with manifest; raw ADBC read of the same "
        "tables "
        f"{count / theirs:,.0f} rows/s; {ratio:.2f}x of it ({count:,} rows, median of {ROUNDS})"
    )


def test_load_beside_read_parquet(plan: Scenario, tmp_path: Path) -> None:
    export = tmp_path / "export"
    manifest = write_sample(plan, export)
    rows = sum(fact.rows for fact in manifest.files)

    def ours() -> None:
        upkeep.load_export(export, tmp_path / "w.duckdb", now=plan.as_of)

    def raw() -> None:
        (tmp_path / "raw.duckdb").unlink(missing_ok=True)
        with duckdb.connect(str(tmp_path / "raw.duckdb")) as found:
            found.execute("SET threads = 2")
            for fact in manifest.files:
                found.execute(
                    f"CREATE TABLE t_{fact.name.split('.')[0]} AS SELECT * "
                    f"FROM read_parquet('{export / fact.name}')"
                )

    mine, theirs, ratio = _beside(ours, raw, 3)
    _say(
        f"load: {rows / mine:,.0f} rows/s, checked, with marts; raw read_parquet of the same files "
        f"{rows / theirs:,.0f} rows/s; {ratio:.2f}x of it ({rows:,} rows, median of 3)"
    )


def test_audited_write_beside_unaudited(filled: Engine) -> None:
    """The writer in batches of 500, with decisions, events and counters; the trail on and off."""
    store = PostgresStore(filled)
    rates: dict[bool, list[float]] = {True: [], False: []}
    for round_ in range(ROUNDS):
        for audited in (True, False):
            changes = _touches(store, audited, round_)
            with filled.begin() as connection:
                for table in ENTITIES.values():
                    for kind in "iud":
                        word = "ENABLE ALWAYS" if audited else "DISABLE"
                        connection.exec_driver_sql(
                            f"ALTER TABLE dk.{table} {word} TRIGGER z_audit_{kind}"
                        )
            with store.sweeping(RunRequest(sweep="bench")) as run:
                assert run is not None
                begin = time.perf_counter()
                run.apply(changes, inputs_sha256="")
                took = time.perf_counter() - begin
            rates[audited].append(len(changes) / took)
    ratio = statistics.median(a / b for a, b in zip(rates[True], rates[False], strict=True))
    _say(
        f"write: {statistics.median(rates[True]):,.0f} rows/s audited, "
        f"{statistics.median(rates[False]):,.0f} without "
        f"the trail; {ratio:.2f}x ({len(changes):,} rows a round, {ROUNDS} pairs)"
    )


def _touches(store: PostgresStore, audited: bool, round_: int) -> list[Change]:
    """Return one change of each finished offer: each is its own group, as in an expiry sweep."""
    found = store.read(
        {"o": "SELECT id, delivery_id, version FROM driver_offers ORDER BY delivery_id, id"}, {}
    )["o"]
    now = store.clock()
    return [
        Change(
            entity="offer",
            id=row["id"],
            version=row["version"],
            event="offer_viewed",
            after={"viewed_at": now},
            reason=f"BENCH_{round_}_{audited}",
            at=now,
            root=("delivery", row["delivery_id"]),
        )
        for row in found.iter_rows(named=True)
    ]


def test_help_time() -> None:
    def run(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *words], capture_output=True, check=True)

    ours, bare, _ = _beside(run("-m", "dispatchkit", "--help"), run("-c", "pass"), 9)
    _say(
        f"--help: {ours * 1000:.0f} ms as a whole process; a bare interpreter takes "
        f"{bare * 1000:.0f} ms (median of 9)"
    )

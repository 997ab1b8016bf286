"""The main job on a made-up city: migrate, fill, sweep, extract, load, report; each step tells what it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dispatchkit.config import Settings
from dispatchkit.flows.data import data_io as upkeep
from dispatchkit.flows.data import database, report
from dispatchkit.flows.data.sample import write_sample
from dispatchkit.flows.explain import listings as shows
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import CannotCreate
from dispatchkit.simulation import Scenario
from dispatchkit.store import connect, migrate
from dispatchkit.warehouse import WAREHOUSE_FILE

Say = Callable[[str], None]
EVENTS = "events.jsonl"  # where the demo's events leave to, in place of phones and desks


@dataclass(frozen=True)
class Shown:
    """Where a demo left its things, the instant its evening stands at, and a delivery that still seeks a driver."""

    report: Path
    day: str
    evening: str
    seeking: int | None
    steps: tuple[str, ...]


def demo(to: Path, settings: Settings, say: Say, *, plan: Scenario | None = None) -> Shown:
    """Make a city under `to`, run a night on it and return where the report is; an earlier demo there is replaced."""
    plan = plan or Scenario()
    steps: list[str] = []

    def told(text: str) -> None:
        steps.append(text)
        say(text)

    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise CannotCreate(f"{to}: {fault.strerror}") from None
    manifest = write_sample(plan, to / "city", force=True)
    rows = sum(fact.rows for fact in manifest.files)
    told(
        f"made a city: {plan.orders:,} orders in {plan.days} days, {rows:,} rows, seed {plan.seed}"
    )

    connect.forget(to)
    status = migrate.up(connect.engine(connect.resolve("embedded", to)))
    told(f"started a Postgres under {to / 'postgres'} and migrated it to {status.revision}")

    came = upkeep.read_files([to / "city"], None, now=plan.as_of)
    imported = upkeep.import_files("embedded", to, came)
    told(
        f"imported {sum(counts.inserted for counts in imported.tables.values()):,} rows, nothing quarantined"
    )

    live = Settings(
        {**settings.tables, "senders": {"record": {"kind": "file", "path": str(to / EVENTS)}}}
    )
    store = database.store("embedded", to, live, now=plan.as_of)
    for name in catalog.SWEEPS:
        done = sweep(store, live, name, Options())
        what = (
            ", ".join(f"{word} {count}" for word, count in done.done.items())
            or f"{done.outcome.applied} changes"
        )
        told(f"sweep {name} at {rfc3339(plan.as_of)}: {what}")
    open_ = shows.listing(store, live, "unassigned", limit=1)
    checked = database.check_database("embedded", to, plan.as_of)
    broken = sum(row["offenders"] for row in checked["checks"])
    told(
        f"checked {len(checked['checks'])} invariants over rows, audit chains, decisions and events: {broken} offenders"
    )

    extracted = upkeep.extract("embedded", to, to / "extract", force=True)
    loaded = upkeep.load_export(to / "extract", to / WAREHOUSE_FILE, now=extracted.as_of)
    told(
        f"extracted in one snapshot and loaded {sum(loaded.rows.values()):,} rows into {to / WAREHOUSE_FILE}"
    )

    found = report.report("nightly", plan.start, to / WAREHOUSE_FILE, settings)
    page = report.write(found, to)[0]
    told(f"reported on {plan.start}: {page}")
    seeking = int(open_["id"][0]) if open_.height else None
    return Shown(page, str(plan.start), rfc3339(plan.as_of), seeking, tuple(steps))

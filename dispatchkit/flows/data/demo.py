"""Demo: migrate, fill, sweep, extract, load and report on a made-up city."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dispatchkit.config import Settings
from dispatchkit.flows.data import data_io, database, report
from dispatchkit.flows.data.sample import write_sample
from dispatchkit.flows.explain import listings
from dispatchkit.flows.live import catalog
from dispatchkit.flows.live.sweep import Options, sweep
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import CannotCreate
from dispatchkit.simulation import Scenario
from dispatchkit.store import connect, migrate
from dispatchkit.warehouse import WAREHOUSE_FILE

EVENTS = "events.jsonl"  # the demo's events go to this file instead of phones and chat


@dataclass(frozen=True)
class DemoResult:
    """Where the demo left its report, and what to look at next."""

    report: Path
    day: str  # the reported day, YYYY-MM-DD
    as_of: str  # the live instant, RFC 3339
    unassigned_delivery: int | None  # one that still seeks a driver
    steps: tuple[str, ...]  # what each step did


def demo(to: Path, settings: Settings, show_step: Callable[[str], None]) -> DemoResult:
    """Make a city under `to`, run all sweeps on it, and report on its first day.

    An earlier demo there is replaced. `show_step` gets a line after each step. Raises
    CannotCreate if the folder cannot be made, and what the steps raise.
    """
    scenario = Scenario()
    steps: list[str] = []

    def done(text: str) -> None:
        steps.append(text)
        show_step(text)

    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreate(f"{to}: {error.strerror}") from None
    manifest = write_sample(scenario, to / "city", force=True)
    rows = sum(file.rows for file in manifest.files)
    done(
        f"made a city: {scenario.orders:,} orders in {scenario.days} days, {rows:,} rows, "
        f"seed {scenario.seed}"
    )

    connect.forget(to)
    status = migrate.up(connect.open_database("embedded", to))
    done(f"started a Postgres under {to / 'postgres'} and migrated it to {status.revision}")

    files = data_io.read_files([to / "city"], None, now=scenario.as_of)
    imported = data_io.import_files("embedded", to, files)
    inserted = sum(counts.inserted for counts in imported.tables.values())
    done(f"imported {inserted:,} rows, nothing quarantined")

    events = {"record": {"kind": "file", "path": str(to / EVENTS)}}
    settings_live = Settings({**settings.tables, "senders": events})
    store = database.store("embedded", to, settings_live, now=scenario.as_of)
    for name in catalog.SWEEPS:
        run = sweep(store, settings_live, name, Options())
        counts = ", ".join(f"{word} {count}" for word, count in run.job_counts.items())
        done(
            f"sweep {name} at {rfc3339(scenario.as_of)}: "
            f"{counts or f'{run.outcome.applied} changes'}"
        )
    unassigned = listings.listing(store, settings_live, "unassigned", limit=1)

    checks = database.check_database("embedded", to, scenario.as_of)["checks"]
    offenders = sum(check["offenders"] for check in checks)
    done(
        f"checked {len(checks)} invariants over rows, audit chains, decisions and events: "
        f"{offenders} offenders"
    )

    extracted = data_io.extract("embedded", to, to / "extract", force=True)
    loaded = data_io.load_export(to / "extract", to / WAREHOUSE_FILE, now=extracted.as_of)
    rows = sum(loaded.rows.values())
    done(f"extracted in one snapshot and loaded {rows:,} rows into {to / WAREHOUSE_FILE}")

    result = report.report("nightly", scenario.start, to / WAREHOUSE_FILE, settings)
    page = report.write(result, to)[0]
    done(f"reported on {scenario.start}: {page}")
    return DemoResult(
        report=page,
        day=str(scenario.start),
        as_of=rfc3339(scenario.as_of),
        unassigned_delivery=int(unassigned["id"][0]) if unassigned.height else None,
        steps=tuple(steps),
    )

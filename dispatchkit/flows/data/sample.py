"""A made-up city written as an export, in the very format that `data extract` writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dispatchkit.domain.tables import TABLES
from dispatchkit.simulation import CityPlan, days, world
from dispatchkit.warehouse.export import ExportWriter
from dispatchkit.warehouse.manifest import Manifest


def write_sample(
    plan: CityPlan,
    to: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Manifest:
    """Write the city of `plan` to the directory `to` and return its manifest; one day is held in memory at a time.

    progress: told (days done, days in all). Raises what ExportWriter raises: CannotCreate, NotPermitted, IOFailed.
    """
    origin = f"city seed {plan.seed}"
    with ExportWriter(
        to,
        as_of=plan.as_of,
        database_id="made-up-city",
        revision="made-up",
        snapshot=origin,
        force=force,
    ) as writer:
        for name, schema in TABLES.items():
            writer.append(
                name, schema.create_empty()
            )  # a table without rows is still part of an export
        for name, frame in world(plan).items():
            writer.append(name, frame)
        for done, tables in enumerate(days(plan), 1):
            for name, frame in tables.items():
                writer.append(name, frame)
            progress(done, plan.days)
    assert writer.manifest is not None  # leaving the block without an error completes the export
    return writer.manifest

"""A made-up city as an export, in the same format as `data extract` writes."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from dispatchkit.domain.tables import TABLES
from dispatchkit.simulation import Scenario, days, world
from dispatchkit.warehouse.export import ExportWriter
from dispatchkit.warehouse.manifest import Manifest


def write_sample(scenario: Scenario, to: Path, *, force: bool = False) -> Manifest:
    """Write the city of a scenario to the directory `to` and return its manifest.

    One day is held in memory at a time. Raises what ExportWriter raises: CannotCreate,
    NotPermitted, IOFailed.
    """
    with ExportWriter(
        to,
        as_of=scenario.as_of,
        database_id="made-up-city",
        revision="made-up",
        snapshot=f"city seed {scenario.seed}",
        force=force,
    ) as writer:
        for name, schema in TABLES.items():
            # A table without rows is part of an export too.
            writer.append(name, schema.create_empty())
        for tables in chain([world(scenario)], days(scenario)):
            for name, frame in tables.items():
                writer.append(name, frame)
    assert writer.manifest is not None  # leaving the block without an error completes the export
    return writer.manifest

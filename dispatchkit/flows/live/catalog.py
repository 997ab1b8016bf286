"""The one list of features and reports, and the settings that their names make known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from dispatchkit import config
from dispatchkit.decide.audit.model import Params as Audit
from dispatchkit.domain.dispatching import Dispatch
from dispatchkit.domain.feature import Feature, Report
from dispatchkit.kernel.errors import Usage
from dispatchkit.senders.params import Outbox, sender_configs
from dispatchkit.store.contract import Store
from dispatchkit.travel.interface import Travel
from dispatchkit.travel.providers import TravelParams, open_travel

# Sweeps in the order of one cycle: drivers on duty, stalled assignments, open deliveries, searches
# that stay open, order of stops.
FEATURES: Mapping[str, str] = {
    "availability": "dispatchkit.decide.availability.policy",
    "reassignment": "dispatchkit.decide.reassignment.policy",
    "offers": "dispatchkit.decide.offers.policy",
    "escalation": "dispatchkit.decide.escalation.policy",
    "routes": "dispatchkit.decide.routes.policy",
}
# Features that only answer acts.
ANSWERING: Mapping[str, str] = {
    "deliveries": "dispatchkit.decide.deliveries.policy",
}
# Jobs that run like a sweep, with their own lock and ledger row, but decide nothing.
JOBS: Mapping[str, str] = {
    "audit": "dispatchkit.flows.trail.audit",
    "outbox": "dispatchkit.flows.live.outbox",
}
SWEEPS = (*FEATURES, *JOBS)
FLAGS = (*FEATURES, "audit")  # `audit` permits reading the trail; it is always written
TABLES = ("dispatch", "travel", "senders", *FEATURES, *ANSWERING, *JOBS)


class Job(Protocol):
    """Upkeep on a schedule: what it did, as counts by name. A dry run counts what it would do."""

    def __call__(
        self, store: Store, settings: config.Settings, now: datetime, *, dry_run: bool
    ) -> Mapping[str, int]:
        """Do the work as of `now`; the caller holds the job's lock."""
        ...


def feature(name: str) -> Feature[Any]:
    """Return a feature by name. Raises Usage for an unknown one."""
    known = {**FEATURES, **ANSWERING}
    if name not in known:
        raise Usage(f"unknown sweep {name!r}; expected one of {', '.join(SWEEPS)} or `all`")
    feature_: Feature[Any] = import_module(known[name]).FEATURE
    return feature_


def sweeps(names: Sequence[str]) -> list[str]:
    """Return each named sweep once; `all` is one whole cycle. Raises Usage for an unknown name."""
    for name in names:
        if name not in (*SWEEPS, "all"):
            raise Usage(f"unknown sweep {name!r}; expected one of {', '.join(SWEEPS)} or `all`")
    return list(SWEEPS) if "all" in names else list(dict.fromkeys(names))


def job(name: str) -> Job:
    """Return a job by name."""
    run: Job = import_module(JOBS[name]).run
    return run


def answering(event: str) -> Feature[Any]:
    """Return the feature that answers an act."""
    for name in (*FEATURES, *ANSWERING):
        candidate = feature(name)
        if event in candidate.events:
            return candidate
    raise Usage(f"no feature answers the event {event!r}")


def report(name: str) -> Report:
    """Return a report by name. Raises Usage for an unknown one."""
    reports: Mapping[str, Report] = import_module("dispatchkit.measure.nightly").REPORTS
    if name not in reports:
        raise Usage(f"unknown report {name!r}; expected one of {', '.join(reports)}")
    return reports[name]


def settings(files: Sequence[Path] = ()) -> config.Settings:
    """Return the settings, with every table checked now and not only when its sweep runs."""
    loaded = config.load(files, known=TABLES, flags=FLAGS)
    for name in (*FEATURES, *ANSWERING):
        params(feature(name), loaded)
    for name in FLAGS:
        loaded.flag(name)
    loaded.params("travel", TravelParams)
    loaded.params("dispatch", Dispatch)
    loaded.params("audit", Audit)
    loaded.params("outbox", Outbox)
    sender_configs(loaded)
    _ = loaded.market, loaded.database
    return loaded


def params(feature_: Feature[Any], loaded: config.Settings) -> Any:
    """Return a feature's Params: its own table over the shared [dispatch] table."""
    names = {field.name for field in dataclasses.fields(feature_.params)}
    shared = {
        key: value for key, value in loaded.tables.get("dispatch", {}).items() if key in names
    }
    return config.build(
        feature_.params, shared | loaded.tables.get(feature_.name, {}), feature_.name
    )


def travel(loaded: config.Settings) -> Travel:
    """Return the provider of travel times that the settings name."""
    return open_travel(loaded.params("travel", TravelParams))

"""One sweep: lock, read, decide, then explain or write. A dry run omits only the last step."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dispatchkit import __version__
from dispatchkit.config import Settings
from dispatchkit.domain.changes import Change, Fact
from dispatchkit.domain.feature import Feature
from dispatchkit.flows.live import bundle, catalog
from dispatchkit.flows.live.gather import Gathered, Reader, gather
from dispatchkit.flows.live.impact import impact
from dispatchkit.kernel.canonical_json import canonical
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import Refused, Usage
from dispatchkit.kernel.failpoints import failpoint
from dispatchkit.store.contract import Outcome, RunRequest, Store
from dispatchkit.travel.interface import Travel
from dispatchkit.travel.recorded import Recorded


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a sweep runs: dry, limited, once per cron slot, with explanations."""

    dry_run: bool = False
    max_changes: int | None = None
    max_rows: int | None = None  # changes to write, oldest orders first; the next run continues
    slot: datetime | None = None
    seed: int = 0
    explain: bool = False
    deadline: timedelta | None = None
    keep: Path | None = None  # directory for a bundle with the inputs and the decisions


@dataclass(frozen=True)
class Swept:
    """What a sweep decided and what became of it."""

    sweep: str
    now: datetime | None
    run_id: str | None = None
    changes: Sequence[Change] = ()
    facts: Sequence[Fact] = ()
    outcome: Outcome = field(default_factory=Outcome)
    held_by_flag: int = 0  # units outside the rollout
    deferred: int = 0  # changes beyond max_rows
    quarantined: Mapping[str, int] = field(default_factory=dict)  # rows by broken rule
    not_offered: Sequence[Mapping[str, Any]] = ()  # rows without a decision, explained
    job_counts: Mapping[str, int] = field(default_factory=dict)  # what a job did
    slot_done: bool = False
    dry_run: bool = False

    def document(self) -> dict[str, Any]:
        """Return the result as it stands in `--json` output."""
        return {
            "run_id": self.run_id,
            "sweep": self.sweep,
            "now": rfc3339(self.now) if self.now else None,
            "dry_run": self.dry_run,
            "slot_done": self.slot_done,
            "decided": len(self.changes) if self.dry_run else self.outcome.decided,
            "applied": self.outcome.applied,
            "stale": [vars(stale) for stale in self.outcome.stale],
            "poison": [vars(bad) for bad in self.outcome.poisoned],
            "already_applied": self.outcome.already,
            "busy": self.outcome.busy,
            "held_by_flag": self.held_by_flag,
            "deferred": self.deferred,
            "impact": impact(self.changes),
            "quarantined": dict(self.quarantined),
            "changes": [change.shown(self.sweep) for change in self.changes],
            "not_offered": list(self.not_offered),
            "job_counts": dict(self.job_counts),
        }


def check_options(names: Sequence[str], options: Options) -> None:
    """Raise Usage for an option that would do nothing in one of the sweeps."""
    for name in names:
        is_job = name in catalog.JOBS
        useless = {
            "--explain": options.explain and (is_job or not catalog.feature(name).explains),
            "--keep": is_job and options.keep is not None,
            "--max-rows": is_job and options.max_rows is not None,
        }
        for option, refused in useless.items():
            if refused:
                raise Usage(f"sweep {name} does nothing with {option}; leave it out")


@contextmanager
def uncollected() -> Iterator[None]:
    """Run without the cyclic garbage collector.

    Most objects of a run live to its end. The collector would visit them again and again, which
    takes half of the time in which Python prepares 100,000 changes for writing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@uncollected()
def sweep(store: Store, settings: Settings, name: str, options: Options) -> Swept:
    """Run one sweep; return its result. Raises TryLater while it is locked, Refused past max_changes."""
    if name in catalog.JOBS:
        return _job(store, settings, name, options)
    feature = catalog.feature(name)
    if options.dry_run:
        travel = catalog.travel(settings)
        return _decided(store, settings, feature, options, store.clock(), travel)[0]
    with store.sweeping(
        _run_request(settings, name, options, _parameters(settings, feature))
    ) as run:
        if run is None:
            return Swept(name, None, slot_done=True)
        travel = catalog.travel(settings)
        recorded = Recorded(travel)
        if options.keep:
            travel = recorded
        plan, gathered = _decided(run, settings, feature, options, run.now, travel)
        failpoint("decided")
        if options.keep:
            bundle.keep(
                options.keep,
                settings,
                gathered.frames,
                plan.changes,
                sweep=name,
                run_id=run.id,
                now=run.now,
                seed=options.seed,
                travel=recorded,
            )
        outcome = run.apply(
            plan.changes,
            inputs_sha256=gathered.inputs_sha256,
            facts=plan.facts,
            held=plan.held_by_flag,
            left=plan.deferred,
        )
        return replace(plan, run_id=run.id, outcome=outcome, dry_run=False)


def _job(store: Store, settings: Settings, name: str, options: Options) -> Swept:
    """Run a job such as `audit` or `outbox` and return its counts."""
    work = catalog.job(name)
    if options.dry_run:
        now = store.clock()
        return Swept(name, now, job_counts=work(store, settings, now, dry_run=True), dry_run=True)
    with store.sweeping(_run_request(settings, name, options, {})) as run:
        if run is None:
            return Swept(name, None, slot_done=True)
        if options.max_changes is not None:
            _limited(
                name,
                sum(work(store, settings, run.now, dry_run=True).values()),
                options.max_changes,
            )
        counts = work(store, settings, run.now, dry_run=False)
        deferred = counts.get("deferred", 0)  # the job's name for work left to the next run
        outcome = run.apply((), inputs_sha256="", left=deferred) if deferred else Outcome()
        return Swept(name, run.now, run.id, outcome=outcome, job_counts=counts)


def _limited(name: str, count: int, limit: int | None) -> None:
    """Raise Refused when a sweep would make more changes than --max-changes allows."""
    if limit is not None and count > limit:
        raise Refused(f"sweep {name} would make {count} changes, limit {limit}; nothing done")


def _oldest(changes: Sequence[Change], limit: int | None) -> Sequence[Change]:
    """Return at most `limit` changes in their order, whole roots only.

    The first root is always taken, or no run would ever finish it. Policies return changes by
    ascending root and ids grow with time, so the oldest orders come first.
    """
    if limit is None or len(changes) <= limit:
        return changes
    roots: list[tuple[str, int]] = []
    count: dict[tuple[str, int], int] = {}
    for change in changes:
        if change.root not in count:
            roots.append(change.root)
        count[change.root] = count.get(change.root, 0) + 1
    total, taken = 0, set[tuple[str, int]]()
    for root in roots:
        total += count[root]
        if taken and total > limit:
            break
        taken.add(root)
    return [change for change in changes if change.root in taken]


def _run_request(
    settings: Settings, name: str, options: Options, params: Mapping[str, Any]
) -> RunRequest:
    return RunRequest(
        sweep=name,
        seed=options.seed,
        slot=options.slot,
        config_sha256=settings.sha256,
        code_version=__version__,
        params=canonical(params),
        deadline=options.deadline,
    )


def _parameters(settings: Settings, feature: Feature[Any]) -> Mapping[str, Any]:
    """Return the run's parameters for the ledger: durations in seconds, travel engine, rollout."""
    params = dataclasses.asdict(catalog.params(feature, settings))
    spans = {
        key: value.total_seconds() if isinstance(value, timedelta) else value
        for key, value in params.items()
    }
    flag = settings.flag(feature.flag)
    rollout = {"enabled": flag.enabled, "percent": flag.percent}
    return {"params": spans, "travel": catalog.travel(settings).name, "flag": rollout}


def _decided(
    reader: Reader,
    settings: Settings,
    feature: Feature[Any],
    options: Options,
    now: datetime,
    travel: Travel,
) -> tuple[Swept, Gathered]:
    """Return the policy's decisions at `now`, and the frames they rest on."""
    params = catalog.params(feature, settings)
    if feature.decide is None:
        raise Usage(f"{feature.name} decides nothing; it only answers acts")
    gathered = gather(reader, feature, settings.flag(feature.flag), now)
    decision = feature.decide(gathered.frames, params, now, travel, options.seed)
    changes = decision.changes
    _limited(feature.name, len(changes), options.max_changes)
    taken = _oldest(changes, options.max_rows)
    return Swept(
        feature.name,
        now,
        changes=taken,
        facts=decision.facts,
        deferred=len(changes) - len(taken),
        held_by_flag=gathered.held_by_flag,
        quarantined=gathered.quarantined,
        not_offered=decision.explanations() if options.explain else (),
        dry_run=True,
    ), gathered

"""`sweep`: decide and write, for cron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dispatchkit.cli import output
from dispatchkit.cli.output import call
from dispatchkit.kernel.clock import parse_instant
from dispatchkit.kernel.errors import DatabaseUnavailable, DispatchError, Refused, TryLater, Usage

if TYPE_CHECKING:
    from dispatchkit.flows.live.sweep import Options, Swept
    from dispatchkit.store.contract import Store


def register(app: typer.Typer) -> None:
    """Add `sweep`."""
    app.command()(sweep)


def sweep(
    ctx: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            help="availability, reassignment, offers, escalation, routes, audit, outbox, or all."
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the changes; write nothing.")
    ] = False,
    max_changes: Annotated[
        int | None, typer.Option(min=0, help="Refuse to make more changes than this.")
    ] = None,
    now: Annotated[
        str | None, typer.Option(help="Decide as of this instant instead of the database clock.")
    ] = None,
    slot: Annotated[
        str | None, typer.Option(help="Cron slot (an instant): each slot runs once only.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=output.MAX_SEED, help="Seed of what is random; kept in the run ledger."
        ),
    ] = 0,
    batch: Annotated[int | None, typer.Option(min=1, help="Changes per transaction.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=16, help="Database connections that write.")
    ] = None,
    max_rows: Annotated[
        int | None,
        typer.Option(
            min=1, help="Write at most so many changes, oldest orders first; exit 75 if cut."
        ),
    ] = None,
    deadline: Annotated[
        float | None, typer.Option(min=0, max=86_400, help="Start no batch after so many seconds.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            readable=False, metavar="DIR", help="Write a bundle per run, for `audit replay`."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Explain also why the rest got nothing.")
    ] = False,
) -> None:
    """Run one or more sweeps: read, decide, write; each under its own lock.

    `all` runs them in the order of one cycle. With --dry-run each sweep is shown as if it ran alone.

    Example: dispatchkit sweep offers --dry-run
    """
    from dispatchkit.flows.live import catalog
    from dispatchkit.flows.live.sweep import Options, check_options

    if keep and dry_run:
        raise Usage("--keep writes files and --dry-run writes nothing: give only one of them")
    options = Options(
        dry_run=dry_run,
        max_changes=max_changes,
        max_rows=max_rows,
        slot=parse_instant(slot) if slot else None,
        seed=seed,
        explain=explain,
        keep=keep,
        deadline=timedelta(seconds=deadline) if deadline is not None else None,
    )
    wanted = catalog.sweeps(names)
    if "all" not in names:
        check_options(wanted, options)
    store = call(ctx).store(now, batch=batch, workers=workers)
    results, failed = _run(ctx, store, wanted, options)
    if call(ctx).json and results:
        documents = [result.document() for result in results]
        output.document(documents[0] if len(wanted) == 1 else documents)
    _conclude(ctx, results, failed, several=len(wanted) > 1)


def _run(
    ctx: typer.Context, store: Store, wanted: Sequence[str], options: Options
) -> tuple[list[Swept], list[tuple[str, Exception]]]:
    """Return the results, each printed when done, and the failures: none stops the other sweeps.

    Only without a database the rest is skipped.
    """
    from dispatchkit.flows.live import catalog
    from dispatchkit.flows.live.sweep import sweep as run

    settings = call(ctx).settings()
    results: list[Swept] = []
    failed: list[tuple[str, Exception]] = []
    for name in wanted:
        if name in catalog.FEATURES and name not in settings.tables.get("flags", {}):
            output.warn(f"no configuration sets flag {name}: its rollout is 100 % (see --config)")
        try:
            with output.working(ctx, f"sweep {name}"):
                results.append(run(store, settings, name, options))
        except Exception as fault:
            failed.append((name, fault))
            if isinstance(fault, DatabaseUnavailable):
                break
        else:
            if not call(ctx).json:
                _print(ctx, results[-1])
    return results, failed


def _print(ctx: typer.Context, result: Swept) -> None:
    from dispatchkit.flows.live import catalog

    rows = [
        (
            result.sweep,
            c.event,
            f"{c.entity} {c.id}",
            c.version,
            c.reason,
            _steps(c.before, c.after),
        )
        for c in result.changes
    ]
    if rows:
        output.table(("sweep", "event", "row", "version", "reason", "becomes"), rows)
    if result.not_offered:
        keys = list(result.not_offered[0])
        output.table(keys, [[row.get(key) for key in keys] for row in result.not_offered])
    if result.slot_done:
        output.note(ctx, f"sweep {result.sweep}: slot already done")
        return
    if result.sweep in catalog.JOBS:
        counts = ", ".join(f"{name} {count}" for name, count in result.job_counts.items())
        output.note(
            ctx,
            f"sweep {result.sweep}: {counts}{'; dry run, nothing done' if result.dry_run else ''}",
        )
        return
    done = result.outcome
    tail = (
        f"would change {_impact(result)}; dry run, nothing written"
        if result.dry_run
        else f"applied {done.applied}, stale {len(done.stale)}"
    )
    extra = "".join(
        f", {name} {count}"
        for name, count in (
            ("deferred", result.deferred),
            ("already applied", done.already),
            ("busy", done.busy),
            ("poison", done.poison),
            ("held by flag", result.held_by_flag),
        )
        if count
    )
    output.note(ctx, f"sweep {result.sweep}: decided {len(result.changes)}, {tail}{extra}")


def _impact(result: Swept) -> str:
    from dispatchkit.flows.live.impact import impact

    return ", ".join(
        f"{name.replace('_', ' ')} {count:,}" for name, count in impact(result.changes).items()
    )


def _steps(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """Return the important columns with old and new value; for a new row the value alone."""
    steps = []
    for key, value in after.items():
        old = before.get(key)
        changed = old != value and key in ("driver_id", "episode", "attempt", "level", "engine")
        if changed or key in ("state", "duty"):
            new = "-" if value is None else value
            steps.append(
                f"{key} {'-' if old is None else old} -> {new}" if before else f"{key} {new}"
            )
    return ", ".join(steps)


def _conclude(
    ctx: typer.Context, results: list[Swept], failed: list[tuple[str, Exception]], *, several: bool
) -> None:
    """Report refusals (exit 3), deferred work (exit 75) and failures; raise the most severe."""
    for result in results:
        _refused(ctx, result)
    later = _unfinished(results)
    severe: list[Exception] = []
    named: list[str] = []
    for name, fault in failed:
        text = f"sweep {name}: {_reason(fault)}" if several else _reason(fault)
        match _severity(fault):
            case _Severity.REFUSED:
                output.refuse(ctx, text)
            case _Severity.LATER:
                later.append(text)
            case _:
                severe.append(fault)
                named.append(text)
    lesser = [*later, *call(ctx).refused]
    if severe:
        for line in [*(named if several else ()), *lesser]:
            output.warn(line)
        raise min(severe, key=_severity)  # of equals the first
    if later:
        raise TryLater("; ".join(lesser))


def _refused(ctx: typer.Context, result: Swept) -> None:
    """Collect the refusals of a sweep for the exit code."""
    if result.outcome.stale:
        ids = ", ".join(f"{s.entity} {s.id} ({s.why})" for s in result.outcome.stale[:5])
        output.refuse(
            ctx, f"sweep {result.sweep}: {len(result.outcome.stale)} decisions were stale: {ids}"
        )
    if result.outcome.poison:
        ids = ", ".join(f"{s.entity} {s.id} ({s.why})" for s in result.outcome.poisoned[:5])
        output.refuse(
            ctx,
            f"sweep {result.sweep}: {result.outcome.poison} decisions were refused by the database: {ids}",
        )
    for rule, count in result.quarantined.items():
        output.refuse(ctx, f"sweep {result.sweep}: {count} rows quarantined ({rule})")


def _unfinished(results: list[Swept]) -> list[str]:
    """Return why work is deferred to the next run: the limit, locked rows, the deadline."""
    reasons = []
    deferred = [f"{r.sweep}: {r.deferred}" for r in results if r.deferred and not r.dry_run]
    if deferred:
        reasons.append(f"changes beyond --max-rows ({'; '.join(deferred)}); the next run continues")
    busy = [
        f"{r.sweep}: {r.outcome.busy - r.deferred}" for r in results if r.outcome.busy > r.deferred
    ]
    if busy:
        reasons.append(
            f"rows were locked by others or time was up ({'; '.join(busy)}); "
            "the next run retries them"
        )
    return reasons


class _Severity(IntEnum):
    """How severe a failure is, the most severe first."""

    BUG = 0
    FIX = 1  # a person must act
    LATER = 2  # the next run may succeed
    REFUSED = 3


def _severity(fault: Exception) -> _Severity:
    """Return the severity of a failure; an unknown kind of exception is a bug."""
    if isinstance(fault, OSError):
        return _Severity.FIX
    code = fault.exit_code if isinstance(fault, DispatchError) else DispatchError.exit_code
    known = {
        DispatchError.exit_code: _Severity.BUG,
        TryLater.exit_code: _Severity.LATER,
        Refused.exit_code: _Severity.REFUSED,
    }
    return known.get(code, _Severity.FIX)


def _reason(fault: Exception) -> str:
    """Return a failure in words; of a bug only the kind: its message may hold anything."""
    return (
        str(fault)
        if isinstance(fault, DispatchError | OSError)
        else f"this is a bug ({type(fault).__name__})"
    )

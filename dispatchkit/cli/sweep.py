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
        bool, typer.Option("--dry-run", help="Show what would be done; touch nothing.")
    ] = False,
    max_changes: Annotated[
        int | None, typer.Option(min=0, help="Refuse to make more changes than this.")
    ] = None,
    now: Annotated[
        str | None, typer.Option(help="Reason at this instant instead of the database clock.")
    ] = None,
    slot: Annotated[
        str | None, typer.Option(help="Cron slot (an instant); done once only.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=output.MAX_SEED, help="Seed of what is random; kept in the run ledger."
        ),
    ] = 0,
    batch: Annotated[int | None, typer.Option(min=1, help="Changes a transaction.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=16, help="Connections that write one run.")
    ] = None,
    max_rows: Annotated[
        int | None,
        typer.Option(
            min=1, help="Write so many changes at most, oldest orders first; exit 75 if cut."
        ),
    ] = None,
    deadline: Annotated[
        float | None, typer.Option(min=0, max=86_400, help="Begin no batch after so many seconds.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            readable=False, metavar="DIR", help="Leave a bundle a run, for `audit replay`."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also say why the rest got nothing.")
    ] = False,
) -> None:
    """Run one or more sweeps: read, decide, write; each under its own lock.

    `all` runs them in the order of one cycle. With --dry-run each sweep is shown as if it ran alone, now.

    Example: dispatchkit sweep offers --dry-run
    """
    from dispatchkit.flows.live import catalog
    from dispatchkit.flows.live.sweep import Options, check_options

    if keep and dry_run:
        raise Usage("--keep writes files and a dry run touches nothing; give one of them")
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
    """Return what the sweeps did, each shown as it is done, and those that failed: none stops the others.

    Only without a database there is nothing to go on with.
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
    if result.unserved:
        keys = list(result.unserved[0])
        output.table(keys, [[row.get(key) for key in keys] for row in result.unserved])
    if result.slot_done:
        output.note(ctx, f"sweep {result.sweep}: slot already done")
        return
    if result.sweep in catalog.JOBS:
        counts = ", ".join(f"{name} {count}" for name, count in result.done.items())
        output.note(
            ctx,
            f"sweep {result.sweep}: {counts}{'; dry run, nothing done' if result.dry_run else ''}",
        )
        return
    done = result.outcome
    tail = (
        f"would touch {_touched(result)}; dry run, nothing written"
        if result.dry_run
        else f"applied {done.applied}, stale {len(done.stale)}"
    )
    extra = "".join(
        f", {name} {count}"
        for name, count in (
            ("left", result.left),
            ("already", done.already),
            ("busy", done.busy),
            ("poison", done.poison),
            ("held by flag", result.held),
        )
        if count
    )
    output.note(ctx, f"sweep {result.sweep}: decided {len(result.changes)}, {tail}{extra}")


def _touched(result: Swept) -> str:
    from dispatchkit.flows.live.impact import blast

    return ", ".join(f"{name} {count:,}" for name, count in blast(result.changes).items())


def _steps(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    """Return the columns worth a look: what they were and become, or at birth what they are."""
    shown = []
    for key, value in after.items():
        was = before.get(key)
        if key in ("state", "duty") or (
            was != value and key in ("driver_id", "episode", "attempt", "level", "engine")
        ):
            became = "-" if value is None else value
            shown.append(
                f"{key} {'-' if was is None else was} -> {became}" if before else f"{key} {became}"
            )
    return ", ".join(shown)


def _conclude(
    ctx: typer.Context, results: list[Swept], failed: list[tuple[str, Exception]], *, several: bool
) -> None:
    """Say what was refused (exit 3), what the next run takes up (exit 75) and what failed, and raise the gravest."""
    for result in results:
        _refused(ctx, result)
    later = _unfinished(results)
    grave: list[Exception] = []
    named: list[str] = []
    for name, fault in failed:
        told = f"sweep {name}: {_reason(fault)}" if several else _reason(fault)
        match _grade(fault):
            case _Grade.REFUSED:
                output.refuse(ctx, told)
            case _Grade.LATER:
                later.append(told)
            case _:
                grave.append(fault)
                named.append(told)
    lesser = [*later, *call(ctx).refused]
    if grave:
        for line in [*(named if several else ()), *lesser]:
            output.warn(line)
        raise min(grave, key=_grade)  # of several the first
    if later:
        raise TryLater("; ".join(lesser))


def _refused(ctx: typer.Context, result: Swept) -> None:
    """Remember what of a sweep was refused."""
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
    for rule, count in result.set_aside.items():
        output.refuse(ctx, f"sweep {result.sweep}: {count} rows set aside ({rule})")


def _unfinished(results: list[Swept]) -> list[str]:
    """Return why work is left to the next run: the limit, locked rows, the deadline."""
    told = []
    left = [f"{r.sweep}: {r.left}" for r in results if r.left and not r.dry_run]
    if left:
        told.append(f"changes beyond --max-rows ({'; '.join(left)}); the next run goes on")
    busy = [f"{r.sweep}: {r.outcome.busy - r.left}" for r in results if r.outcome.busy > r.left]
    if busy:
        told.append(
            f"rows were locked by others or time was up ({'; '.join(busy)}); the next run takes them up"
        )
    return told


class _Grade(IntEnum):
    """How grave a failure is, gravest first: a bug, what a person must mend, what the next run may do, a refusal."""

    BUG, MEND, LATER, REFUSED = range(4)


def _grade(fault: Exception) -> _Grade:
    """Return how grave a failure is; what is neither ours nor the system's is a bug."""
    if isinstance(fault, OSError):
        return _Grade.MEND
    code = fault.exit_code if isinstance(fault, DispatchError) else DispatchError.exit_code
    known = {
        DispatchError.exit_code: _Grade.BUG,
        TryLater.exit_code: _Grade.LATER,
        Refused.exit_code: _Grade.REFUSED,
    }
    return known.get(code, _Grade.MEND)


def _reason(fault: Exception) -> str:
    """Return a failure in words; what a bug says may hold anything, so only its kind is told."""
    return (
        str(fault)
        if isinstance(fault, DispatchError | OSError)
        else f"this is a bug ({type(fault).__name__})"
    )

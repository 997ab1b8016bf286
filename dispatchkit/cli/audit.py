"""`audit`: who changed what, when and why; and whether the trail is as it was written."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatchkit.cli import output
from dispatchkit.cli.output import call
from dispatchkit.kernel.clock import parse_instant, rfc3339
from dispatchkit.kernel.errors import BadData, Usage

if TYPE_CHECKING:
    from dispatchkit.flows.trail.audit import ChainView
    from dispatchkit.store.audit import Fault

RENAMED = {"tbl": "table", "op": "operation", "chain": "chain_id"}  # columns in the documents
Archive = Annotated[
    list[Path] | None,
    typer.Option(
        readable=False,
        metavar="FILE",
        help="Archive file of `audit prune`, or its folder; repeatable.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add `audit show`, `audit verify`, `audit seal`, `audit prune`, `audit export` and `audit replay`."""
    group = typer.Typer(help="The audit trail.", no_args_is_help=True, rich_markup_mode=None)
    for command in (show, verify, seal, prune, export, replay):
        group.command()(command)
    app.add_typer(group, name="audit")


def show(
    ctx: typer.Context,
    delivery: Annotated[
        int | None, typer.Argument(min=1, max=output.MAX_ID, help="Which delivery.")
    ] = None,
    driver: Annotated[
        int | None, typer.Option(min=1, max=output.MAX_ID, help="A driver's own chain instead.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="How everything stood at this instant, instead of the steps.")
    ] = None,
    archive: Archive = None,
) -> None:
    """Show every step of a delivery with who, when and why, or how it stood at an instant. The reading is recorded.

    Example: dispatchkit audit show 1017 --at 2026-03-07T19:30:00Z
    """
    from dispatchkit.flows.trail import audit

    if (delivery is None) == (driver is None):
        raise Usage("`audit show` takes the id of a delivery, or --driver ID")
    chain = delivery if delivery is not None else -(driver or 0)
    instant = parse_instant(at) if at else None
    view = audit.show(call(ctx).store(), call(ctx).settings(), chain, instant, archive or ())
    if call(ctx).json:
        output.document(_document(view))
    elif view.state is not None:
        for table, images in view.state.items():
            output.table(
                list(images[0]),
                [[image.get(key) for key in images[0]] for image in images],
                title=table,
            )
    else:
        output.table(
            ("at", "row", "version", "changed", "by", "run", "reason"),
            _rows(view),
            title=view.subject,
        )
        if view.refusals:
            rows = [(rfc3339(r["at"]), *list(r.values())[1:]) for r in view.refusals]
            output.table(list(view.refusals[0]), rows, title="refused")
    if view.state == {}:
        begins = rfc3339(view.steps[0].event.at)
        output.note(ctx, f"nothing before; the trail of {view.subject} begins {begins}")
    for fault in view.broken:
        raise BadData(
            f"the chain of {view.subject} is broken: {fault.fault} at seq {fault.seq}",
            code="DK-AUD",
        )


def verify(
    ctx: typer.Context,
    seals: Annotated[
        Path | None,
        typer.Option(
            readable=False, metavar="FILE", help="The outside file that `audit seal` appends to."
        ),
    ] = None,
    archive: Archive = None,
) -> None:
    """Recompute every chain, seal and newest image; exit 65 and name the first bad row of each kind of damage.

    Example: dispatchkit audit verify --seals /srv/anchor/seals.txt
    """
    from dispatchkit.flows.trail import audit

    with output.working(ctx, "verifying"):
        check = audit.verify(call(ctx).store(), seals, archive or ())
    counts = {
        "events": check.trail.events,
        "chains": check.trail.chains,
        "seals": check.trail.seals,
    }
    counts |= {"archives": check.trail.archives, "seal_file_lines": check.lines}
    if call(ctx).json:
        faults = [_fault(fault) for fault in check.trail.faults]
        output.document(
            {
                **counts,
                "faults": faults,
                "findings": check.findings,
                "archives_unread": list(check.unread),
            }
        )
    else:
        output.table(("what", "count"), list(counts.items()))
    if check.archives.foreign:
        output.note(
            ctx,
            f"{', '.join(check.archives.foreign)}: of no archive of this database; "
            "its bodies never left",
        )
    if check.unread:
        output.note(
            ctx,
            f"{len(check.unread)} archives were not given; "
            "their links were checked, their bodies not read",
        )
    if check.findings:
        raise BadData(
            f"the audit trail is not as it was written: {'; '.join(check.findings)}", code="DK-AUD"
        )


def seal(
    ctx: typer.Context,
    to: Annotated[
        Path,
        typer.Option(readable=False, metavar="FILE", help="Outside file; kept on another host."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the seals it lacks; make and append none.")
    ] = False,
) -> None:
    """Seal all finished events, and append every seal that the file lacks; one that contradicts them is refused, 65.

    Example: dispatchkit audit seal --to /srv/anchor/seals.txt
    """
    from dispatchkit.flows.trail import audit

    store = call(ctx).store()
    lines = audit.seal(store, to, dry_run=dry_run)
    unsealed = audit.unsealed(store)
    if call(ctx).json:
        output.document({"dry_run": dry_run, "seals": lines, "unsealed": unsealed})
    else:
        for line in lines:
            output.line(line)
        output.note(
            ctx, f"{len(lines)} seals {'would be appended' if dry_run else 'appended'} to {to}"
        )
        if dry_run and unsealed:
            output.note(ctx, f"and {unsealed} events that no seal covers yet")


def prune(
    ctx: typer.Context,
    to: Annotated[
        Path, typer.Option(readable=False, metavar="DIR", help="Folder for the archive files.")
    ],
    before: Annotated[
        str | None, typer.Option(help="Older events; default: audit.retention ago.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count; write and move nothing.")
    ] = False,
    max_changes: Annotated[
        int | None, typer.Option(min=0, help="Refuse to move more events than this.")
    ] = None,
    now: Annotated[
        str | None, typer.Option(help="Judge ages at this instant instead of the database clock.")
    ] = None,
) -> None:
    """Move the bodies of old events to archive files; every link, and the newest event of each row, stays.

    Example: dispatchkit audit prune --before 2026-01-01T00:00:00Z --to /srv/archive --dry-run
    """
    from dispatchkit.flows.trail import retention

    store = call(ctx).store()
    limit = (
        parse_instant(before)
        if before
        else retention.limit(store, call(ctx).settings(), "retention", _at(now))
    )
    with output.working(ctx, "archiving"):
        done = retention.prune(store, limit, to, dry_run=dry_run, max_changes=max_changes)
    if call(ctx).json:
        output.document(
            {
                "before": rfc3339(limit),
                "dry_run": dry_run,
                "events": done.events,
                "files": list(done.files),
            }
        )
    else:
        for name in done.files:
            output.line(name)
        output.note(
            ctx,
            f"{done.events} events before {rfc3339(limit)} {'would be ' if dry_run else ''}archived",
        )


def export(
    ctx: typer.Context,
    to: Annotated[
        Path, typer.Option(readable=False, metavar="FILE", help="FILE.parquet, .csv or .json.")
    ],
    since: Annotated[str | None, typer.Option(help="Events from this instant on.")] = None,
    until: Annotated[str | None, typer.Option(help="Events before this instant.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write the trail of a period for others: ids, states and instants only. The reading is recorded.

    Example: dispatchkit audit export --to trail.parquet --since 2026-03-06T00:00:00Z
    """
    from dispatchkit.flows.trail import audit

    lower, upper = _at(since), _at(until)
    if lower and upper and lower >= upper:
        raise Usage(f"--since {since} is not before --until {until}")
    with output.working(ctx, "exporting"):
        count = audit.export(
            call(ctx).store(), call(ctx).settings(), to, since=lower, until=upper, force=force
        )
    if call(ctx).json:
        output.document({"to": str(to), "events": count})
    else:
        output.note(ctx, f"{count} events written to {to}")


def replay(
    ctx: typer.Context,
    bundle: Annotated[
        Path,
        typer.Argument(readable=False, metavar="DIR", help="Bundle left by `sweep NAME --keep`."),
    ],
) -> None:
    """Decide once more from a run's bundle and compare, byte for byte; exit 65 with the first difference.

    Example: dispatchkit audit replay bundles/offers-5f0c1c0e-6a53-4f0e-9d0a-2f6f1f2b7c11
    """
    from dispatchkit.flows.live import bundle as bundles

    done = bundles.replay(bundle)
    if call(ctx).json:
        output.document(done)
    else:
        output.table(("what", "is"), list(done.items()))


def _at(text: str | None) -> datetime | None:
    return parse_instant(text) if text else None


def _rows(view: ChainView) -> list[tuple[object, ...]]:
    """Return one line a step: what became of which row, by whom, and why."""
    sweeps = {run["run_id"]: run["sweep"] for run in view.runs}
    rows: list[tuple[object, ...]] = []
    for step in view.steps:
        event = step.event
        changed = {"D": "gone"}.get(event.op) or (
            "archived" if event.archived else _changes(step.changed)
        )
        by = f"{event.actor or sweeps.get(event.run_id, '-')} ({event.login or '-'})"
        row = f"{event.tbl} {event.row_id}"
        rows.append(
            (rfc3339(event.at), row, event.row_version, changed, by, event.run_id, event.reason)
        )
    return rows


def _changes(changed: Any) -> str:
    """Return what changed; of an inserted row only its state and driver."""
    inserted = all(before is None for before, _ in changed.values()) and "id" in changed
    shown = {
        key: pair
        for key, pair in changed.items()
        if not inserted or key in ("state", "duty", "driver_id")
    }
    printable = {
        key: ["-" if value is None else value for value in pair] for key, pair in shown.items()
    }
    return ", ".join(
        f"{key} {after}" if inserted else f"{key} {before} -> {after}"
        for key, (before, after) in printable.items()
    )


def _fault(fault: Fault) -> dict[str, Any]:
    """Return a fault for programs."""
    return {RENAMED.get(name, name): value for name, value in vars(fault).items()}


def _document(view: ChainView) -> dict[str, Any]:
    """Return a chain as a document; each event of a run has the id of its decision."""
    from dispatchkit.decide.audit.trail import TrailEvent
    from dispatchkit.kernel.canonical_json import plain

    fields = [name for name in TrailEvent.__slots__ if name not in ("image", "transaction")]
    steps = [
        {
            **{RENAMED.get(name, name): getattr(step.event, name) for name in fields},
            "changed": {
                key: {"before": before, "after": after}
                for key, (before, after) in step.changed.items()
            },
            "decision_id": view.decisions.get(step.event.seq),
        }
        for step in view.steps
    ]
    document: dict[str, Any] = {"subject": view.subject, "steps": steps, "runs": view.runs}
    document["refusals"] = view.refusals
    document["faults"] = [_fault(fault) for fault in view.broken]
    if view.state is not None:
        document["state"] = view.state
    return {key: plain(value) for key, value in document.items()}

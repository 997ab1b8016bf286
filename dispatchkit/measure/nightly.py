"""The nightly report: which sections there are, and what the plan hopes for. It alone knows its siblings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import polars as pl

from dispatchkit.kernel.figures import Section, Target
from dispatchkit.measure import funnel, offers, service
from dispatchkit.measure.metric import Columns, Scope

Measure = Callable[[Mapping[str, pl.DataFrame], Scope], Section]

SECTIONS: dict[str, tuple[Measure, Columns]] = {
    "funnel": (funnel.measure, funnel.READS),
    "service": (service.measure, service.READS),
    "offers": (offers.measure, offers.READS),
}
REPORTS: dict[str, tuple[str, ...]] = {
    "nightly": tuple(SECTIONS),
    "funnel": ("funnel", "service", "offers"),
}
TARGETS = {
    "offer_acceptance": Target("> 80 %", ">", 0.80),
    "unassigned_never_served": Target("< 5 %", "<", 0.05),
    "auto_reassignment": Target("> 95 %", ">", 0.95),
}


def reads(names: Sequence[str]) -> dict[str, list[str]]:
    """Return mart -> columns that these sections read together."""
    wanted: dict[str, set[str]] = {}
    for name in names:
        for mart, columns in SECTIONS[name][1].items():
            wanted.setdefault(mart, set()).update(columns)
    return {mart: sorted(columns) for mart, columns in sorted(wanted.items())}


def measure(marts: Mapping[str, pl.DataFrame], scope: Scope, names: Sequence[str]) -> tuple[Section, ...]:
    """Return these sections, each figure with the plan's target beside it where there is one."""
    return tuple(with_targets(SECTIONS[name][0](marts, scope)) for name in names)


def with_targets(section: Section) -> Section:
    """Return a section whose metrics carry the plan's targets."""
    return replace(section, metrics=tuple(replace(m, target=TARGETS.get(m.name)) for m in section.metrics))

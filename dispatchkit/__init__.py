"""Batch analytics and routing for on-demand delivery: what happened, and what to do next.

The public names below are loaded when they are first used, so `import dispatchkit` is cheap:

    import dispatchkit as dk

    store = dk.MemoryStore(tables, now)              # or dk.open_store("postgresql://...", ...)
    swept = dk.sweep(store, dk.settings(), "offers", dk.SweepOptions(dry_run=True))

`docs/reference/python-api.md` lists them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

PUBLIC = {  # name -> where it is defined, and as what
    "Settings": "dispatchkit.config:Settings",
    "settings": "dispatchkit.flows.live.catalog:settings",
    "MemoryStore": "dispatchkit.store.memory:MemoryStore",
    "open_store": "dispatchkit.store.postgres:open_store",
    "sweep": "dispatchkit.flows.live.sweep:sweep",
    "SweepOptions": "dispatchkit.flows.live.sweep:Options",
    "act": "dispatchkit.flows.live.act:act",
    "Event": "dispatchkit.domain.feature:Event",
    "read_manifest": "dispatchkit.warehouse.manifest:read",
    "load_export": "dispatchkit.warehouse.load:load",
    "open_marts": "dispatchkit.warehouse.database:open_marts",
    "report": "dispatchkit.flows.data.report:report",
    "StreetMap": "dispatchkit.streets.street_map:StreetMap",
    "RoutingProblem": "dispatchkit.routing.problem:Problem",
    "solve_routes": "dispatchkit.routing.engines:answer",
    "Scenario": "dispatchkit.simulation:Scenario",
    "simulate_world": "dispatchkit.simulation:world",
    "simulate_days": "dispatchkit.simulation:days",
}
__all__ = [
    "PUBLIC",
    "Event",
    "MemoryStore",
    "RoutingProblem",
    "Scenario",
    "Settings",
    "StreetMap",
    "SweepOptions",
    "__version__",
    "act",
    "load_export",
    "open_marts",
    "open_store",
    "read_manifest",
    "report",
    "settings",
    "simulate_days",
    "simulate_world",
    "solve_routes",
    "sweep",
]

if TYPE_CHECKING:
    from dispatchkit.config import Settings as Settings
    from dispatchkit.domain.feature import Event as Event
    from dispatchkit.flows.data.report import report as report
    from dispatchkit.flows.live.act import act as act
    from dispatchkit.flows.live.catalog import settings as settings
    from dispatchkit.flows.live.sweep import Options as SweepOptions
    from dispatchkit.flows.live.sweep import sweep as sweep
    from dispatchkit.routing.engines import answer as solve_routes
    from dispatchkit.routing.problem import Problem as RoutingProblem
    from dispatchkit.simulation import Scenario as Scenario
    from dispatchkit.simulation import days as simulate_days
    from dispatchkit.simulation import world as simulate_world
    from dispatchkit.store.memory import MemoryStore as MemoryStore
    from dispatchkit.store.postgres import open_store as open_store
    from dispatchkit.streets.street_map import StreetMap as StreetMap
    from dispatchkit.warehouse.database import open_marts as open_marts
    from dispatchkit.warehouse.load import load as load_export
    from dispatchkit.warehouse.manifest import read as read_manifest


def __getattr__(name: str) -> Any:
    """Load a public name on its first use."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = PUBLIC[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value

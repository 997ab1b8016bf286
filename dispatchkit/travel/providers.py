"""Providers of travel times by name. To add one: a file with `open_travel(params)` and a line in PROVIDERS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module

from dispatchkit.kernel.errors import BadConfig
from dispatchkit.travel.interface import Travel

PROVIDERS = {
    "straight_line": "dispatchkit.travel.straight_line",
    "street_map": "dispatchkit.travel.street_map",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TravelParams:
    """Where travel times come from: the table [travel]."""

    provider: str = (
        ""  # a name of PROVIDERS; empty: street_map if there is a map, else straight_line
    )
    map: str = ""  # street_map: a folder made by `streets build`
    circuity: float = 1.3  # straight_line: street distance over straight distance

    def __post_init__(self) -> None:
        if self.provider and self.provider not in PROVIDERS:
            known = ", ".join(PROVIDERS)
            raise BadConfig(f"provider is {self.provider!r}; expected one of {known}")


@cache
def open_travel(params: TravelParams) -> Travel:
    """Return the provider that the parameters name; opened once in a process. Raises BadConfig, InputMissing."""
    name = params.provider or ("street_map" if params.map else "straight_line")
    travel: Travel = import_module(PROVIDERS[name]).open_travel(params)
    return travel

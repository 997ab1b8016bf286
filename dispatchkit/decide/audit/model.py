"""How long the audit trail keeps what, and how often it is sealed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dispatchkit.kernel.errors import BadConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """The table [audit]. Only what a seal covers may be retired, so seals have to come sooner than retention ends."""

    seal: timedelta = timedelta(seconds=60)
    retention: timedelta = timedelta(days=90)
    pings: timedelta = timedelta(days=30)
    sent: timedelta = timedelta(days=30)
    extracts: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        for name in ("seal", "retention", "pings", "sent", "extracts"):
            if getattr(self, name) <= timedelta():
                raise BadConfig(f"{name} is {getattr(self, name)}; expected more than 0s")
        if self.seal >= self.retention:
            raise BadConfig(f"seal ({self.seal}) must be shorter than retention ({self.retention})")

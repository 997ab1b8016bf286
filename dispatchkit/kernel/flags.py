"""Is this unit inside the rollout? A stable hash answers, so raising the percentage only ever adds units."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from dispatchkit.kernel.errors import BadConfig

BUCKETS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One feature's switch: off, or on for `percent` of its units (drivers, deliveries)."""

    name: str
    enabled: bool = True
    percent: float = 100.0

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise BadConfig(f"flags.{self.name}.percent is {self.percent:g}; expected 0 to 100")

    def admits(self, unit: int) -> bool:
        """Return whether `unit` is inside: monotone in `percent`, independent of other flags."""
        return self.enabled and bucket(self.name, unit) < round(self.percent * BUCKETS / 100)


def bucket(name: str, unit: int) -> int:
    """Return the bucket 0..9999 of a unit under a flag."""
    digest = sha256(f"{name}:{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS

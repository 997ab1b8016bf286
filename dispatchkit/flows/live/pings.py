"""Positions of drivers' phones: stored as received, not audited, purged after their retention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dispatchkit.config import Settings
from dispatchkit.domain.codes import ActResult
from dispatchkit.domain.dispatching import Dispatch
from dispatchkit.flows.live.gather import queries
from dispatchkit.kernel.clock import rfc3339
from dispatchkit.kernel.errors import Usage
from dispatchkit.store.contract import Store

SQL = Path(__file__).with_name("pings.sql")


@dataclass(frozen=True, kw_only=True)
class PingResult:
    """The result of a ping. repeated: the last ping had exactly this position: a frozen phone?"""

    code: str
    at: datetime
    repeated: bool = False
    dry_run: bool = False

    @property
    def refused(self) -> bool:
        return self.code in (ActResult.NOT_FOUND, ActResult.CLOCK_SKEW)

    def document(self) -> dict[str, Any]:
        """Return the result as it stands in `--json` output; the place is not repeated."""
        result = {
            "event": "ping",
            "code": self.code,
            "refused": self.refused,
            "dry_run": self.dry_run,
        }
        return result | {"at": rfc3339(self.at), "repeated": self.repeated}


def ping(
    store: Store,
    settings: Settings,
    driver: int,
    lat: float,
    lon: float,
    *,
    at: datetime | None = None,
    dry_run: bool = False,
) -> PingResult:
    """Keep one position and return OK, or OK_REPLAY if that instant of the driver is known already.

    Refused and recorded: NOT_FOUND for an unknown driver, CLOCK_SKEW for an instant further in the
    future than max_skew. Raises Usage for impossible degrees, and for 0, 0: a phone without a fix.
    """
    if not (math.isfinite(lat) and math.isfinite(lon) and abs(lat) <= 90 and abs(lon) <= 180):
        raise Usage("the position must be degrees: latitude -90 to 90, longitude -180 to 180")
    if lat == lon == 0:
        raise Usage("position 0, 0 is no place; a phone says so when it does not know where it is")
    now = store.clock()
    when = at or now
    code, repeated = _check(store, settings, driver, lat, lon, when, now)
    if dry_run:
        return PingResult(code=code, at=when, repeated=repeated, dry_run=True)
    if code == ActResult.OK and not store.ping(driver, when, lat, lon):
        code = ActResult.OK_REPLAY  # another process was faster
    result = PingResult(code=code, at=when, repeated=repeated)
    if result.refused:
        with store.acting(("driver", driver), drivers=(), actor=f"driver:{driver}") as acting:
            acting.refuse("ping", ("driver", driver), code)
    return result


def _check(
    store: Store,
    settings: Settings,
    driver: int,
    lat: float,
    lon: float,
    at: datetime,
    now: datetime,
) -> tuple[str, bool]:
    """Return the code, and whether the ping before it was at the very same place."""
    frames = store.read(dict(queries(SQL)), {"driver": driver, "at": at})
    if frames["driver"].is_empty():
        return ActResult.NOT_FOUND, False
    if at > now + settings.params("dispatch", Dispatch).max_skew:
        return ActResult.CLOCK_SKEW, False
    last = frames["last"].row(0, named=True) if frames["last"].height else None
    if last and last["at"] == at:
        return ActResult.OK_REPLAY, False
    return ActResult.OK, bool(last and (last["lat"], last["lon"]) == (lat, lon))

"""Instants, windows and the service day. Everything is aware UTC; a market's zone matters only for its days.

A day is a half-open window of instants, so a day on which clocks change has 23 or 25 hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dispatchkit.kernel.errors import BadConfig, Usage

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d(:?\d\d)?)?")


@dataclass(frozen=True, slots=True)
class Window:
    """The instants `since <= t < until`."""

    since: datetime
    until: datetime

    def __contains__(self, instant: datetime) -> bool:
        return self.since <= instant < self.until

    @property
    def length(self) -> timedelta:
        return self.until - self.since

    def slots(self, step: timedelta) -> Iterator[datetime]:
        """Yield the starts of consecutive slots of `step`, the first at `since`."""
        at = self.since
        while at < self.until:
            yield at
            at += step


def parse_instant(text: str) -> datetime:
    """Return an RFC 3339 instant as aware UTC; the zone is required, years 2000 to 2100.

    Raises Usage, naming what came.
    """
    try:
        # fromisoformat alone would also take a bare day, week dates and 19:30:30:45.
        if not _INSTANT.fullmatch(text):
            raise ValueError
        value = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"{text!r} is not an instant; expected e.g. 2026-03-02T19:30:00Z") from None
    if value.tzinfo is None:
        raise Usage(f"{text!r} has no time zone; expected e.g. {text}Z")
    if not EARLIEST <= value < LATEST:
        raise Usage(f"{text!r} lies outside the years 2000 to 2100")
    return value.astimezone(UTC)


def parse_day(text: str) -> date:
    """Return a calendar day written YYYY-MM-DD, years 2000 to 2099. Raises Usage."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Usage(f"{text!r} is not a day; expected YYYY-MM-DD") from None
    if day.isoformat() != text:  # fromisoformat also takes 20260302 and 2026-W10-1
        raise Usage(f"{text!r} is not a day; expected YYYY-MM-DD")
    if not EARLIEST.year <= day.year < LATEST.year:
        raise Usage(f"{text!r} lies outside the years 2000 to 2099")
    return day


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name. Raises BadConfig."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadConfig(
            f"{name!r} is not a time zone; expected an IANA name such as Europe/Berlin"
        ) from None


def service_day(day: date, tz: str, *, starts_at: time = time(4)) -> Window:
    """Return the window of one service day: local `starts_at` on `day` to the same on the next.

    An operation's night belongs to the evening before it, so a service day starts at 04:00 by default.
    On the nights when clocks change the window is 23 or 25 hours long.
    """
    local = zone(tz)
    begin = datetime.combine(day, starts_at, local).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), starts_at, local).astimezone(UTC)
    return Window(begin, end)


def day_of(instant: datetime, tz: str, *, starts_at: time = time(4)) -> date:
    """Return the service day that an instant belongs to."""
    local = instant.astimezone(zone(tz))
    today = local.date()
    return (
        today
        if instant >= service_day(today, tz, starts_at=starts_at).since
        else today - timedelta(days=1)
    )


@lru_cache(maxsize=4096)
def rfc3339(instant: datetime) -> str:
    """Return an instant as text with microseconds and `Z`: always 27 characters, so text sorts as time does."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

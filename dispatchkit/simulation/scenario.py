"""Scenario: the size, time and seed of a made-up city, and the numbers that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
import numpy.typing as npt

from dispatchkit.kernel.clock import Window, service_day
from dispatchkit.kernel.errors import Usage
from dispatchkit.kernel.stable_random import stable_id

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Times inside the simulation are whole milliseconds since the start of the service day (04:00).
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
NEVER = 2**60  # an event that does not happen; every real time is smaller

WEEKDAYS = (0.86, 0.88, 0.93, 1.0, 1.18, 1.22, 1.05)  # relative orders, Monday first
RUSHES = (  # local hour of the peak, spread in hours, share of the orders
    (12.4, 0.9, 0.32),
    (19.2, 1.3, 0.49),
    (15.5, 2.8, 0.19),
)
OPEN, CLOSE = 10.25, 22.5  # local hours between which orders are placed
DAY_STARTS = 4  # local hour


@dataclass(frozen=True)
class Scenario:
    """What a made-up city is asked to be; the same scenario gives the same bytes.

    Raises Usage for a size that no city has.
    """

    orders: int = 1200  # in all days together
    days: int = 2  # service days from `start` on
    seed: int = 1
    start: date = date(2026, 3, 6)
    tz: str = "UTC"  # the zone whose clock has the rushes
    live_until: time = time(19, 30)  # local time at which the last day stops

    def __post_init__(self) -> None:
        if self.days < 1 or self.days > 366:
            raise Usage(f"a city of {self.days} days; expected 1 to 366")
        if not 20 * self.days <= self.orders <= 200_000 * self.days:
            raise Usage(f"{self.orders} orders in {self.days} days; expected 20 to 200,000 a day")
        if not time(13) <= self.live_until <= time(22):
            raise Usage(f"the last day stops at {self.live_until}; expected 13:00 to 22:00")

    def window(self, day: int) -> Window:
        """Return the instants of service day `day`, counted from 0."""
        return service_day(self.start + timedelta(days=day), self.tz)

    def stops_at(self, day: int) -> int:
        """Return the ms at which a day is looked at: the live instant on the last day, else its end."""
        if day < self.days - 1:
            return NEVER - 1
        return round((_hours(self.live_until) - DAY_STARTS) * HOUR)

    @property
    def as_of(self) -> datetime:
        """Return the live instant: the state of the export is the state at this time."""
        last = self.days - 1
        return self.window(last).since + timedelta(milliseconds=self.stops_at(last))

    def orders_by_day(self) -> list[int]:
        """Return the orders of each day; the days differ by weekday and chance, the last is cut."""
        mood = np.exp(random_stream(self.seed, 0, "mood").normal(0, 0.06, self.days))
        weight = self._weekdays() * mood
        weight[-1] *= share_before(_hours(self.live_until))
        bounds = np.rint(np.cumsum(weight) / weight.sum() * self.orders).astype(np.int64)
        return [int(count) for count in np.diff(bounds, prepend=0)]

    def usual_orders(self) -> Floats:
        """Return the orders expected on each whole day, which shifts are staffed for."""
        weekday = self._weekdays()
        missing = weekday[-1] * (1 - share_before(_hours(self.live_until)))
        return np.asarray(self.orders / (weekday.sum() - missing) * weekday, dtype=np.float64)

    def _weekdays(self) -> Floats:
        dates = [self.start + timedelta(days=i) for i in range(self.days)]
        return np.array([WEEKDAYS[date.weekday()] for date in dates])


def random_stream(seed: int, day: int, name: str) -> np.random.Generator:
    """Return the random numbers for one question on one day.

    Streams are independent: a new question or another day never shifts the numbers of others.
    """
    return np.random.Generator(np.random.Philox(key=stable_id(seed, day, name)))


def placement_curve() -> tuple[Floats, Floats]:
    """Return (hours since 04:00, share of a day's orders placed until then), in 5-minute steps."""
    hours = np.arange(OPEN, CLOSE + 1e-9, 1 / 12)
    peak, spread, share = np.array(RUSHES).T[..., None]
    rate = (share / spread * np.exp(-(((hours - peak) / spread) ** 2) / 2)).sum(axis=0)
    placed = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)])
    return hours - DAY_STARTS, placed / placed[-1]


def share_before(hour: float) -> float:
    """Return the share of a day's orders placed before a local hour."""
    return float(np.interp(hour - DAY_STARTS, *placement_curve()))


def _hours(at: time) -> float:
    return at.hour + at.minute / 60 + at.second / 3600

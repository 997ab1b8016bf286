"""What a made-up city is asked to be, and the numbers that follow from it: days, orders a day, the live instant."""

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

SECOND, MINUTE, HOUR = (
    1_000,
    60_000,
    3_600_000,
)  # the city counts in whole milliseconds since a day's start
NEVER = 2**60  # an event that does not happen; every real time is smaller
WEEKDAYS = (
    0.86,
    0.88,
    0.93,
    1.0,
    1.18,
    1.22,
    1.05,
)  # Monday first; mean 1.02, only the ratios matter
RUSHES = (
    (12.4, 0.9, 0.32),
    (19.2, 1.3, 0.49),
    (15.5, 2.8, 0.19),
)  # local hour, spread in hours, share
OPEN, CLOSE = 10.25, 22.5  # local hours between which orders come


@dataclass(frozen=True)
class CityPlan:
    """A city's size, time and seed; the same plan gives the same bytes. The last day stops at `live_until` local time.

    orders: in all days together; days: service days from `start` on; tz: the zone whose clock has the rushes.
    Raises Usage for a size that no city has.
    """

    orders: int = 1200
    days: int = 2
    seed: int = 1
    start: date = date(2026, 3, 6)
    tz: str = "UTC"
    live_until: time = time(19, 30)

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

    def until(self, day: int) -> int:
        """Return the millisecond of the day at which the story stops: NEVER, or the live instant on the last day."""
        return (
            NEVER - 1 if day < self.days - 1 else round(_since_four(_hours(self.live_until)) * HOUR)
        )

    @property
    def as_of(self) -> datetime:
        """Return the instant at which the export stands."""
        last = self.days - 1
        return self.window(last).since + timedelta(milliseconds=self.until(last))

    def orders_by_day(self) -> list[int]:
        """Return how many orders each day has: weekday, a mood of the day, the cut last day; they sum to `orders`."""
        weight = self._weights()
        weight[-1] *= share_before(_hours(self.live_until))
        bounds = np.rint(np.cumsum(weight) / weight.sum() * self.orders).astype(np.int64)
        return [int(count) for count in np.diff(bounds, prepend=0)]

    def usual_orders(self) -> Floats:
        """Return how many orders a planner would expect on each whole day: what shifts are staffed for."""
        weekday = np.array(
            [WEEKDAYS[(self.start + timedelta(days=i)).weekday()] for i in range(self.days)]
        )
        full = self.orders / (
            weekday.sum() - weekday[-1] * (1 - share_before(_hours(self.live_until)))
        )
        return np.asarray(full * weekday, dtype=np.float64)

    def _weights(self) -> Floats:
        mood = np.exp(draws(self.seed, 0, "mood").normal(0, 0.06, self.days))
        return (
            np.array(
                [WEEKDAYS[(self.start + timedelta(days=i)).weekday()] for i in range(self.days)]
            )
            * mood
        )


def draws(seed: int, day: int, stream: str) -> np.random.Generator:
    """Return the random numbers of one question on one day: no other question or day can shift them."""
    return np.random.Generator(np.random.Philox(key=stable_id(seed, day, stream)))


def placement_curve() -> tuple[Floats, Floats]:
    """Return (hours since 04:00, share of a day's orders placed until then), in 5-minute steps."""
    hours = np.arange(OPEN, CLOSE + 1e-9, 1 / 12)
    mid, spread, share = np.array(RUSHES).T[..., None]
    rate = (share / spread * np.exp(-(((hours - mid) / spread) ** 2) / 2)).sum(axis=0)
    placed = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)])
    return hours - 4, placed / placed[-1]


def share_before(hour: float) -> float:
    """Return the share of a day's orders placed before a local hour."""
    return float(np.interp(_since_four(hour), *placement_curve()))


def _hours(at: time) -> float:
    return at.hour + at.minute / 60 + at.second / 3600


def _since_four(hour: float) -> float:
    return hour - 4

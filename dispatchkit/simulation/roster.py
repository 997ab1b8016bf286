"""Roster: the drivers who work on one day, their shifts and breaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatchkit.simulation.geography import CELL_M, FLEET, ORDERS_PER_DRIVER, Geography
from dispatchkit.simulation.scenario import (
    HOUR,
    MINUTE,
    NEVER,
    Floats,
    Ints,
    Scenario,
    random_stream,
)

SHIFTS = (  # start in hours after 04:00, length in hours, share of the drivers
    (6.5, 4.5, 0.40),
    (13.0, 5.75, 0.35),
    (6.5, 9.5, 0.15),
    (12.0, 6.75, 0.10),
)
BREAK_AFTER = 5 * HOUR  # shifts of at least this length have a break


@dataclass(frozen=True)
class Roster:
    """The drivers of one day, by ascending driver number; times in ms of the day.

    A driver's position in these arrays is the `driver_index` of the other modules.
    """

    driver: Ints  # number of the driver in the whole city, from 0
    start: Ints
    end: Ints
    break_at: Ints  # NEVER without a break
    break_for: Ints  # announced length
    overstay: Ints  # how much longer the break lasts
    x: Floats  # where the driver waits at the start of the shift, in metres
    y: Floats
    speed: Floats  # m/s along streets
    stack: Ints  # deliveries carried at once, at most
    reach_m: Ints  # longest delivery that the vehicle is used for

    def __len__(self) -> int:
        return len(self.driver)

    def index_of(self) -> dict[int, int]:
        """Return driver number -> driver_index."""
        return {int(driver): index for index, driver in enumerate(self.driver)}


def day_roster(scenario: Scenario, geography: Geography, day: int) -> Roster:
    """Return the roster of a day: staffed for a usual day of that weekday, within a few per cent."""

    def rng(name: str) -> np.random.Generator:
        return random_stream(scenario.seed, day + 1, name)

    usual = scenario.usual_orders()[day] / ORDERS_PER_DRIVER
    wanted = usual * rng("staffing").normal(1.0, 0.08)
    count = int(np.clip(round(wanted), min(4, geography.drivers), geography.drivers))
    driver = np.sort(rng("roster").permutation(geography.drivers)[:count])

    kind = rng("shift").choice(len(SHIFTS), count, p=[share for _, _, share in SHIFTS])
    quarters = rng("quarter").integers(-2, 3, (count, 2)) * 15 * MINUTE
    start = np.array([start for start, _, _ in SHIFTS])[kind] * HOUR + quarters[:, 0]
    length = np.array([hours for _, hours, _ in SHIFTS])[kind] * HOUR + quarters[:, 1]

    breaks = rng("break")
    break_at = start + length * breaks.uniform(0.35, 0.6, count)
    # Most breaks that would fall between 17:45 and 20:30, the dinner rush, move behind it.
    moved = (break_at > 13.75 * HOUR) & (break_at < 16.5 * HOUR) & (breaks.random(count) < 0.8)
    break_at = np.where(moved, 16.6 * HOUR + (break_at - 13.75 * HOUR) / 3, break_at)
    has_break = (length >= BREAK_AFTER) & (breaks.random(count) < 0.85)
    break_for = breaks.integers(15, 31, count) * MINUTE
    overstay = np.where(breaks.random(count) < 0.2, breaks.integers(1, 5, count), 0) * MINUTE

    zone = geography.base[driver]
    inside = rng("waiting").uniform(0.1, 0.9, (count, 2))
    vehicle = geography.vehicle[driver]
    speed = np.array([speed for _, _, speed, *_ in FLEET])[vehicle]
    return Roster(
        driver=driver,
        start=start.astype(np.int64),
        end=(start + length).astype(np.int64),
        break_at=np.where(has_break, break_at, NEVER).astype(np.int64),
        break_for=break_for,
        overstay=overstay,
        x=(zone % geography.side + inside[:, 0]) * CELL_M,
        y=(zone // geography.side + inside[:, 1]) * CELL_M,
        speed=speed * rng("pace").normal(1.0, 0.06, count).clip(0.8, 1.2),
        stack=np.array([stack for _, _, _, stack, _ in FLEET])[vehicle],
        reach_m=np.array([reach for *_, reach in FLEET])[vehicle],
    )

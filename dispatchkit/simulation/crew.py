"""A day's drivers: who works, from when to when, with which break."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatchkit.simulation.ground import CELL_M, FLEET, ORDERS_PER_DRIVER, Ground
from dispatchkit.simulation.plan import HOUR, MINUTE, NEVER, CityPlan, Floats, Ints, draws

SHIFTS = (
    (6.5, 4.5, 0.40),
    (13.0, 5.75, 0.35),
    (6.5, 9.5, 0.15),
    (12.0, 6.75, 0.10),
)  # h after 04:00, length, share
BREAK_AFTER = 5 * HOUR  # shifts at least this long have a break


@dataclass(frozen=True)
class Crew:
    """The drivers of one day, by ascending driver index; times in ms of the day."""

    driver: Ints  # index into the ground's drivers
    start: Ints
    end: Ints
    break_at: Ints  # NEVER without one
    break_for: Ints  # as announced
    overstay: Ints  # how much longer it lasts
    x: Floats
    y: Floats
    speed: Floats  # m/s along streets
    stack: Ints
    reach_m: Ints

    def __len__(self) -> int:
        return len(self.driver)


def day_crew(plan: CityPlan, ground: Ground, day: int) -> Crew:
    """Return who works on a day: staffed for a usual day of that weekday, give or take a few per cent."""

    def pick(stream: str) -> np.random.Generator:
        return draws(plan.seed, day + 1, stream)

    wanted = plan.usual_orders()[day] / ORDERS_PER_DRIVER * pick("staffing").normal(1.0, 0.08)
    count = int(np.clip(round(wanted), min(4, ground.drivers), ground.drivers))
    driver = np.sort(pick("roster").permutation(ground.drivers)[:count])
    kind = pick("shift").choice(len(SHIFTS), count, p=[share for _, _, share in SHIFTS])
    quarter = pick("quarter").integers(-2, 3, (count, 2)) * 15 * MINUTE
    start = np.array([s for s, _, _ in SHIFTS])[kind] * HOUR + quarter[:, 0]
    length = np.array([h for _, h, _ in SHIFTS])[kind] * HOUR + quarter[:, 1]
    rest = pick("break")
    at = start + length * rest.uniform(0.35, 0.6, count)
    rush = (at > 13.75 * HOUR) & (at < 16.5 * HOUR) & (rest.random(count) < 0.8)
    at = np.where(
        rush, 16.6 * HOUR + (at - 13.75 * HOUR) / 3, at
    )  # few rest between 17:45 and 20:30
    seat = ground.base[driver]
    inside = pick("waiting").uniform(0.1, 0.9, (count, 2))
    vehicle = ground.vehicle[driver]
    return Crew(
        driver=driver,
        start=start.astype(np.int64),
        end=(start + length).astype(np.int64),
        break_at=np.where((length >= BREAK_AFTER) & (rest.random(count) < 0.85), at, NEVER).astype(
            np.int64
        ),
        break_for=rest.integers(15, 31, count) * MINUTE,
        overstay=np.where(rest.random(count) < 0.2, rest.integers(1, 5, count), 0) * MINUTE,
        x=(seat % ground.side + inside[:, 0]) * CELL_M,
        y=(seat // ground.side + inside[:, 1]) * CELL_M,
        speed=np.array([speed for _, _, speed, *_ in FLEET])[vehicle]
        * pick("pace").normal(1.0, 0.06, count).clip(0.8, 1.2),
        stack=np.array([stack for _, _, _, stack, _ in FLEET])[vehicle],
        reach_m=np.array([reach for *_, reach in FLEET])[vehicle],
    )

"""A day's orders: who orders when, from where, for how much, and what chance has in store for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatchkit.simulation.ground import Ground
from dispatchkit.simulation.plan import (
    HOUR,
    MINUTE,
    NEVER,
    SECOND,
    CityPlan,
    Floats,
    Ints,
    draws,
    placement_curve,
)

LEAD = 8 * MINUTE  # the search for a driver begins this long before food is ready
CIRCUITY = 1.3  # street metres for each metre of straight line
BETA = (0.4515, 3.992)  # decline propensity, fitted to published counts (design, semantics 9)
ASKS = 8  # most offers in one episode


@dataclass(frozen=True)
class Demand:
    """One day's orders in order of placement; times in ms of the day, distances in metres, money in cents."""

    first_id: int
    placed: Ints
    customer: Ints
    merchant: Ints
    x: Floats  # drop-off
    y: Floats
    way_m: Floats  # merchant to door, along streets
    ready_said: Ints  # what the kitchen told at placement
    ready: Ints  # when the food was ready
    dispatch: Ints
    promised: Ints
    eta: Ints  # quoted at placement
    items: Ints
    goods: Ints
    fee: Ints
    tip: Ints
    cancel: Ints  # when the customer loses interest, NEVER for most
    patience: Ints  # when an unserved customer leaves
    propensity: Floats  # chance that a driver declines
    fate: Ints  # 0 delivered, 1 nobody at the door, 2 refused and brought back

    def __len__(self) -> int:
        return len(self.placed)


def day_demand(plan: CityPlan, ground: Ground, day: int, first_id: int, count: int) -> Demand:
    """Return the `count` orders of one day; the first has `first_id`."""

    def pick(stream: str) -> np.random.Generator:
        return draws(plan.seed, day + 1, stream)

    placed = _placed(plan, day, count, pick("placed"))
    customer, merchant = _who(ground, count, pick("customer"), pick("merchant"))
    x, y = _door(ground, customer, pick("door"))
    way = (
        CIRCUITY * np.hypot(x - ground.merchants.x[merchant], y - ground.merchants.y[merchant])
        + 60.0
    )
    ahead = np.where(
        pick("preorder").random(count) < 0.04, pick("ahead").integers(20, 90, count) * MINUTE, 0
    )
    rush = 1 + 0.25 * np.exp(-(((placed / HOUR - 15.2) / 1.1) ** 2))
    prep = ground.prep_s[merchant] * SECOND * rush
    ready_said = placed + ahead + np.rint(prep / MINUTE).astype(np.int64) * MINUTE
    ready = placed + ahead + (prep * pick("prep").lognormal(-0.02, 0.20, count)).astype(np.int64)
    eta = ready_said + (way / 4.9 * SECOND).astype(np.int64) + 11 * MINUTE
    five = 5 * MINUTE
    goods = (
        np.rint(np.clip(pick("goods").gamma(4.5, 720, count), 800, 15_000) / 5).astype(np.int64) * 5
    )
    gives = pick("tip").random((count, 2))
    return Demand(
        first_id=first_id,
        placed=placed,
        customer=customer,
        merchant=merchant,
        x=x,
        y=y,
        way_m=way,
        ready_said=ready_said,
        ready=ready,
        dispatch=np.maximum(placed, ready_said - LEAD),
        promised=-(-(eta + 7 * MINUTE) // five) * five,
        eta=eta,
        items=1 + pick("items").poisson(1.6, count),
        goods=goods,
        fee=199 + (way / 1000 * 70).astype(np.int64) // 10 * 10,
        tip=np.where(
            gives[:, 0] < 0.55, (goods * (0.05 + 0.15 * gives[:, 1])).astype(np.int64) // 10 * 10, 0
        ),
        cancel=_second_thoughts(placed + ahead // 2, pick("cancel")),
        patience=placed + ahead + pick("patience").integers(25, 61, count) * MINUTE,
        propensity=pick("propensity").beta(*BETA, count),
        fate=np.searchsorted([0.9965, 0.9985], pick("fate").random(count)).astype(np.int64),
    )


def _placed(plan: CityPlan, day: int, count: int, pick: np.random.Generator) -> Ints:
    hours, share = placement_curve()
    last = float(np.interp(plan.until(day) / HOUR, hours, share))
    placed = np.sort((np.interp(pick.random(count) * last, share, hours) * HOUR).astype(np.int64))
    return np.asarray(np.minimum(placed, plan.until(day) - 1), dtype=np.int64)


def _who(
    ground: Ground, count: int, who: np.random.Generator, where: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return (customer, merchant) indexes: regulars order more, and from their own zone or one beside it."""
    total = np.cumsum(ground.homes.weight)
    customer = np.searchsorted(total, who.random(count) * total[-1]).clip(0, len(total) - 1)
    side, home = ground.side, ground.homes.zone[customer]
    step = np.where(where.random((count, 2)) < 0.62, 0, where.choice([-1, 1], (count, 2)))
    zone = np.clip(home // side + step[:, 0], 0, side - 1) * side + np.clip(
        home % side + step[:, 1], 0, side - 1
    )
    chance = where.random(count)
    merchant = np.zeros(count, dtype=np.int64)
    for index in range(side * side):  # each zone has its merchants and their popularity
        mine, here = np.flatnonzero(zone == index), np.flatnonzero(ground.merchants.zone == index)
        popular = np.cumsum(ground.merchants.weight[here])
        merchant[mine] = here[
            np.searchsorted(popular, chance[mine] * popular[-1]).clip(0, len(here) - 1)
        ]
    return customer.astype(np.int64), merchant


def _door(ground: Ground, customer: Ints, pick: np.random.Generator) -> tuple[Floats, Floats]:
    """Return drop-off points: home, or somewhere within a few hundred metres of it."""
    away = pick.normal(0, 250, (len(customer), 2)) * (pick.random((len(customer), 1)) < 0.3)
    return (
        np.clip(ground.homes.x[customer] + away[:, 0], 10, ground.width - 10),
        np.clip(ground.homes.y[customer] + away[:, 1], 10, ground.width - 10),
    )


def _second_thoughts(placed: Ints, pick: np.random.Generator) -> Ints:
    after = (pick.exponential(9.0, len(placed)) * MINUTE).astype(np.int64) + 20 * SECOND
    return np.where(pick.random(len(placed)) < 0.022, placed + after, NEVER)

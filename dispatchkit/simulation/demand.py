"""Demand: the orders of one day, with what customers and kitchens will do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dispatchkit.simulation.geography import Geography
from dispatchkit.simulation.scenario import (
    HOUR,
    MINUTE,
    NEVER,
    SECOND,
    Floats,
    Ints,
    Scenario,
    placement_curve,
    random_stream,
)

LEAD = 8 * MINUTE  # the search for a driver begins this long before the food is ready
CIRCUITY = 1.3  # street metres for each metre of straight line
# Beta distribution of the chance that a driver declines, fitted to published counts.
DECLINE_BETA = (0.4515, 3.992)
MAX_OFFERS = 8  # in one episode
DELIVERED, NOBODY_HOME, BROUGHT_BACK = 0, 1, 2  # what happens at the door


@dataclass(frozen=True)
class Demand:
    """The orders of one day in order of placement; times in ms of the day, money in cents."""

    first_id: int  # id of the first order; the others follow
    placed: Ints
    customer: Ints
    merchant: Ints
    x: Floats  # drop-off, metres
    y: Floats
    way_m: Floats  # from the merchant to the door, along streets
    ready_estimate: Ints  # the kitchen's estimate at placement
    ready: Ints  # when the food is ready
    dispatch: Ints  # when the search for a driver begins
    promised: Ints
    eta: Ints  # quoted at placement
    items: Ints
    goods: Ints
    fee: Ints
    tip: Ints
    cancel: Ints  # when the customer cancels, NEVER for most
    patience: Ints  # when the customer leaves if no driver was found
    propensity: Floats  # chance that a driver declines
    fate: Ints  # DELIVERED, NOBODY_HOME or BROUGHT_BACK

    def __len__(self) -> int:
        return len(self.placed)


def day_demand(
    scenario: Scenario, geography: Geography, day: int, first_id: int, count: int
) -> Demand:
    """Return the `count` orders of one day; the first has `first_id`."""

    def rng(name: str) -> np.random.Generator:
        return random_stream(scenario.seed, day + 1, name)

    placed = _placed(scenario, day, count, rng("placed"))
    customer, merchant = _parties(geography, count, rng("customer"), rng("merchant"))
    x, y = _doors(geography, customer, rng("door"))
    merchants = geography.merchants
    straight_m = np.hypot(x - merchants.x[merchant], y - merchants.y[merchant])
    way = CIRCUITY * straight_m + 60.0

    is_preorder = rng("preorder").random(count) < 0.04
    ahead = np.where(is_preorder, rng("ahead").integers(20, 90, count) * MINUTE, 0)
    # Kitchens are slower around 19:15.
    slower = 1 + 0.25 * np.exp(-(((placed / HOUR - 15.2) / 1.1) ** 2))
    prep = geography.prep_s[merchant] * SECOND * slower
    ready_estimate = placed + ahead + np.rint(prep / MINUTE).astype(np.int64) * MINUTE
    ready = placed + ahead + (prep * rng("prep").lognormal(-0.02, 0.20, count)).astype(np.int64)

    eta = ready_estimate + (way / 4.9 * SECOND).astype(np.int64) + 11 * MINUTE
    step = 5 * MINUTE  # promises are rounded up to it
    basket = np.clip(rng("goods").gamma(4.5, 720, count), 800, 15_000)
    goods = np.rint(basket / 5).astype(np.int64) * 5
    tips = rng("tip").random((count, 2))
    tip = (goods * (0.05 + 0.15 * tips[:, 1])).astype(np.int64) // 10 * 10
    return Demand(
        first_id=first_id,
        placed=placed,
        customer=customer,
        merchant=merchant,
        x=x,
        y=y,
        way_m=way,
        ready_estimate=ready_estimate,
        ready=ready,
        dispatch=np.maximum(placed, ready_estimate - LEAD),
        promised=-(-(eta + 7 * MINUTE) // step) * step,
        eta=eta,
        items=1 + rng("items").poisson(1.6, count),
        goods=goods,
        fee=199 + (way / 1000 * 70).astype(np.int64) // 10 * 10,
        tip=np.where(tips[:, 0] < 0.55, tip, 0),
        cancel=_cancellations(placed + ahead // 2, rng("cancel")),
        patience=placed + ahead + rng("patience").integers(25, 61, count) * MINUTE,
        propensity=rng("propensity").beta(*DECLINE_BETA, count),
        fate=np.searchsorted([0.9965, 0.9985], rng("fate").random(count)).astype(np.int64),
    )


def _placed(scenario: Scenario, day: int, count: int, rng: np.random.Generator) -> Ints:
    """Return when the orders of a day are placed, all before the day stops."""
    stops_at = scenario.stops_at(day)
    hours, share = placement_curve()
    last = float(np.interp(stops_at / HOUR, hours, share))
    placed = np.sort((np.interp(rng.random(count) * last, share, hours) * HOUR).astype(np.int64))
    return np.asarray(np.minimum(placed, stops_at - 1), dtype=np.int64)


def _parties(
    geography: Geography,
    count: int,
    customer_rng: np.random.Generator,
    merchant_rng: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Return (customer, merchant) numbers.

    Some customers order more than others; most order from their own zone or one beside it.
    """
    homes, merchants, side = geography.homes, geography.merchants, geography.side
    total = np.cumsum(homes.weight)
    customer = np.searchsorted(total, customer_rng.random(count) * total[-1])
    customer = customer.clip(0, len(total) - 1)

    home = homes.zone[customer]
    stays = merchant_rng.random((count, 2)) < 0.62
    step = np.where(stays, 0, merchant_rng.choice([-1, 1], (count, 2)))
    row = np.clip(home // side + step[:, 0], 0, side - 1)
    zone = row * side + np.clip(home % side + step[:, 1], 0, side - 1)

    chance = merchant_rng.random(count)
    merchant = np.zeros(count, dtype=np.int64)
    for index in range(side * side):
        orders = np.flatnonzero(zone == index)
        local = np.flatnonzero(merchants.zone == index)
        popular = np.cumsum(merchants.weight[local])
        chosen = np.searchsorted(popular, chance[orders] * popular[-1])
        merchant[orders] = local[chosen.clip(0, len(local) - 1)]
    return customer.astype(np.int64), merchant


def _doors(geography: Geography, customer: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return drop-off points: the home, or for 30 % a place some hundred metres away."""
    away = rng.normal(0, 250, (len(customer), 2)) * (rng.random((len(customer), 1)) < 0.3)
    return (
        np.clip(geography.homes.x[customer] + away[:, 0], 10, geography.width - 10),
        np.clip(geography.homes.y[customer] + away[:, 1], 10, geography.width - 10),
    )


def _cancellations(placed: Ints, rng: np.random.Generator) -> Ints:
    """Return when customers cancel: 2.2 % of them, mostly within minutes."""
    after = (rng.exponential(9.0, len(placed)) * MINUTE).astype(np.int64) + 20 * SECOND
    return np.where(rng.random(len(placed)) < 0.022, placed + after, NEVER)

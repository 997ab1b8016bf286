"""Cents are whole, rounded once and away from zero; a split never loses or makes one."""

from __future__ import annotations

from fractions import Fraction

import pytest

from dispatchkit.kernel.money import dollars, split, to_cents


@pytest.mark.parametrize(
    ("amount", "cents"),
    [
        (Fraction(1, 2), 1),
        (Fraction(-1, 2), -1),
        (Fraction(3, 2), 2),
        (Fraction(5, 2), 3),  # banker's rounding would say 2
        (Fraction(-5, 2), -3),
        (Fraction(49, 100), 0),
        (Fraction(-49, 100), 0),
        (7, 7),
        (Fraction(10**30 * 2 + 1, 2), 10**30 + 1),
    ],
)
def test_halves_round_away_from_zero(amount, cents):
    assert to_cents(amount) == cents


def test_float_is_never_money():
    with pytest.raises(TypeError, match="never a float"):
        to_cents(0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("total", "weights", "shares"),
    [
        (100, {1: 1, 2: 1, 3: 1}, {1: 34, 2: 33, 3: 33}),  # equal remainders: the lowest id
        (100, {3: 1, 2: 1, 1: 1}, {1: 34, 2: 33, 3: 33}),
        (10, {1: 1, 2: 2}, {1: 3, 2: 7}),  # 3.33 and 6.67: the larger remainder
        (5, {8: 0, 9: 0}, {8: 3, 9: 2}),  # no weights: equal shares
        (5, {8: 0, 9: 1}, {8: 0, 9: 5}),
        (0, {1: 3, 2: 4}, {1: 0, 2: 0}),
        (1, {1: 1, 2: 10**18}, {1: 0, 2: 1}),
    ],
)
def test_split_follows_weights_by_largest_remainder(total, weights, shares):
    assert split(total, weights) == shares


@pytest.mark.parametrize(("total", "weights"), [(1, {}), (-1, {1: 1}), (1, {1: 2, 2: -1})])
def test_split_without_sense_is_refused(total, weights):
    with pytest.raises(ValueError, match="a split needs"):
        split(total, weights)


@pytest.mark.parametrize(
    ("cents", "text"),
    [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (1234567, "12,345.67"), (-100, "-1.00")],
)
def test_cents_read_as_dollars(cents, text):
    assert dollars(cents) == text

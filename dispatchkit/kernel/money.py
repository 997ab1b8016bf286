"""Money is whole cents. Rounding happens once per line, half away from zero; splits always sum to what was split."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction


def to_cents(amount: Fraction | int) -> int:
    """Return an exact amount of cents as whole cents, halves away from zero. Floats are refused by type."""
    if isinstance(amount, float):
        raise TypeError("money is never a float; give a Fraction or whole cents")
    exact = Fraction(amount)
    sign = -1 if exact < 0 else 1
    return sign * int(abs(exact) + Fraction(1, 2))


def split(total: int, weights: Mapping[int, int]) -> dict[int, int]:
    """Return `total` cents divided over ids in proportion to whole weights, summing exactly to `total`.

    Largest-remainder method (Hamilton): floors first, leftover cents by largest remainder, ties by ascending id.
    All-zero weights mean equal shares. Raises ValueError on no ids, a negative weight or a negative total.
    """
    if not weights or total < 0 or min(weights.values()) < 0:
        raise ValueError("a split needs at least one id, and neither total nor weights below zero")
    whole = sum(weights.values())
    shares = dict.fromkeys(weights, 1) if whole == 0 else dict(weights)
    whole = whole or len(shares)
    floors = {key: total * weight // whole for key, weight in shares.items()}
    left = total - sum(floors.values())
    by_remainder = sorted(shares, key=lambda key: (-(total * shares[key] % whole), key))
    for key in by_remainder[:left]:
        floors[key] += 1
    return floors


def dollars(cents: int) -> str:
    """Return cents as people read them: 1234567 -> 12,345.67."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100:,}.{abs(cents) % 100:02d}"

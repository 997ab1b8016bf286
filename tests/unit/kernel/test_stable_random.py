"""Random numbers depend on their words alone: pinned values, uniform and independent."""

from __future__ import annotations

from itertools import pairwise
from statistics import correlation, fmean, stdev

import pytest

from dispatchkit.kernel.stable_random import normal, stable_id, uniform


@pytest.mark.parametrize(
    ("words", "u", "id"),
    [  # computed with sha256sum over the length-prefixed words
        ((7, "accept", 42), 0.9450555791543761, 8716599202046068201),
        ((0, "speed", 1, 2), 0.3358624343342623, 3097784185068609326),
        ((-3, "decline", "x", 9), 0.7054939639931018, 6507033299663805431),
    ],
)
def test_known_words_give_known_numbers(words, u, id):
    assert uniform(*words) == u
    assert stable_id(*words) == id


def test_words_do_not_run_into_each_other():
    draws = {
        uniform(1, "a", "bc"),
        uniform(1, "ab", "c"),
        uniform(1, "abc"),
        uniform(1, "a", "b", "c"),
        uniform(1, "a", ""),
    }
    assert len(draws) == 5


def test_draw_is_independent_of_earlier_draws():
    forwards = [uniform(5, "accept", i) for i in range(50)]
    backwards = [uniform(5, "accept", i) for i in reversed(range(50))]
    assert forwards == backwards[::-1]


def test_uniform_numbers_fill_unit_interval_evenly():
    draws = [uniform(11, "accept", i) for i in range(20_000)]
    counts = [0] * 20
    for u in draws:
        assert 0 < u < 1
        counts[int(u * 20)] += 1
    chi2 = sum((count - 1000) ** 2 / 1000 for count in counts)
    assert chi2 < 43.8  # 19 degrees of freedom, one in a thousand


@pytest.mark.parametrize("other", [(12, "accept"), (11, "decline")])
def test_seeds_and_streams_are_independent(other):
    pairs = [(uniform(11, "accept", i), uniform(*other, i)) for i in range(10_000)]
    assert abs(correlation(*zip(*pairs, strict=True))) < 0.04


def test_neighbouring_ids_are_independent():
    draws = [uniform(11, "accept", i) for i in range(10_001)]
    assert abs(correlation(*zip(*pairwise(draws), strict=True))) < 0.04


def test_normal_numbers_have_mean_zero_and_deviation_one():
    draws = [normal(3, "error", i) for i in range(10_000)]
    assert abs(fmean(draws)) < 0.04
    assert abs(stdev(draws) - 1) < 0.03


def test_keys_are_positive_fit_bigint_and_differ():
    keys = [stable_id("offer", delivery, ask) for delivery in range(200) for ask in range(50)]
    assert all(0 < k < 2**63 for k in keys)
    assert len(set(keys)) == len(keys)

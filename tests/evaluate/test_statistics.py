"""Intervals and tests of differences: hand-computed cases, and what must hold of any."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.evaluate.statistics import (
    Coverage,
    area,
    difference,
    holm,
    interval,
    resampled,
    risk_coverage,
    wilson,
)


def test_wilsons_interval_is_the_published_one() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_the_interval_of_a_mean_covers_it_about_19_times_in_20() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = interval(generator.normal(0.3, 0.2, 40).tolist())
        covered += found.low <= 0.3 <= found.high
    assert 178 <= covered <= 199


def test_the_bootstrap_draws_from_a_fixed_seed() -> None:
    generator = np.random.default_rng(5)
    ours, theirs = generator.random(40).round(2).tolist(), generator.random(40).round(2).tolist()
    assert interval(ours) == pytest.approx((0.4875, 0.3884937, 0.5857562, 40))
    assert resampled(ours, lambda some: float(np.percentile(some, 90))) == pytest.approx(
        (0.882, 0.81, 0.97, 40)
    )
    found = difference(ours, theirs)
    assert (found.value, found.low, found.high, found.p) == pytest.approx(
        (-0.0605, -0.1827687, 0.05775, 0.3401660), abs=1e-6
    )


def test_the_interval_of_one_value_is_the_value() -> None:
    assert interval([0.5]) == (0.5, 0.5, 0.5, 1)
    assert resampled(["one"], len) == (1, 1, 1, 1)


def test_mcnemars_test_is_exact() -> None:
    ours, theirs = [1.0] * 9 + [0.0] + [1.0] * 30, [0.0] * 9 + [1.0] + [1.0] * 30
    found = difference(ours, theirs, binary=True)
    assert found.p == pytest.approx(float(Fraction(2 * (comb(10, 0) + comb(10, 1)), 2**10)))
    assert (found.value, found.cases, found.test, found.is_chance) == (0.2, 40, "McNemar", False)


def test_the_randomisation_test_of_few_pairs_counts_every_way_to_exchange_them() -> None:
    ours, theirs = [0.9, 0.8, 0.7, 0.2], [0.5, 0.1, 0.6, 0.4]
    apart = np.subtract(ours, theirs)
    means = [np.mean(apart * signs) for signs in product((1, -1), repeat=4)]
    exact = np.mean([abs(m) >= abs(apart.mean()) - 1e-12 for m in means])
    assert difference(ours, theirs).p == pytest.approx(exact)


def test_no_difference_is_chance() -> None:
    for binary in (True, False):
        found = difference([1.0, 0.0, 1.0], [1.0, 0.0, 1.0], binary)
        assert (found.value, found.low, found.high, found.p, found.is_chance) == (0, 0, 0, 1, True)


def test_chance_is_called_significant_about_once_in_twenty() -> None:
    generator = np.random.default_rng(2)
    called = sum(
        not difference(generator.random(30).tolist(), generator.random(30).tolist()).is_chance
        for _ in range(120)
    )
    assert called <= 14


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_other_way_round_the_difference_is_the_opposite(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = map(list, zip(*pairs, strict=True))
    one, other = difference(ours, theirs), difference(theirs, ours)
    assert one.value == pytest.approx(-other.value)
    assert one.p == pytest.approx(other.p, abs=0.03)
    assert one.low - 1e-9 <= one.value <= one.high + 1e-9


def test_holms_adjustment_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5}) == {"a": 0.04, "b": 0.09, "c": 0.09, "d": 0.5}
    assert holm({}) == {}


def test_risk_by_coverage_by_hand() -> None:
    curve = risk_coverage([0.9, 0.8, 0.8, 0.1], [False, True, False, True], of=5)
    assert curve == [Coverage(0.2, 0.0), Coverage(0.6, 1 / 3), Coverage(0.8, 0.5)]
    assert area(curve) == pytest.approx((0.2 * 0 + 0.4 / 3 + 0.2 * 0.5) / 0.8)
    assert area([]) == 0

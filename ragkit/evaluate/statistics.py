"""How sure a number is, and whether a difference could be chance.

An interval holds the mean at 95 %: Wilson's for shares of yes and no, else the bootstrap's over the cases.  Two pipelines are
compared on the cases that both have a value for: McNemar's exact test for yes and no, else the paired randomisation test,
with the bootstrap interval of the mean difference; p-values of several comparisons are adjusted by Holm's method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
T = TypeVar("T")

_RESAMPLES = 5_000
_SEED = 0


class Interval(NamedTuple):
    """A mean over *cases* values, and where it lies at 95 %."""

    value: float
    low: float
    high: float
    cases: int


def interval(values: Sequence[float], binary: bool = False) -> Interval:
    """The mean of *values* (at least one) with its interval."""
    given = np.asarray(values, dtype=np.float64)
    if binary:
        return Interval(float(given.mean()), *wilson(int(given.sum()), len(given)), len(given))
    low, high = np.percentile(_resampled(given), [2.5, 97.5])
    return Interval(float(given.mean()), float(low), float(high), len(given))


def wilson(right: int, of: int) -> tuple[float, float]:
    """Wilson's score interval of a share, at 95 %."""
    z, p = 1.959964, right / of
    middle = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def resampled(items: Sequence[T], statistic: Callable[[Sequence[T]], float], times: int = 500) -> Interval:
    """Any statistic of *items* (at least one), with its bootstrap interval."""
    picks = np.random.default_rng(_SEED).integers(0, len(items), (times, len(items)))
    low, high = np.percentile([statistic([items[i] for i in row]) for row in picks], [2.5, 97.5])
    return Interval(statistic(items), float(low), float(high), len(items))


def macro(groups: Sequence[Sequence[float]]) -> Interval:
    """The mean of the means of *groups* (of at least one value each), which all count the same; resampled within each."""
    given = [np.asarray(values, dtype=np.float64) for values in groups]
    means = np.mean([_resampled(values, seed) for seed, values in enumerate(given)], axis=0)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(
        float(np.mean([values.mean() for values in given])), float(low), float(high), sum(map(len, given))
    )


def _resampled(values: Vector, seed: int = _SEED) -> Vector:
    """Means of resamples of *values*, in slices that fit into memory."""
    generator = np.random.default_rng(seed)
    at_once = max(1, 2_000_000 // len(values))
    means = []
    for first in range(0, _RESAMPLES, at_once):
        picks = generator.integers(0, len(values), (min(at_once, _RESAMPLES - first), len(values)))
        means.append(values[picks].mean(axis=1))
    return np.concatenate(means)


@dataclass(frozen=True)
class Difference:
    """How far one pipeline is ahead of another on the same cases: the mean of the paired differences.

    `p`: how often chance alone would make a difference as large; adjusted, if several comparisons were made at once.
    """

    value: float
    low: float
    high: float
    cases: int
    p: float
    test: Literal["McNemar", "randomisation"]

    @property
    def is_chance(self) -> bool:
        """Could it be chance, at 5 %?"""
        return self.p >= 0.05


def difference(ours: Sequence[float], theirs: Sequence[float], binary: bool = False) -> Difference:
    """Compare paired values (at least one pair)."""
    apart = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    low, high = np.percentile(_resampled(apart), [2.5, 97.5])
    p = _mcnemar(apart) if binary else _randomisation(apart)
    return Difference(
        float(apart.mean()), float(low), float(high), len(apart), p, "McNemar" if binary else "randomisation"
    )


def _mcnemar(apart: Vector) -> float:
    """The exact test: of the cases where only one of the two is right, are more than half on one side?"""
    from scipy.stats import binomtest

    ahead, behind = int((apart > 0).sum()), int((apart < 0).sum())
    return float(binomtest(ahead, ahead + behind).pvalue) if ahead + behind else 1.0


def _randomisation(apart: Vector) -> float:
    """Were each pair's two values exchanged at random, how often would the means differ so much?  Exact for few pairs."""
    from scipy.stats import permutation_test

    if not apart.any() or len(apart) == 1:
        return 1.0
    done = permutation_test(
        (apart,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=10_000,
        batch=max(1, 2_000_000 // len(apart)),
        rng=np.random.default_rng(_SEED),
    )
    return min(1.0, float(done.pvalue))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjustment: what several comparisons together may claim."""
    adjusted, last = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda n: p_values[n])):
        last = max(last, min(1.0, p_values[name] * (len(p_values) - rank)))
        adjusted[name] = last
    return {name: adjusted[name] for name in p_values}


class Coverage(NamedTuple):
    """Of the most confident answers, the share of all questions that they are, and how many of them are wrong."""

    coverage: float
    risk: float


def risk_coverage(confidence: Sequence[float], wrong: Sequence[bool], of: int) -> list[Coverage]:
    """The curve of "Selective Classification for Deep Neural Networks": risk among the answers given, by how many of *of*
    questions are answered.  Answers of the same confidence stand or fall together.
    """
    order = sorted(range(len(confidence)), key=lambda i: -confidence[i])
    curve, errors = [], 0
    for place, i in enumerate(order, 1):
        errors += wrong[i]
        if place == len(order) or confidence[order[place]] != confidence[i]:
            curve.append(Coverage(place / of, errors / place))
    return curve


def area(curve: Sequence[Coverage]) -> float:
    """The mean risk over the coverages of a curve (AURC): 0 is perfect."""
    total, before = 0.0, 0.0
    for point in curve:
        total += (point.coverage - before) * point.risk
        before = point.coverage
    return total / before if before else 0.0

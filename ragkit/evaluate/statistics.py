"""Confidence intervals, and tests of whether a difference could be chance.

An interval holds the mean at 95 %: Wilson's for shares of yes and no, else the bootstrap's over the cases.
Two pipelines are compared on the cases that both have a value for: McNemar's exact test for yes and no, else
the paired randomisation test, with the bootstrap interval of the mean difference; p-values of several
comparisons are adjusted by Holm's method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

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
    low, high = wilson(int(given.sum()), len(given)) if binary else _bootstrap(given)
    return Interval(float(given.mean()), low, high, len(given))


def wilson(right: int, of: int) -> tuple[float, float]:
    """Wilson's score interval of a share, at 95 %."""
    from scipy.stats import binomtest

    bounds = binomtest(right, of).proportion_ci(method="wilson")
    return float(bounds.low), float(bounds.high)


def resampled(items: Sequence[T], statistic: Callable[[Sequence[T]], float], times: int = 500) -> Interval:
    """Any statistic of *items* (at least one), with its bootstrap interval."""

    def of_picks(picks: NDArray[np.int_]) -> float:
        return statistic([items[i] for i in picks])

    low, high = _bootstrap(np.arange(len(items)), of_picks, times)
    return Interval(statistic(items), low, high, len(items))


def _bootstrap(
    values: NDArray[Any], statistic: Callable[..., Any] = np.mean, times: int = _RESAMPLES
) -> tuple[float, float]:
    """The percentile interval of a statistic at 95 %; that of one value is the statistic itself."""
    from scipy.stats import bootstrap

    if len(values) == 1:
        return float(statistic(values)), float(statistic(values))
    bounds = bootstrap(
        (values,),
        statistic,
        method="percentile",
        n_resamples=times,
        batch=_batch(values),
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(bounds.low), float(bounds.high)


def _batch(values: NDArray[Any]) -> int:
    """How many resamples are drawn at once: 2 million values, so that they fit into memory."""
    return max(1, 2_000_000 // len(values))


@dataclass(frozen=True)
class Difference:
    """How far one pipeline is ahead of another on the same cases: the mean of the paired differences.

    `p`: how often chance alone would make a difference as large; adjusted, if several comparisons were made
    at once.
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
    p = _mcnemar(apart) if binary else _randomisation(apart)
    test: Literal["McNemar", "randomisation"] = "McNemar" if binary else "randomisation"
    return Difference(float(apart.mean()), *_bootstrap(apart), len(apart), p, test)


def _mcnemar(apart: Vector) -> float:
    """The exact test: of the cases where only one of the two is right, are more than half on one side?"""
    from scipy.stats import binomtest

    ahead, behind = int((apart > 0).sum()), int((apart < 0).sum())
    return float(binomtest(ahead, ahead + behind).pvalue) if ahead + behind else 1.0


def _randomisation(apart: Vector) -> float:
    """The p-value of a randomisation test, which swaps the two values of pairs at random.

    It is how often the means then differ at least as much; exact for few pairs.
    """
    from scipy.stats import permutation_test

    if not apart.any() or len(apart) == 1:
        return 1.0
    done = permutation_test(
        (apart,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=10_000,
        batch=_batch(apart),
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
    """A point of a risk-coverage curve: the share of questions answered, and of those answers that are wrong.

    The answers are the most confident ones.
    """

    coverage: float
    risk: float


def risk_coverage(confidence: Sequence[float], wrong: Sequence[bool], of: int) -> list[Coverage]:
    """The risk-coverage curve: the share of wrong answers, by the share of *of* questions answered.

    Answers of the same confidence are one point.  (Source: "Selective Classification for Deep Neural
    Networks".)
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

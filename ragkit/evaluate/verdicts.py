"""What many verdicts come to: configurations ranked by a judge's preferences, and how far a judge agrees with people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from ragkit.errors import UsageError
from ragkit.evaluate.judge import Winner
from ragkit.evaluate.statistics import Interval, wilson

Floats = NDArray[np.float64]

# --- many preferences to a ranking


@dataclass(frozen=True)
class Match:
    """Two configurations that answered the same question, by name, and which of them did better."""

    question: str
    first: str
    second: str
    outcome: Winner


@dataclass(frozen=True)
class Ranked:
    """A configuration, its strength with a 95 % interval, and its rank.

    `strength` is the natural log of the odds of winning against a competitor of mean strength: 0 is a coin toss, 1 wins
    73 %; the difference of two strengths is that between the two; times 174 it is on Elo's scale.
    `rank` is 1 plus the number of those that are stronger in at least 97.5 % of the resamples, so those that cannot be
    told apart share one.
    """

    name: str
    strength: float
    low: float
    high: float
    rank: int


def bradley_terry(
    matches: Sequence[Match],
    names: Sequence[str],
    prior: PositiveFloat = 0.5,
    resamples: PositiveInt = 1000,
    seed: int = 0,
) -> list[Ranked]:
    """*names* by strength, best first, as *matches* tell (a tie is half a win each); the order of both is irrelevant.

    Every pair is taken to have tied `prior` times besides, so that one that always wins has a finite strength.  The
    interval is from resampling questions, not matches, as those of one question depend on each other; each question,
    and the prior, gets a random weight that is never 0, so an interval has a width even where all questions agree.
    (Sources: "Rank Analysis of Incomplete Block Designs", "The Bayesian Bootstrap"; solved by the method of "Fast and
    Accurate Inference of Plackett-Luce Models".)
    """
    order = sorted(set(names))
    if len(order) < 2:
        return [Ranked(name, 0.0, 0.0, 0.0, 1) for name in order]
    wins = _wins(matches, order)
    chance = np.random.default_rng(seed)
    ties = prior / 2 * (1 - np.eye(len(order)))
    strengths = _strengths(wins.sum(axis=0) + ties)
    weights = chance.exponential(size=(resamples, len(wins)))
    doubts = np.maximum(chance.gamma(prior, size=resamples) / prior, 1e-6)
    drawn = np.array(
        [_strengths(np.tensordot(w, wins, axes=1) + d * ties) for w, d in zip(weights, doubts, strict=True)]
    )
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    ranks = [
        1 + sum(float((drawn[:, j] > drawn[:, i]).mean()) >= 0.975 for j in range(len(order)))
        for i in range(len(order))
    ]
    ranked = [
        Ranked(*row)
        for row in zip(order, strengths.tolist(), low.tolist(), high.tolist(), ranks, strict=True)
    ]
    return sorted(ranked, key=lambda r: (-round(r.strength, 6), r.name))


def _wins(matches: Sequence[Match], order: Sequence[str]) -> Floats:
    """For each question a square: how often the name of the row won against that of the column."""
    places = {name: i for i, name in enumerate(order)}
    questions = {question: i for i, question in enumerate(sorted({m.question for m in matches}))}
    wins = np.zeros((len(questions), len(order), len(order)))
    for match in matches:
        if unknown := [name for name in (match.first, match.second) if name not in places]:
            raise UsageError(
                f"a match of question '{match.question}' names '{unknown[0]}', which is not among those to rank"
            )
        if match.first == match.second:
            raise UsageError(f"in question '{match.question}', '{match.first}' is matched with itself")
        won = {"first": 1.0, "tie": 0.5, "second": 0.0}[match.outcome]
        square = wins[questions[match.question]]
        square[places[match.first], places[match.second]] += won
        square[places[match.second], places[match.first]] += 1 - won
    return wins


def _strengths(wins: Floats) -> Floats:
    from choix import ilsr_pairwise_dense  # imports scipy.optimize, which takes a second

    found = ilsr_pairwise_dense(wins, max_iter=10_000, tol=1e-9)
    return np.asarray(found - found.mean(), dtype=np.float64)


# --- how far a judge agrees with people


@dataclass(frozen=True)
class Agreement:
    """How far a judge says yes where people do; a figure is None where there is nothing to divide by.

    `kappa` is Cohen's: 0 is what chance would reach, 1 is perfect.  `precision`: of the judge's yes, those that are
    people's too; `recall`: of people's yes, those that are the judge's too.
    """

    n: int
    accuracy: Interval | None
    kappa: Interval | None
    precision: Interval | None
    recall: Interval | None


def agreement(machine: Sequence[bool], human: Sequence[bool]) -> Agreement:
    """How far the judge's yes and no are those of people, item by item.

    Shares have Wilson intervals; kappa's is from 1,000 resamples of the items.
    """
    _check_paired(machine, human)
    pairs = list(zip(map(bool, machine), map(bool, human), strict=True))
    both, yes, truly = pairs.count((True, True)), sum(m for m, _ in pairs), sum(h for _, h in pairs)
    return Agreement(
        n=len(pairs),
        accuracy=_share(sum(m == h for m, h in pairs), len(pairs)),
        kappa=_kappa(pairs),
        precision=_share(both, yes),
        recall=_share(both, truly),
    )


def _share(right: int, of: int) -> Interval | None:
    return Interval(right / of, *wilson(right, of), of) if of else None


_KINDS = [(True, True), (True, False), (False, True), (False, False)]


def _kappa(pairs: Sequence[tuple[bool, bool]], resamples: int = 1000) -> Interval | None:
    """None where judge and people say one and the same of everything: kappa is then not defined."""
    counts = np.array([pairs.count(kind) for kind in _KINDS])
    if counts[0] == counts.sum() or counts[3] == counts.sum():
        return None
    from sklearn.metrics import cohen_kappa_score

    def kappa(weight: NDArray[np.int64]) -> float:
        return float(cohen_kappa_score([m for m, _ in _KINDS], [h for _, h in _KINDS], sample_weight=weight))

    drawn = np.random.default_rng(0).multinomial(counts.sum(), counts / counts.sum(), size=resamples)
    defined = drawn[(drawn[:, 0] < counts.sum()) & (drawn[:, 3] < counts.sum())]
    low, high = np.percentile([kappa(weight) for weight in defined], [2.5, 97.5])
    return Interval(kappa(counts), float(low), float(high), len(pairs))


def rank_correlation(machine: Sequence[float], human: Sequence[float]) -> Interval | None:
    """Spearman's correlation of two gradings of the same items; None where one of them is the same for all.

    (The interval: "Sample Size Requirements for Estimating Pearson, Kendall and Spearman Correlations".)
    """
    _check_paired(machine, human)
    if len(set(machine)) < 2 or len(set(human)) < 2:
        return None
    from scipy.stats import spearmanr

    found = float(spearmanr(machine, human).statistic)
    if len(machine) < 4:
        return Interval(found, -1.0, 1.0, len(machine))
    if abs(found) >= 1:
        return Interval(found, found, found, len(machine))
    half = 1.959964 * math.sqrt((1 + found**2 / 2) / (len(machine) - 3))
    return Interval(
        found, math.tanh(math.atanh(found) - half), math.tanh(math.atanh(found) + half), len(machine)
    )


def _check_paired(machine: Sequence[object], human: Sequence[object]) -> None:
    if len(machine) != len(human):
        raise UsageError(
            f"the judge has {len(machine)} verdicts and people have {len(human)}; each item needs one of both"
        )

"""Configurations ranked by a judge's preferences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from ragkit.errors import UsageError, needs
from ragkit.evaluate.judge import Winner

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

    `strength` is the natural log of the odds of winning against a competitor of mean strength: 0 is a coin
    toss, 1 wins 73 %; the difference of two strengths is that between the two; times 174 it is on Elo's
    scale.  `rank` is 1 plus the number of those that are stronger in at least 97.5 % of the resamples, so
    those that cannot be told apart share one.
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
    """Rank *names* by strength, best first, from *matches*, where a tie is half a win for each.

    (Method: "Long-Span Question-Answering: Automatic Question Generation and QA-System Ranking via Side-by-Side
    Evaluation".)

    The order of the matches and names does not matter.  Every pair is taken to have tied `prior` times
    besides, so that one that always wins has a finite strength.  The interval is from resampling questions,
    not matches, as those of one question depend on each other; each question, and the prior, gets a random
    weight that is never 0, so an interval has a width even where all questions agree.  (Sources: "Rank
    Analysis of Incomplete Block Designs", "The Bayesian Bootstrap"; solved by the method of "Fast and
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
    with needs("evaluate", "ranking by preferences"):
        from choix import ilsr_pairwise_dense  # imports scipy.optimize, which takes a second

    found = ilsr_pairwise_dense(wins, max_iter=10_000, tol=1e-9)
    return np.asarray(found - found.mean(), dtype=np.float64)

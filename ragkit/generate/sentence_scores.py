"""What each sentence is worth as an answer, and how likely it is the one that answers: both weigh the same features."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ragkit.document import Span, above, named, score_of, title_of
from ragkit.text.question import Mentions, ParsedQuestion
from ragkit.text.statements import PassageSentence
from ragkit.text.words import stems

Vector = NDArray[np.float64]
Weights = Mapping[str, float]

WORTH: Weights = {
    "near": 1.0,
    "words": 1.0,
    "above": 1.0,
    "rank": 0.15,
    "likely": 0.5,
    "names": 0.3,
    "number": 0.2,
    "name": 0.1,
    "thing": 0.1,
    "defines": 0.6,
    "cell": 0.4,
}
"""By which sentences are chosen, set by hand.  Weights that are fitted, as those of `CHANCE`, choose no better: of 244 questions over
papers and abstracts, ten folds, 164 to 176 are right, 178 with these.  `cell` from .2 to .8 makes little difference;
of 57 questions made from cells of PDFs (`benchmarks/data/cells.jsonl`), for which it was not chosen, 43 are right with it and 38 without.
"""

CHANCE: Weights = {
    "near": 4.21,
    "words": 4.62,
    "above": 11.34,
    "rank": 1.8,
    "odds": 0.49,
    "names": 0.46,
    "number": 3.47,
    "name": 0.77,
    "thing": 1.81,
    "defines": 8.36,
    "cell": 4.26,
}
"""By which it is said how sure the choice is: log odds of one sentence against another, fitted by `python -m benchmarks.fit_chance` to the
sentences of 196 questions over papers and abstracts (`docs/abstention.md`).
"""

_UNREAD = -8.0  # log odds of a sentence that the reader did not read


@dataclass(frozen=True)
class SentenceScores:
    """What one thing that is asked says of each sentence of a pool.

    `overlap` has a row a sentence and a column a word of what is asked: what the word weighs, where the sentence has it, or half
    where it stands above.
    """

    features: Mapping[str, Vector]
    overlap: Vector

    @classmethod
    def of(
        cls, asked: ParsedQuestion, pool: Sequence[PassageSentence], near: Vector, read: Mapping[Span, float]
    ) -> SentenceScores:
        """Of *pool*, each sentence *near* what is *asked*, with the log odds that a reader *read* in them."""
        has = _overlap(asked.text, pool)
        return cls(_features(asked, pool, near, has, read), has.sum(axis=0))

    @cached_property
    def worth(self) -> Vector:
        return _weighed(WORTH, self.features)

    @property
    def beside_words(self) -> Vector:
        """What each is worth but for the words that it shares with what is asked."""
        return np.asarray(self.worth - self.overlap.sum(axis=1))

    def chance(self, chosen: Sequence[int]) -> float:
        """The log odds that the one that answers, if one does, is among the *chosen*; at most those of .99."""
        odds = _weighed(CHANCE, self.features)
        chances = np.exp(odds - odds.max())
        among = min(max(float(chances[list(chosen)].sum() / chances.sum()), 0.01), 0.99)
        return math.log(among / (1 - among))


def quick_worth(asked: ParsedQuestion, pool: Sequence[PassageSentence], read: Mapping[Span, float]) -> Vector:
    """What each sentence of *pool* is worth by what is known before it is embedded."""
    return np.asarray(
        _overlap(asked.text, pool).sum(axis=(0, 2))
        + WORTH["rank"] * _rank(pool)
        + WORTH["cell"] * _cell_named(asked, pool)
        + WORTH["likely"] * _likely(_odds(pool, read))
    )


def _features(
    asked: ParsedQuestion,
    pool: Sequence[PassageSentence],
    near: Vector,
    has: Vector,
    read: Mapping[Span, float],
) -> dict[str, Vector]:
    """What is known of each sentence, by name.

    near      its cosine to what is asked
    words     the share of the question's words that it has, the rare ones weighing most
    above     half the share of them that only the title, the headings or the caption above it have
    rank      how well its passage was ranked, from 0 to 1
    likely    how likely it answers, by the reader
    odds      the same as log odds
    names     the share of the question's names that its passage mentions
    number    1 if a number is asked for and it gives one, near what it counts
    name      1 if a name is asked for and it gives one that the question lacks
    thing     1 if it gives such a name, and says what *which* or *what* asks for
    defines   1 if a definition is asked for and it gives one
    cell      how far the question names a cell of the row by its row and its column, from 0 to 1
    """
    odds = _odds(pool, read)
    return {
        "near": near,
        "words": has[0].sum(axis=1),
        "above": has[1].sum(axis=1),
        "rank": _rank(pool),
        "likely": _likely(odds),
        "odds": odds,
        "names": _named(asked, pool),
        "cell": _cell_named(asked, pool),
    } | _of_kind(asked, pool)


def _weighed(weights: Weights, features: Mapping[str, Vector]) -> Vector:
    return np.asarray(sum(weight * features[name] for name, weight in weights.items()))


def _overlap(question: str, pool: Sequence[PassageSentence]) -> Vector:
    """What each content word of the question (last axis) weighs in each sentence (middle axis).

    First where the sentence has the word, then half of it where only the title, the headings or the caption
    above it have.  Rare words weigh most; all weigh 1 together.
    """
    wanted = sorted(set(stems(question)))
    if not wanted:
        return np.zeros((2, len(pool), 0))
    own = [_stems(s.text) for s in pool]
    over = {id(s.passage): set(stems(above(s.passage))) for s in pool}
    has = np.array([[w in words for w in wanted] for words in own], dtype=float)
    is_above = np.array([[w in over[id(s.passage)] for w in wanted] for s in pool], dtype=float)
    weight = np.log(1 + len(pool) / (1 + has.sum(axis=0)))
    return np.asarray(np.stack((has, 0.5 * is_above * (1 - has))) * (weight / weight.sum()))


@functools.lru_cache(maxsize=4096)
def _stems(text: str) -> frozenset[str]:
    """The stems of a sentence: asked for whenever it is compared with a question."""
    return frozenset(stems(text))


def _rank(pool: Sequence[PassageSentence]) -> Vector:
    scores = np.array([score_of(s.passage) for s in pool])
    spread = scores.max() - scores.min()
    return np.asarray((scores - scores.min()) / spread) if spread > 0 else np.ones(len(pool))


def _odds(pool: Sequence[PassageSentence], read: Mapping[Span, float]) -> Vector:
    return np.array([read.get(statement.span, _UNREAD) for statement in pool])


def _likely(odds: Vector) -> Vector:
    return np.asarray(1 / (1 + np.exp(-odds)))


def _named(asked: ParsedQuestion, pool: Sequence[PassageSentence]) -> Vector:
    if not asked.names:
        return np.zeros(len(pool))
    passages = {id(s.passage): Mentions.of(named(s.passage)) for s in pool}
    return np.array(
        [sum(passages[id(s.passage)].has(name) for name in asked.names) / len(asked.names) for s in pool]
    )


def _of_kind(asked: ParsedQuestion, pool: Sequence[PassageSentence]) -> dict[str, Vector]:
    """The features that tell whether a sentence has the kind of thing that the question asks for."""
    kinds = {name: np.zeros(len(pool)) for name in ("number", "defines", "name", "thing")}
    if asked.asks_number or asked.compares_numbers:
        kinds["number"] = np.array([float(asked.gives_number(s.text)) for s in pool])
    elif asked.asks_definition:
        kinds["defines"] = np.array([float(asked.defines(s.text, title_of(s.passage))) for s in pool])
    else:
        names = np.array([float(asked.gives_name(s.text)) for s in pool])
        kinds["name"] = names * asked.asks_name
        kinds["thing"] = names * np.array([asked.thing in _stems(s.text) for s in pool])
    return kinds


def _cell_named(asked: ParsedQuestion, pool: Sequence[PassageSentence]) -> Vector:
    """How far the question names a cell of each row, by its row and its column: from 0 to 1.

    A row is named by its first cell or, where rows are grouped, its second.  It counts half without a column.
    """
    wanted = set(stems(asked.text))

    def share(name: str) -> float:
        own = _stems(name)
        return len(own & wanted) / len(own) if own else 0.0

    def named(cells: Sequence[tuple[str, str]]) -> float:
        columns = [share(column) for column, _ in cells]
        return max(
            (
                share(label) * (1 + max(columns[:n] + columns[n + 1 :], default=0.0)) / 2
                for n, (_, label) in enumerate(cells[:2])
                if any(map(str.isalpha, label))
            ),
            default=0.0,
        )

    return np.array([named(sentence.cells) for sentence in pool])

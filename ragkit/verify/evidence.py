"""Claims held against quotes by their words, numbers, names, negation and comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from ragkit.answer import Finding, Verdict
from ragkit.config.components import component
from ragkit.flow import Flow, call
from ragkit.text.facts import lacking
from ragkit.text.language import language_of, likelier
from ragkit.text.words import codes, numbers, sentences, stems
from ragkit.verify import ClaimVerifier
from ragkit.verify.attribution import Pair
from ragkit.verify.support import SUPPORTED, Setting, off_topic, support_of

Vectors = NDArray[np.float32]

_SURELY = 0.6
"""How likely another language must be, so that its words are not compared."""


class _TokenEmbeddings(Protocol):
    def token_vectors(self, texts: Sequence[str]) -> list[Vectors]: ...


@component("evidence")
@dataclass(frozen=True)
class EvidenceVerifier(ClaimVerifier):
    """Compares words, numbers with units, names, negation and comparisons of claim and quote; needs no model.

    A claim in another language than its quote stays `unchecked`, unless a number or a name is missing.

    A quote supports a claim if its score, a probability, is at least `threshold`; see
    `ragkit.verify.support`.  With `embed`, a model that gives a vector for each token, a word of the claim
    may also match one of similar meaning.
    """

    threshold: float = SUPPORTED
    embed: Embeddings | None = None

    quick: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.embed is not None and not hasattr(self.embed, "token_vectors"):
            raise ValueError(
                f"evidence needs a vector for each token, which {type(self.embed).__name__} does not give"
            )

    def weigh(self, pairs: Sequence[Pair], settings: Sequence[Setting]) -> Flow[Sequence[Finding]]:
        alignments: Sequence[float | None] = [None] * len(pairs)
        if self.embed is not None:
            texts = texts_of(pairs)
            vectors = yield from call("verify", cast(_TokenEmbeddings, self.embed).token_vectors, texts)
            alignments = aligned(pairs, dict(zip(texts, vectors, strict=True)))
        return [self._found(*each) for each in zip(pairs, settings, alignments, strict=True)]

    def _found(self, pair: Pair, setting: Setting, nearness: float | None) -> Finding:
        if _abroad(pair, setting.question):
            missing = lacking(pair.claim, f"{pair.title}\n{pair.quote}")
            if objection := missing or off_topic(pair.claim, pair.quote, pair.title, setting):
                return Finding(verdict=Verdict.UNSUPPORTED, score=0.0, reason=objection, in_words=False)
            told = "the source is in another language; only numbers and names were compared"
            return Finding(verdict=Verdict.UNCHECKED, score=0.0, reason=told, in_words=False)
        found = support_of(pair.claim, pair.quote, pair.title, nearness, setting)
        verdict = Verdict.SUPPORTED if found.score >= self.threshold else Verdict.UNSUPPORTED
        return Finding(verdict=verdict, score=found.score, reason=found.reason)


def _abroad(pair: Pair, question: str) -> bool:
    """Is the claim in another language than the quote?  That of the question tells what a short claim is in.

    What has more than half of its words in the quote is in its language.
    """
    said = (
        set(stems(pair.claim))
        - {stem for code in codes(pair.claim) for stem in stems(code)}
        - numbers(pair.claim)
    )
    if 2 * len(said & {*stems(pair.quote), *stems(pair.title)}) > len(said):
        return False
    asked = language_of(question)
    foreign = (
        likelier(pair.claim, asked) if asked not in ("", "en") else language_of(pair.claim, _SURELY) != "en"
    )
    return foreign != (language_of(pair.quote, _SURELY) != "en")


def texts_of(pairs: Sequence[Pair]) -> list[str]:
    """The claims, and the sentences of the quotes: what vectors are needed of."""
    return list(dict.fromkeys(text for pair in pairs for text in (pair.claim, *_parts(pair.quote))))


def aligned(pairs: Sequence[Pair], vectors: Mapping[str, Vectors]) -> list[float]:
    """How well each claim's tokens are met by their best in the quote: their mean cosine, at least 0.

    (MaxSim, from "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
    BERT".)
    """
    return [_nearness(vectors[pair.claim], [vectors[part] for part in _parts(pair.quote)]) for pair in pairs]


def _nearness(claim: Vectors, quote: Sequence[Vectors]) -> float:
    there = [part for part in quote if len(part)]
    return (
        max(float((claim @ np.concatenate(there).T).max(axis=1).mean()), 0.0) if len(claim) and there else 0.0
    )


def _parts(quote: str) -> list[str]:
    return [quote[a:b] for a, b in sentences(quote)]

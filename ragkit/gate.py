"""When not to answer: whether the passages found can answer the question at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from langchain_core.documents import Document

from ragkit.document import scores_of, searchable
from ragkit.evidence import missing_names
from ragkit.registry import component, interface
from ragkit.text import codes, stems


class Relevance(NamedTuple):
    """How far passages are about a question, from 0 to 1, and why they cannot answer it, if they cannot."""

    score: float = 1.0
    refusal: str | None = None


@interface
class Gate(ABC):
    """Decides, before anything is generated, whether the passages can answer the question."""

    @abstractmethod
    def weigh(self, question: str, passages: Sequence[Document]) -> Relevance:
        """How far *passages* are about *question*; the refusal is the end of a sentence."""


@component("relevance")
@dataclass(frozen=True)
class RelevanceGate(Gate):
    """Lets a question pass if the passages are about it and name what it names.

    The nearest passage's cosine to the question (by the retriever called `retriever`) and the share of the question's
    content words that one passage has, weighed `weight` to `1 - weight`, must reach `threshold`.  What the question
    calls by a name such as `GPT-4` must occur in some passage; what it only writes with a capital (`Mozart`,
    `Bayesian`) must do so too, unless the sum reaches `sure`.
    """

    retriever: str = "dense"
    threshold: float = 0.23
    sure: float = 0.4
    weight: float = 0.9

    def weigh(self, question: str, passages: Sequence[Document]) -> Relevance:
        if not passages:
            return Relevance(0.0, "nothing was found")
        texts = [searchable(p) for p in passages]
        similarity = max(scores_of(p).get(self.retriever, 0.0) for p in passages)
        wanted = set(stems(question))
        coverage = max(len(wanted & set(stems(text))) / max(len(wanted), 1) for text in texts)
        relevance = self.weight * similarity + (1 - self.weight) * coverage
        score = min(max(relevance, 0.0), 1.0)
        if relevance < self.threshold:
            return Relevance(score, "none of them is about it")
        certain = codes(question)
        for name in missing_names(question, "\n".join(texts)):
            if name in certain or relevance < self.sure:
                return Relevance(score, f"none of those that come near it mentions '{name}'")
        return Relevance(score)

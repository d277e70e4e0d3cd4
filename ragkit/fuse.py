"""Merges several rankings into one.

Scores of different retrievers have no common scale, so raw scores are never compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from langchain_core.documents import Document
from pydantic import NonNegativeFloat, PositiveInt

from ragkit.config.components import component, interface
from ragkit.document import scaled, score_of, scored
from ragkit.text.question import Query


class Ranking(NamedTuple):
    """What one retriever found for one query, best first."""

    retriever: str
    documents: Sequence[Document]
    query: Query = Query("")


@interface
class Fusion(ABC):
    """Merges rankings; a subclass says how much a place in each is worth."""

    def fuse(self, rankings: Sequence[Ranking]) -> list[Document]:
        """Every document of *rankings* once, best first, with its fused score and each retriever's best.

        A ranking counts by the weight of its query; those of one retriever for one group of queries count as
        one.
        """
        groups: dict[tuple[str, int], float] = {}
        for name, _, query in rankings:
            groups[name, query.group] = groups.get((name, query.group), 0.0) + query.weight
        total: dict[str, float] = {}
        own: dict[str, dict[str, float]] = {}
        documents: dict[str, Document] = {}
        for ranking in rankings:
            share = ranking.query.weight / (groups[ranking.retriever, ranking.query.group] or 1.0)
            for document, worth in zip(ranking.documents, self.worths(ranking), strict=True):
                key = document.id or document.page_content
                documents.setdefault(key, document)
                total[key] = total.get(key, 0.0) + share * worth
                scores = own.setdefault(key, {})
                scores[ranking.retriever] = max(
                    score_of(document), scores.get(ranking.retriever, float("-inf"))
                )
        best = sorted(documents, key=lambda key: (-total[key], key))
        return [scored(documents[key], total[key], own[key]) for key in best]

    @abstractmethod
    def worths(self, ranking: Ranking) -> list[float]:
        """What each place of *ranking* adds to its document's fused score."""


@component("minmax")
@dataclass(frozen=True)
class MinMaxFusion(Fusion):
    """The weighted sum of scores, each ranking's scaled to 0..1; a retriever without a weight has 1."""

    weights: Mapping[str, NonNegativeFloat] = field(default_factory=dict)

    def worths(self, ranking: Ranking) -> list[float]:
        weight = self.weights.get(ranking.retriever, 1.0)
        return [weight * share for share in scaled(map(score_of, ranking.documents))]


@component("rrf")
@dataclass(frozen=True)
class ReciprocalRankFusion(Fusion):
    """The weighted sum of 1 / (`k` + rank), of each ranking.  (Method: "Reciprocal Rank Fusion outperforms Condorcet".)"""

    k: PositiveInt = 60
    weights: Mapping[str, NonNegativeFloat] = field(default_factory=dict)

    def worths(self, ranking: Ranking) -> list[float]:
        weight = self.weights.get(ranking.retriever, 1.0)
        return [weight / (self.k + rank) for rank in range(1, len(ranking.documents) + 1)]

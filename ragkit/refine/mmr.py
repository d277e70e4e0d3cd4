"""Passages that are relevant and unlike one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict, PositiveInt

from ragkit.config.components import component
from ragkit.corpus import CorpusReader
from ragkit.corpus.vectors import CachedEmbeddings
from ragkit.document import scaled, score_of, scored, searchable
from ragkit.models.embeddings import Vectors, unit, vectors_of
from ragkit.refine import Share


@component("mmr")
class MaximalMarginalRelevance(BaseDocumentCompressor, CorpusReader):
    """`k` passages that are relevant and unlike one another, the most useful next to those before it first.

    Each is worth `lambda_` times its score (scaled to 0..1) less `1 - lambda_` times its greatest cosine with
    one already taken, as in "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
    Summaries".  Vectors that the corpus keeps are not made again.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    embed: Embeddings
    lambda_: Share = 0.7
    k: PositiveInt = 6

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        if not documents:
            return []
        relevance = np.asarray(scaled(map(score_of, documents)))
        vectors = self._vectors([searchable(d) for d in documents])
        nearest = np.zeros(len(documents))  # a cosine below 0 is no merit, so that worths never rise
        left = list(range(len(documents)))
        chosen: list[Document] = []
        while left and len(chosen) < self.k:
            worth = self.lambda_ * relevance - (1 - self.lambda_) * nearest
            best = max(left, key=lambda i: worth[i])
            left.remove(best)
            chosen.append(scored(documents[best], float(worth[best])))
            nearest = np.maximum(nearest, vectors @ vectors[best])
        return chosen

    def _vectors(self, texts: list[str]) -> Vectors:
        """A row of length 1 a text."""
        if self.own_corpus is None:
            return unit(vectors_of(self.embed, texts))
        return unit(CachedEmbeddings(self.embed, self.own_corpus, keep=False).vectors(texts))

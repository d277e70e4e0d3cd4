"""Reranks passages by how likely a sentence of theirs answers the question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, PositiveInt

from ragkit.config.components import component
from ragkit.document import score_of, scored, scores_of
from ragkit.models.reader import READ, JointReader, PassageReader, read_passages
from ragkit.refine import Share, blended


@component("reader")
class ReaderRanking(BaseDocumentCompressor):
    """Orders the first `depth` passages by how likely their likeliest sentence answers; the rest follow.

    `blend` is the weight of the passage's previous score, both scaled to 0..1; a passage that was not read
    has the negative of its place among the rest.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    reader: PassageReader = JointReader()
    depth: PositiveInt = 20
    blend: Share = 0.5

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        near, far = list(documents)[: self.depth], list(documents)[self.depth :]
        read = read_passages(self.reader, query, near)
        odds = [max([*each.reading.answers.tolist(), _LEAST]) for each in read]
        scores = blended([1 / (1 + math.exp(-own)) for own in odds], [score_of(d) for d in near], self.blend)
        known = [
            scored(passage, score, {**scores_of(passage), READ: own})
            for passage, score, own in zip(near, scores, odds, strict=True)
        ]
        return [
            *sorted(known, key=score_of, reverse=True),
            *(scored(passage, -place) for place, passage in enumerate(far, 1)),
        ]


_LEAST = -9.0
"""The least log odds, and those of a passage without text."""

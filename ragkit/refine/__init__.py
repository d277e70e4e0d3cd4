"""The passages found, put into a better order and cut down to what the generator is to see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field, PositiveInt

from ragkit.document import scaled, score_of, scored, searchable

Share = Annotated[float, Field(ge=0, le=1)]


def blended(own: Sequence[float], first: Sequence[float], blend: float) -> list[float]:
    """A model's scores mixed with a share *blend* of the first-stage scores, both scaled to 0..1.

    If *blend* is 0, the model's scores are returned as they are.
    """
    if not blend:
        return [float(score) for score in own]
    pairs = zip(scaled(own), scaled(first), strict=True)
    return [(1 - blend) * mine + blend * before for mine, before in pairs]


class ScoringReranker(BaseDocumentCompressor, ABC):
    """Keeps the best `top_k` of the first `depth` passages by a score of question and text.

    `blend` is the weight of the passage's previous score, both scaled to 0..1.
    """

    depth: PositiveInt = 50
    top_k: PositiveInt = 10
    blend: Share = 0.0

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        if not documents:
            return []
        read = list(documents)[: self.depth]
        own = self.scores(query, [searchable(each) for each in read])
        known = map(scored, read, blended(own, [score_of(each) for each in read], self.blend))
        return sorted(known, key=score_of, reverse=True)[: self.top_k]

    @abstractmethod
    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """How well each of *texts* answers *query*, on a scale of its own."""

"""The passages found, put into a better order and cut down to what the generator is to see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from langchain_core.documents import BaseDocumentCompressor, Document
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from ragkit.document import score_of, scored, searchable

Share = Annotated[float, Field(ge=0, le=1)]


def scaled(values: Sequence[float]) -> NDArray[np.float64]:
    """*values* from 0 for the least to 1 for the greatest; all 1 if they are equal."""
    given = np.asarray(values, dtype=np.float64)
    if not given.size or given.max() == given.min():
        return np.ones_like(given)
    return np.asarray((given - given.min()) / (given.max() - given.min()))


def blended(own: Sequence[float], first: Sequence[float], blend: float) -> list[float]:
    """A model's scores mixed with a share *blend* of the first-stage scores, both scaled to 0..1.

    If *blend* is 0, the model's scores are returned as they are.
    """
    if not blend:
        return [float(score) for score in own]
    return [float(score) for score in (1 - blend) * scaled(own) + blend * scaled(first)]


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

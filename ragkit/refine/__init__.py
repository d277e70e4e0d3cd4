"""The passages found, put into a better order and cut down to what the generator is to see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from langchain_core.documents import Document
from numpy.typing import NDArray
from pydantic import Field

from ragkit.document import score_of, scored

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


def reranked(documents: Sequence[Document], own: Sequence[float], blend: float, top_k: int) -> list[Document]:
    scores = blended(own, [score_of(d) for d in documents], blend)
    best = sorted(range(len(scores)), key=lambda i: -scores[i])[:top_k]
    return [scored(documents[i], scores[i]) for i in best]

"""A projection of vectors, fitted to those that a corpus has kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ragkit.errors import UsageError
from ragkit.index import VectorIndex
from ragkit.models.adapted import Projection
from ragkit.models.embeddings import encoder_of, fingerprint_of
from ragkit.rag import Rag

_MOST = 50_000
"""Vectors that it is fitted to: 130 for each dimension of 384, and 80 MB."""


@dataclass(frozen=True)
class FittedProjection:
    """What was fitted: to how many `vectors` of how many `dimensions`; `kept` says which share of their variance
    the first so many components have.
    """

    vectors: int
    dimensions: int
    kept: Mapping[int, float]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def fit_projection(rag: Rag, path: Path, whiten: bool = False) -> FittedProjection:
    """Fit principal components to the vectors of the first index of vectors, and write them to *path*, scaled
    to the same variance with *whiten*.

    Raises `UsageError` if the corpus has kept fewer vectors than these have dimensions.
    """
    index = next((each for each in rag.ingest_pipeline.index if isinstance(each, VectorIndex)), None)
    if index is None:
        raise UsageError(
            "the pipeline has no index of vectors under ingest.index, so there is nothing to project"
        )
    model = fingerprint_of(encoder_of(index.embed))
    vectors = rag.corpus.sampled_vectors(model, _MOST)
    width = vectors.shape[1]
    if not width or len(vectors) < width:
        raise UsageError(
            f"the corpus has kept {len(vectors)} vectors of this model, fewer than it takes to fit a projection"
            f" ({width or 'one for each dimension'}); ingest more papers"
        )
    projection = Projection.fitted(vectors, whiten)
    try:
        projection.save(path)
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror}; name another file") from None
    kept = {n: round(projection.kept(n), 4) for n in (width // 8, width // 4, width // 2, width) if n}
    return FittedProjection(len(vectors), width, kept)

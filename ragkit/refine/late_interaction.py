"""Reranks passages by how well each token of the question is matched in them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import numpy as np
from cachetools import LRUCache
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from pydantic import ConfigDict, NonNegativeInt, PositiveInt, field_validator

from ragkit.config.components import component
from ragkit.document import digest
from ragkit.models.embeddings import Vectors, unit
from ragkit.refine import ScoringReranker, Share


class TokenEmbeddings(Protocol):
    """Embeddings that also give token vectors: per text an array (tokens, dimensions), rows of length 1."""

    def token_vectors(self, texts: Sequence[str]) -> list[Vectors]: ...


@component("late_interaction")
class LateInteraction(ScoringReranker):
    """Keeps the best `top_k` of the first `depth` passages by how well their tokens match the question's.

    The score is the mean over the question's tokens of their best cosine with a token of the passage (MaxSim,
    from "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over BERT"),
    with the model of dense retrieval.  `pool`: one vector is kept for so many tokens, clustered by Ward's
    method as in "Reducing the Footprint of Multi-Vector Retrieval with Minimal Performance Impact via Token
    Pooling".  Up to `cache_megabytes` of passages' vectors stay in memory.  `blend` is the weight of the
    passage's previous score, both scaled to 0..1; a model that was not trained for late interaction (most are
    not) ranks worse without it.
    """

    model_config = ConfigDict(
        frozen=True, arbitrary_types_allowed=True, ignored_types=(functools.cached_property,)
    )

    embed: Embeddings
    blend: Share = 0.5
    pool: PositiveInt = 1
    cache_megabytes: NonNegativeInt = 256

    @field_validator("embed")
    @classmethod
    def _gives_tokens(cls, embed: Embeddings) -> Embeddings:
        if not hasattr(embed, "token_vectors"):
            raise ValueError(
                f"late interaction needs a vector for each token, which {type(embed).__name__} does not give"
            )
        return embed

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """The mean best cosine of each text; 0 for one without a token."""
        [question] = self._tokens.token_vectors([query])
        return [
            float((question @ text.T).max(axis=1).mean()) if len(question) and len(text) else 0.0
            for text in self._vectors(texts)
        ]

    def _vectors(self, texts: Sequence[str]) -> list[Vectors]:
        keys = [digest(text) for text in texts]
        found = self._cache.get(keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if new:
            vectors = self._tokens.token_vectors(list(new.values()))
            arrays = {k: pooled(v, self.pool).astype(np.float16) for k, v in zip(new, vectors, strict=True)}
            self._cache.put(arrays)
            found |= arrays
        return [found[key].astype(np.float32) for key in keys]

    @property
    def _tokens(self) -> TokenEmbeddings:
        return cast(TokenEmbeddings, self.embed)

    @functools.cached_property
    def _cache(self) -> ArrayCache:
        return ArrayCache(self.cache_megabytes * 1_000_000)


def pooled(vectors: Vectors, factor: int) -> Vectors:
    """One vector of length 1 for about *factor* similar ones: the mean of each of Ward's clusters."""
    from scipy.cluster.hierarchy import fcluster, linkage

    wanted = -(-len(vectors) // factor)
    if wanted >= len(vectors):
        return vectors
    clusters = fcluster(linkage(vectors, "ward"), wanted, "maxclust")
    means = np.stack([vectors[clusters == c].mean(axis=0) for c in np.unique(clusters)])
    return unit(means)


class ArrayCache:
    """Arrays by key, up to *size* bytes; the least recently used go first.  Safe to share between threads."""

    def __init__(self, size: int) -> None:
        self._arrays: LRUCache[str, NDArray[np.float16]] = LRUCache(
            size, getsizeof=lambda array: array.nbytes
        )
        self._lock = threading.Lock()

    def get(self, keys: Sequence[str]) -> dict[str, NDArray[np.float16]]:
        """The arrays that are in the cache."""
        with self._lock:
            return {key: self._arrays[key] for key in keys if key in self._arrays}

    def put(self, arrays: Mapping[str, NDArray[np.float16]]) -> None:
        """Add *arrays*; one that is larger than the whole cache is left out."""
        with self._lock:
            self._arrays.update(
                {k: array for k, array in arrays.items() if array.nbytes <= self._arrays.maxsize}
            )

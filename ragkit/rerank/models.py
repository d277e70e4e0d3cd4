"""Rankings judged again by models that read question and passage together, token by token, or beside one another."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol, cast

import numpy as np
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, field_validator

from ragkit import model
from ragkit.corpus import CorpusReader
from ragkit.cross_encoder import Backend, Logits, logits
from ragkit.document import digest, score_of, scored, searchable
from ragkit.embed import fingerprint_of
from ragkit.errors import ModelError
from ragkit.openvino_models import Precision
from ragkit.registry import component

Share = Annotated[float, Field(ge=0, le=1)]
Vectors = NDArray[np.float32]


def scaled(values: Sequence[float]) -> NDArray[np.float64]:
    """*values* from 0 for the least to 1 for the greatest; all 1 if they are equal."""
    given = np.asarray(values, dtype=np.float64)
    if not given.size or given.max() == given.min():
        return np.ones_like(given)
    return np.asarray((given - given.min()) / (given.max() - given.min()))


def blended(own: Sequence[float], first: Sequence[float], blend: float) -> list[float]:
    """A model's scores with *blend* of the first stage's in them, both scaled to 0..1; without any, the model's as they are."""
    if not blend:
        return [float(score) for score in own]
    return [float(score) for score in (1 - blend) * scaled(own) + blend * scaled(first)]


def _reranked(documents: Sequence[Document], own: Sequence[float], blend: float, top_k: int) -> list[Document]:
    scores = blended(own, [score_of(d) for d in documents], blend)
    best = sorted(range(len(scores)), key=lambda i: -scores[i])[:top_k]
    return [scored(documents[i], scores[i]) for i in best]


# --- cross-encoders


@component("cross_encoder")
class CrossEncoderReranker(BaseDocumentCompressor):
    """The best `top_k` of the first `depth` by a model that reads question and passage together: a sentence-transformers CrossEncoder.

    `model`: a directory, such as one that `ragkit train reranker` made, an installed model package, or a name on the hub.
    Scores are probabilities; `blend` is the weight of the score that a passage came with, both then scaled to 0..1.
    `backend`: `openvino` runs models that classify sequences; `torch` whatever CrossEncoder loads.  What is longer than the
    model reads is cut off at the end of the longer text.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    backend: Backend = "openvino"
    precision: Precision = "auto"
    depth: PositiveInt = 50
    top_k: PositiveInt = 10
    batch_size: PositiveInt = 16
    blend: Share = 0.0

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> Sequence[Document]:
        if not documents:
            return []
        read = list(documents)[: self.depth]
        return _reranked(read, self.scores(query, [searchable(d) for d in read]), self.blend, self.top_k)

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """How probably each of *texts* answers *query*.  Raises `ModelError` if the model is nowhere to be had, or is no reranker."""
        files = model.files(self.model)
        if not texts:
            return []
        found = logits(files, [(query, text) for text in texts], self.backend, self.precision, self.batch_size)
        if found.shape[1] > 2:
            raise ModelError(f"the model in '{files}' tells {found.shape[1]} labels apart; a reranker has one, or no and yes")
        return _probabilities(found)


def _probabilities(logits: Logits) -> list[float]:
    if logits.shape[1] == 2:  # no and yes
        logits = logits[:, 1:] - logits[:, :1]
    return [float(p) for p in 1 / (1 + np.exp(-logits[:, 0].astype(np.float64)))]


# --- late interaction


class TokenEmbeddings(Protocol):
    """Embeddings that give a vector a token, too: one array (tokens x dimensions) a text, rows of length 1."""

    def token_vectors(self, texts: Sequence[str]) -> list[Vectors]: ...


@component("late_interaction")
class LateInteraction(BaseDocumentCompressor):
    """The best `top_k` of the first `depth` by how well each word of the question is met somewhere in the passage.

    The score is the mean over the question's tokens of their best cosine with a token of the passage (MaxSim, from "ColBERT:
    Efficient and Effective Passage Search via Contextualized Late Interaction over BERT"), with the model of dense retrieval.
    `pool`: passages are kept at one vector for so many tokens, clustered by Ward's method as in "Reducing the Footprint of
    Multi-Vector Retrieval with Minimal Performance Impact via Token Pooling".  Up to `cache_megabytes` of passages' vectors
    stay in memory.  `blend` is the weight of the score that a passage came with, both then scaled to 0..1; a model that was not
    trained for late interaction, as most are not, ranks worse without it.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, ignored_types=(functools.cached_property,))

    embed: Embeddings
    depth: PositiveInt = 50
    top_k: PositiveInt = 10
    blend: Share = 0.5
    pool: PositiveInt = 1
    cache_megabytes: NonNegativeInt = 256

    @field_validator("embed")
    @classmethod
    def _gives_tokens(cls, embed: Embeddings) -> Embeddings:
        if not hasattr(embed, "token_vectors"):
            raise ValueError(f"late interaction needs a vector for each token, which {type(embed).__name__} does not give")
        return embed

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> Sequence[Document]:
        if not documents:
            return []
        read = list(documents)[: self.depth]
        return _reranked(read, self.scores(query, [searchable(d) for d in read]), self.blend, self.top_k)

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """The mean best cosine of each text; 0 for one without a token."""
        [asked] = self._tokens.token_vectors([query])
        return [float((asked @ text.T).max(axis=1).mean()) if len(asked) and len(text) else 0.0 for text in self._vectors(texts)]

    def _vectors(self, texts: Sequence[str]) -> list[Vectors]:
        keys = [digest(text) for text in texts]
        found = self._kept.get(keys)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if new:
            made = [pooled(v, self.pool).astype(np.float16) for v in self._tokens.token_vectors(list(new.values()))]
            self._kept.put(dict(zip(new, made, strict=True)))
            found |= dict(zip(new, made, strict=True))
        return [found[key].astype(np.float32) for key in keys]

    @property
    def _tokens(self) -> TokenEmbeddings:
        return cast(TokenEmbeddings, self.embed)

    @functools.cached_property
    def _kept(self) -> Kept:
        return Kept(self.cache_megabytes * 1_000_000)


def pooled(vectors: Vectors, factor: int) -> Vectors:
    """One vector for about *factor* alike ones: the mean of each of Ward's clusters, of length 1."""
    from scipy.cluster.hierarchy import fcluster, linkage

    wanted = -(-len(vectors) // factor)
    if wanted >= len(vectors):
        return vectors
    clusters = fcluster(linkage(vectors, "ward"), wanted, "maxclust")
    means = np.stack([vectors[clusters == c].mean(axis=0) for c in np.unique(clusters)])
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12), dtype=np.float32)


class Kept:
    """Arrays by key, up to so many bytes; those unused for longest go first.  Safe to share between threads."""

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0
        self._arrays: OrderedDict[str, NDArray[np.float16]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, keys: Sequence[str]) -> dict[str, NDArray[np.float16]]:
        """Those that there are."""
        with self._lock:
            there = [key for key in keys if key in self._arrays]
            for key in there:
                self._arrays.move_to_end(key)
            return {key: self._arrays[key] for key in there}

    def put(self, arrays: Mapping[str, NDArray[np.float16]]) -> None:
        with self._lock:
            for key, array in arrays.items():
                if key not in self._arrays:
                    self._arrays[key] = array
                    self.bytes += array.nbytes
            while self.bytes > self.most:
                _, oldest = self._arrays.popitem(last=False)
                self.bytes -= oldest.nbytes


# --- diversity


@component("mmr")
class MaximalMarginalRelevance(BaseDocumentCompressor, CorpusReader):
    """`k` passages that are relevant and unlike one another, the most useful next to those before it first.

    Each is worth `lambda_` times its score (scaled to 0..1) less `1 - lambda_` times its greatest cosine with one already taken, as
    in "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries".  Vectors that the corpus
    keeps are not made again.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    embed: Embeddings
    lambda_: Share = 0.7
    k: PositiveInt = 6

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> Sequence[Document]:
        if not documents:
            return []
        relevance = scaled([score_of(d) for d in documents])
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

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        """A row of length 1 a text."""
        keys = [digest(text) for text in texts]
        known = self.corpus.vectors(fingerprint_of(self.embed), keys) if self.__dict__.get("_corpus") else {}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            known |= dict(zip(new, np.asarray(self.embed.embed_documents(list(new.values())), dtype=np.float32), strict=True))
        rows = np.stack([known[key] for key in keys])
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float32)

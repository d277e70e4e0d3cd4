"""Embeddings over those of any model: projected to fewer dimensions, or with an instruction before queries.

Both use the vectors of documents that a corpus has kept of the model, so nothing is encoded again.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import PositiveInt

from ragkit.config.components import component
from ragkit.document import digest
from ragkit.errors import ModelError
from ragkit.models.embeddings import AdaptedEmbeddings, Vectors, fingerprint_of, query_vectors_of, unit


@component("instructed")
@dataclass(frozen=True)
class InstructedEmbeddings(AdaptedEmbeddings):
    """`embed` with an instruction before each query, such as `Represent the question to find papers: `.

    `examples`, each a query and what it should find, stand between the two.  Documents are embedded as they
    are.  (Methods: "Retrieve Anything To Augment Large Language Models", and with examples "Making Text
    Embedders Few-Shot Learners".)
    """

    embed: Embeddings
    instruction: str
    examples: Sequence[str] = ()

    def adapted(self, vectors: Vectors) -> Vectors:
        return vectors

    def query_vectors(self, texts: Sequence[str]) -> Vectors:
        before = "".join([self.instruction, *(f"{example}\n\n" for example in self.examples)])
        return query_vectors_of(self.embed, [before + text for text in texts])

    def fingerprint(self) -> str:
        return digest(fingerprint_of(self.embed), "instructed", self.instruction, *self.examples)


@component("projected")
@dataclass(frozen=True)
class ProjectedEmbeddings(AdaptedEmbeddings):
    """The first `dimensions` principal components of the vectors of `embed`, all if that is left out.

    `fit` is a file that `ragkit train projection` writes, from the vectors that a corpus has kept, whitened
    or not.  (Method: "Do We Really Need Specialization?
    Evaluating Generalist Text Embeddings for Zero-Shot Recommendation and Search".)
    """

    embed: Embeddings
    fit: str
    dimensions: PositiveInt | None = None

    def adapted(self, vectors: Vectors) -> Vectors:
        return _read(self.fit).applied(vectors, self.dimensions) if len(vectors) else vectors

    def query_vectors(self, texts: Sequence[str]) -> Vectors:
        return self.adapted(query_vectors_of(self.embed, texts))

    def fingerprint(self) -> str:
        return digest(fingerprint_of(self.embed), "projected", _read(self.fit).digest, str(self.dimensions))


@dataclass(frozen=True)
class Projection:
    """What is taken off vectors first, shape `(width,)`, and their principal components.

    `axes` has one a row, shape `(components, width)`, that of the largest variance first; `variances` is of
    shape `(components,)`.
    """

    mean: Vectors
    axes: Vectors
    variances: Vectors

    @classmethod
    def fitted(cls, vectors: Vectors, whiten: bool = False) -> Projection:
        """That of *vectors*, shape `(vectors, width)`, of which there are at least two.

        Variances are about the origin, so that all components together keep every cosine.  With *whiten* they are
        about the mean, and each component is scaled to the same variance.
        """
        mean = vectors.mean(axis=0) if whiten else np.zeros(vectors.shape[1])
        moved = vectors - mean
        variances, axes = np.linalg.eigh(moved.T @ moved / len(moved))
        order = np.argsort(-variances)
        found = np.maximum(variances[order], 0).astype(np.float32)
        rows = axes[:, order].T / (np.sqrt(found + np.finfo(np.float32).eps)[:, None] if whiten else 1.0)
        return cls(mean.astype(np.float32), rows.astype(np.float32), found)

    def applied(self, vectors: Vectors, dimensions: int | None = None) -> Vectors:
        """*vectors* by their first components, normalised.  Raises `ModelError` if they are too few or unlike."""
        width = len(self.mean)
        if vectors.shape[1] != width:
            raise ModelError(
                f"the projection is of vectors of {width} dimensions, and these have {vectors.shape[1]}; fit it again"
                " with `ragkit train projection`"
            )
        if dimensions and dimensions > len(self.axes):
            raise ModelError(
                f"the projection has {len(self.axes)} dimensions, so dimensions: {dimensions} cannot be had"
            )
        return unit((vectors - self.mean) @ self.axes[:dimensions].T)

    def kept(self, dimensions: int) -> float:
        """The share of the variance that the first *dimensions* components have."""
        return float(self.variances[:dimensions].sum() / self.variances.sum())

    @functools.cached_property
    def digest(self) -> str:
        parts = (self.mean, self.axes, self.variances)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, mean=self.mean, axes=self.axes, variances=self.variances)


def _read(fit: str) -> Projection:
    path = Path(fit).expanduser()
    try:
        return _read_at(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, EOFError):
        raise ModelError(
            f"'{fit}' is no projection; ingest with the embeddings that it is over, then write it with"
            f" `ragkit train projection {fit}`"
        ) from None


@functools.lru_cache(maxsize=8)
def _read_at(path: Path, changed: int) -> Projection:
    with np.load(path, allow_pickle=False) as file:
        return Projection(file["mean"], file["axes"], file["variances"])

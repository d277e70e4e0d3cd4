"""Chroma, embedded in this process."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from ragkit.config.components import component
from ragkit.corpus import Vectors
from ragkit.document import entry
from ragkit.index import VectorIndex, widened

_COLLECTION = "chunks"
_COMPARED = 2_000  # passages that a filter leaves and that are compared one by one


@component("chroma")
@dataclass(frozen=True)
class ChromaStore(VectorIndex):
    """Chroma in this process, in a folder beside the corpus; nearest by cosine, from 0 (unrelated) to 1 (the same)."""

    changing: ClassVar[Mapping[str, tuple[str, ...]]] = {"chroma.sqlite3": ("acquire_write",)}

    handles: ClassVar[tuple[str, ...]] = ("_client", "_collection", "_left")

    embed: Embeddings

    def add_vectors(self, passages: Sequence[Document], vectors: Vectors) -> None:
        most = self._client.get_max_batch_size()
        for at in range(0, len(passages), most):
            some = passages[at : at + most]
            self._collection.upsert(
                ids=[str(p.id) for p in some],
                embeddings=vectors[at : at + most],
                metadatas=[entry(p).metadata for p in some],
            )

    def nearest(self, query: str, k: int, among: frozenset[str] | None = None) -> list[tuple[str, float]]:
        vector = self.embed.embed_query(query)
        count = self.count()
        if among is None:
            return self._nearest(vector, min(k, count))
        if len(among) <= max(_COMPARED, 2 * k):
            return self._nearest_of(vector, k, sorted(among))
        return widened(
            lambda wanted: self._nearest(vector, min(wanted, count)), k, lambda found: found[0] in among
        )

    def _nearest(self, vector: list[float], k: int) -> list[tuple[str, float]]:
        if k == 0:
            return []
        found = self._collection.query(query_embeddings=[vector], n_results=k, include=["distances"])
        scores = [min(max(1.0 - float(d), 0.0), 1.0) for d in (found["distances"] or [[]])[0]]
        return list(zip(found["ids"][0], scores, strict=True))

    def _nearest_of(self, vector: list[float], k: int, ids: Sequence[str]) -> list[tuple[str, float]]:
        """Of few passages the nearest, each compared: a search through the graph of all might not come upon them."""
        most = self._client.get_max_batch_size()
        scored: list[tuple[str, float]] = []
        query = np.asarray(vector, dtype=np.float32)
        for at in range(0, len(ids), most):
            found = self._collection.get(ids=list(ids[at : at + most]), include=["embeddings"])
            if found["ids"]:
                vectors = np.asarray(found["embeddings"], dtype=np.float32)
                lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
                alike = np.clip((vectors @ query) / np.where(lengths > 0, lengths, 1.0), 0.0, 1.0)
                scored += [
                    (identity, float(score)) for identity, score in zip(found["ids"], alike, strict=True)
                ]
        return sorted(scored, key=lambda found: (-found[1], found[0]))[:k]

    def count(self) -> int:
        return int(self._collection.count())

    def ids(self) -> set[str]:
        return set(self._collection.get(include=[])["ids"])

    def remove(self, ids: Sequence[str]) -> None:
        most = self._client.get_max_batch_size()
        for at in range(0, len(ids), most):
            self._collection.delete(ids=list(ids[at : at + most]))

    def files(self) -> list[Path]:
        """See `Index`; the graph of a store of less than some thousand vectors is made anew whenever it is opened."""
        return [
            path
            for path in super().files()
            if path.name == "chroma.sqlite3" or (path.parent / "index_metadata.pickle").exists()
        ]

    def let_go(self) -> None:
        client = self.__dict__.pop("_client", None)
        self.__dict__.pop("_collection", None)
        if client is not None:
            client.close()

    def use(self, generation: int) -> None:
        """See `Index`; the client before last is closed, since a thread may still be searching with the last."""
        before, last = self.__dict__.pop("_left", None), self.__dict__.pop("_client", None)
        self.__dict__.pop("_collection", None)
        if before is not None:
            before.close()
        if last is not None:
            self.__dict__["_left"] = last
        super().use(generation)

    @functools.cached_property
    def _client(self) -> Any:
        import chromadb
        from chromadb.config import Settings

        client = chromadb.PersistentClient(
            path=str(self.folder), settings=Settings(anonymized_telemetry=False)
        )
        self.reseal()
        return client

    @functools.cached_property
    def _collection(self) -> Any:
        return self._client.get_or_create_collection(
            _COLLECTION, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

"""Vector stores: Chroma, embedded.  Any other LangChain `VectorStore` is used by its import path."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import run_in_executor

from ragkit.corpus import Vectors
from ragkit.document import entry, hit, passage
from ragkit.index import VectorIndex, widened
from ragkit.registry import component

_COLLECTION = "chunks"
_COMPARED = 2_000  # passages that a filter leaves and that are compared one by one


@component("chroma")
@dataclass(frozen=True)
class ChromaStore(VectorIndex):
    """Chroma in this process, in a folder beside the corpus; nearest by cosine, from 0 (unrelated) to 1 (the same)."""

    changing: ClassVar[Mapping[str, tuple[str, ...]]] = {"chroma.sqlite3": ("acquire_write",)}

    handles: ClassVar[tuple[str, ...]] = ("_client", "_collection", "_left")

    embed: Embeddings

    @property
    def embeddings(self) -> Embeddings:
        return self.embed

    def add_vectors(self, passages: Sequence[Document], vectors: Vectors) -> None:
        most = self._client.get_max_batch_size()
        for at in range(0, len(passages), most):
            some = passages[at : at + most]
            self._collection.upsert(
                ids=[str(p.id) for p in some],
                embeddings=vectors[at : at + most],
                metadatas=[entry(p).metadata for p in some],
            )

    def add_texts(
        self, texts: Iterable[str], metadatas: list[dict[str, Any]] | None = None, *, ids: list[str] | None = None, **_: Any
    ) -> list[str]:
        """LangChain's way in; each text is a paper of its own."""
        every = list(texts)
        papers = [Document(page_content=t, metadata=m) for t, m in zip(every, metadatas or [{} for _ in every], strict=True)]
        added = [passage(p, 0, len(p.page_content)) for p in papers]
        if ids is not None:
            added = [p.model_copy(update={"id": i}) for p, i in zip(added, ids, strict=True)]
        if added:
            import numpy as np

            self.add_vectors(added, np.asarray(self.embed.embed_documents([p.page_content for p in added]), dtype=np.float32))
        return [str(p.id) for p in added]

    def delete(self, ids: list[str] | None = None, **_: Any) -> bool:
        self.remove(ids or [])
        return True

    def similarity_search(self, query: str, k: int = 4, **_: Any) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_relevance_scores(query, k)]

    def similarity_search_with_relevance_scores(self, query: str, k: int = 4, **_: Any) -> list[tuple[Document, float]]:
        """The nearest *k* passages as bare hits (id and score), to be read from the corpus."""
        return [(hit(identity, score), score) for identity, score in self.nearest(query, k)]

    def nearest(self, query: str, k: int, among: frozenset[str] | None = None) -> list[tuple[str, float]]:
        vector = self.embed.embed_query(query)
        count = self.count()
        if among is None:
            return self._nearest(vector, min(k, count))
        if len(among) <= max(_COMPARED, 2 * k):
            return self._nearest_of(vector, k, sorted(among))
        return widened(lambda wanted: self._nearest(vector, min(wanted, count)), k, lambda found: found[0] in among)

    def _nearest(self, vector: list[float], k: int) -> list[tuple[str, float]]:
        if k == 0:
            return []
        found = self._collection.query(query_embeddings=[vector], n_results=k, include=["distances"])
        scores = [min(max(1.0 - float(d), 0.0), 1.0) for d in (found["distances"] or [[]])[0]]
        return list(zip(found["ids"][0], scores, strict=True))

    def _nearest_of(self, vector: list[float], k: int, ids: Sequence[str]) -> list[tuple[str, float]]:
        """Of few passages the nearest, each compared: a search through the graph of all might not come upon them."""
        import numpy as np

        most = self._client.get_max_batch_size()
        scored: list[tuple[str, float]] = []
        query = np.asarray(vector, dtype=np.float32)
        for at in range(0, len(ids), most):
            found = self._collection.get(ids=list(ids[at : at + most]), include=["embeddings"])
            if found["ids"]:
                vectors = np.asarray(found["embeddings"], dtype=np.float32)
                lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
                alike = np.clip((vectors @ query) / np.where(lengths > 0, lengths, 1.0), 0.0, 1.0)
                scored += [(identity, float(score)) for identity, score in zip(found["ids"], alike, strict=True)]
        return sorted(scored, key=lambda found: (-found[1], found[0]))[:k]

    async def asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **_: Any) -> list[tuple[Document, float]]:
        return await run_in_executor(None, self.similarity_search_with_relevance_scores, query, k)

    @classmethod
    def from_texts(cls, texts: list[str], embedding: Embeddings, metadatas: list[dict[str, Any]] | None = None, **_: Any) -> ChromaStore:
        raise NotImplementedError("a ChromaStore is derived from a corpus: ingest the texts with Rag.ingest")

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
        return [path for path in super().files() if path.name == "chroma.sqlite3" or (path.parent / "index_metadata.pickle").exists()]

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

        client = chromadb.PersistentClient(path=str(self.folder), settings=Settings(anonymized_telemetry=False))
        self.reseal()
        return client

    @functools.cached_property
    def _collection(self) -> Any:
        return self._client.get_or_create_collection(_COLLECTION, embedding_function=None, configuration={"hnsw": {"space": "cosine"}})

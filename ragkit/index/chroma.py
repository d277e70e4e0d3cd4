"""Chroma, embedded in this process."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from langchain_core.embeddings import Embeddings

from ragkit.config.components import component
from ragkit.document import Key
from ragkit.index import FEW, Builder, Hit, Place, Searcher, VectorIndex, best_passages
from ragkit.index.folder import FolderIndex
from ragkit.models.embeddings import Vectors

_COLLECTION = "chunks"
_COMPARED = 2_000  # passages that a filter leaves and that are compared one by one
_PAGE = 10_000  # keys that are listed at once


@component("chroma")
@dataclass(frozen=True)
class ChromaIndex(FolderIndex, VectorIndex):
    """Chroma in this process, in a folder beside the corpus; scores by cosine, clipped to 0..1."""

    changing: ClassVar[Mapping[str, tuple[str, ...]]] = {"chroma.sqlite3": ("acquire_write",)}

    embed: Embeddings

    def write(self, place: Place) -> Builder:
        return _ChromaBuilder(place)

    def open(self, place: Place) -> Searcher:
        try:
            searcher = _ChromaSearcher(self, place)
        except (
            Exception
        ):  # whatever is wrong; mostly that Chroma cannot write, which it does where it only reads
            with ExitStack() as copied:
                there = copied.enter_context(self.writable(place))
                return _ChromaSearcher(self, there, copied.pop_all())
        self.reseal(place)  # opening has changed a file
        return searcher

    def files(self, place: Place) -> list[Path]:
        """See `FolderIndex`; leaves out graphs that Chroma rebuilds at every opening.

        It does so for a collection of less than some thousand vectors.
        """
        return [
            path
            for path in super().files(place)
            if path.name == "chroma.sqlite3" or (path.parent / "index_metadata.pickle").exists()
        ]


class _Collection:
    """The Chroma collection in a folder.

    A key's id is that of its passage, followed by the key's number unless that is 0.
    """

    def __init__(self, place: Place) -> None:
        import chromadb
        from chromadb.config import Settings

        self.client: Any = chromadb.PersistentClient(
            path=str(place.folder), settings=Settings(anonymized_telemetry=False)
        )
        self.rows: Any = self.client.get_or_create_collection(
            _COLLECTION, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )
        self.most: int = self.client.get_max_batch_size()

    def close(self) -> None:
        self.client.close()


class _ChromaBuilder(Builder):
    def __init__(self, place: Place) -> None:
        self.collection = _Collection(place)

    def add(self, keys: Sequence[Key], vectors: Vectors | None = None) -> None:
        assert vectors is not None
        for at in range(0, len(keys), self.collection.most):
            some = keys[at : at + self.collection.most]
            self.collection.rows.upsert(
                ids=[_id(key.passage, key.n) for key in some],
                embeddings=vectors[at : at + self.collection.most],
                metadatas=[{"passage": key.passage} for key in some],
            )

    def remove(self, passages: Collection[str]) -> None:
        every = list(passages)
        for at in range(0, len(every), self.collection.most):
            some = every[at : at + self.collection.most]
            self.collection.rows.delete(where={"passage": {"$in": some}})

    def seal(self) -> None:
        self.collection.close()


class _ChromaSearcher(Searcher):
    def __init__(self, index: ChromaIndex, place: Place, copied: ExitStack | None = None) -> None:
        self.index, self.collection = index, _Collection(place)
        self.copied = copied or ExitStack()

    def search(self, query: str, k: int, among: Set[str] | None = None) -> list[Hit]:
        vector = self.index.embed.embed_query(query)
        count = self.count()
        if among is None or len(among) > max(min(_COMPARED, FEW * count), 2 * k):
            return best_passages(
                lambda wanted: self._nearest(vector, min(wanted, count)),
                k,
                lambda hit: hit.passage,
                among,
                count,
            )
        found = self._compared(np.asarray(vector, dtype=np.float32), sorted(among))
        return best_passages(lambda wanted: found[:wanted], k, lambda hit: hit.passage)

    def _nearest(self, vector: list[float], k: int) -> list[Hit]:
        if k == 0:
            return []
        found = self.collection.rows.query(query_embeddings=[vector], n_results=k, include=["distances"])
        scores = [min(max(1.0 - float(d), 0.0), 1.0) for d in (found["distances"] or [[]])[0]]
        return [_hit(name, score) for name, score in zip(found["ids"][0], scores, strict=True)]

    def _compared(self, query: Vectors, passages: Sequence[str]) -> list[Hit]:
        """Every key of a few passages, nearest first; a search of the graph of all keys might miss them."""
        scored: list[Hit] = []
        for at in range(0, len(passages), self.collection.most):
            some = {"passage": {"$in": passages[at : at + self.collection.most]}}
            found = self.collection.rows.get(where=some, include=["embeddings"])
            if found["ids"]:
                vectors = np.asarray(found["embeddings"], dtype=np.float32)
                lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
                alike = np.clip((vectors @ query) / np.where(lengths > 0, lengths, 1.0), 0.0, 1.0)
                scored += [_hit(name, float(score)) for name, score in zip(found["ids"], alike, strict=True)]
        return sorted(scored, key=lambda hit: (-hit.score, hit.passage))

    def entries(self) -> Iterator[tuple[str, int]]:
        for at in range(0, self.count(), _PAGE):
            for name in self.collection.rows.get(include=[], limit=_PAGE, offset=at)["ids"]:
                yield _hit(name, 0.0).passage, _hit(name, 0.0).key

    def count(self) -> int:
        return int(self.collection.rows.count())

    def close(self) -> None:
        self.collection.close()
        self.copied.close()


def _id(passage: str, n: int) -> str:
    return f"{passage}#{n}" if n else passage


def _hit(name: str, score: float) -> Hit:
    passage, _, n = name.partition("#")
    return Hit(passage, score, int(n or 0))

"""Qdrant's engine in this process, as the rows of a `CollectionIndex`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from langchain_core.embeddings import Embeddings
from qdrant_client import QdrantClient
from qdrant_client import models as q

from ragkit.document import Key
from ragkit.index import Hit, VectorIndex, best_passages
from ragkit.index.collection import CollectionIndex, Rows
from ragkit.models.embeddings import Vectors

_clients: dict[str, QdrantClient] = {}
_NEVER = 2**53  # the generation that has removed a row that is still there


@dataclass(frozen=True)
class QdrantIndex(CollectionIndex, VectorIndex):
    """Vectors in Qdrant's local engine, in memory, one for each *server*."""

    embed: Embeddings
    server: str

    def rows(self, name: str) -> Rows:
        client = _clients.setdefault(self.server, QdrantClient(":memory:"))
        return QdrantRows(client, name, self.embed)


class QdrantRows(Rows):
    """A collection whose payload has the passage, the key's number, `added` and `removed`."""

    def __init__(self, client: QdrantClient, name: str, embed: Embeddings) -> None:
        self.client, self.name, self.embed = client, name, embed
        if not client.collection_exists(name):
            size = len(embed.embed_query("size"))
            client.create_collection(name, q.VectorParams(size=size, distance=q.Distance.COSINE))

    def add(self, keys: Sequence[Key], vectors: Vectors | None, generation: int) -> None:
        assert vectors is not None
        points = [
            q.PointStruct(
                id=str(uuid5(NAMESPACE_OID, f"{key.passage} {key.n} {generation}")),
                vector=vector.tolist(),
                payload={"passage": key.passage, "n": key.n, "added": generation, "removed": _NEVER},
            )
            for key, vector in zip(keys, vectors, strict=True)
        ]
        if points:
            self.client.upsert(self.name, points, wait=True)

    def remove(self, passages: Collection[str] | None, generation: int) -> int:
        wanted: list[Any] = [_range("removed", gte=_NEVER)]
        if passages is not None:
            wanted.append(q.FieldCondition(key="passage", match=q.MatchAny(any=list(passages))))
        return self._set({"removed": generation}, q.Filter(must=wanted))

    def undo(self, generation: int) -> None:
        self._delete(_range("added", gt=generation))
        self._set({"removed": _NEVER}, q.Filter(must=[_range("removed", gt=generation, lt=_NEVER)]))

    def drop(self, generation: int) -> None:
        self._delete(_range("removed", lte=generation))

    def flush(self) -> None: ...  # each write waits

    def search(self, query: str, k: int, generation: int, among: frozenset[str] | None) -> list[Hit]:
        seen = self._seen(generation)
        if among is not None:
            seen = q.Filter(must=[seen, q.FieldCondition(key="passage", match=q.MatchAny(any=list(among)))])
        vector = self.embed.embed_query(query)

        def best(wanted: int) -> list[Hit]:
            found = self.client.query_points(self.name, vector, query_filter=seen, limit=wanted).points
            return [Hit(str(p.payload["passage"]), p.score, int(p.payload["n"])) for p in found if p.payload]

        return best_passages(best, k, lambda hit: hit.passage)

    def entries(self, generation: int) -> Iterator[tuple[str, int]]:
        place: Any = None
        while True:
            points, place = self.client.scroll(self.name, self._seen(generation), limit=1000, offset=place)
            yield from ((str(p.payload["passage"]), int(p.payload["n"])) for p in points if p.payload)
            if place is None:
                return

    def count(self, generation: int) -> int:
        return self.client.count(self.name, self._seen(generation)).count

    def _seen(self, generation: int) -> q.Filter:
        return q.Filter(must=[_range("added", lte=generation), _range("removed", gt=generation)])

    def _set(self, payload: dict[str, int], chosen: q.Filter) -> int:
        number = self.client.count(self.name, chosen).count
        if number:
            self.client.set_payload(self.name, payload, points=chosen, wait=True)
        return number

    def _delete(self, condition: q.FieldCondition) -> None:
        self.client.delete(self.name, q.FilterSelector(filter=q.Filter(must=[condition])), wait=True)


def _range(key: str, **bounds: float) -> q.FieldCondition:
    return q.FieldCondition(key=key, range=q.Range(**bounds))

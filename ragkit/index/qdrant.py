"""Vectors in Qdrant, on a server that several machines share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import NAMESPACE_OID, uuid5

from langchain_core.embeddings import Embeddings
from pydantic import SecretStr

from ragkit.config.components import component
from ragkit.document import Key
from ragkit.errors import CorpusError, UsageError
from ragkit.index import Hit, VectorIndex, best_passages
from ragkit.index.collection import CollectionIndex, Rows
from ragkit.models.embeddings import Vectors, query_vectors_of

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

P = ParamSpec("P")
T = TypeVar("T")

_NEVER = 2**53  # the generation that removes a row that is still there; a double holds it exactly
_PAGE = 1_000  # points that are written, listed or named in one request
_NAMED = 20_000  # passages that pass a filter and are named in the search
_EF = 256  # candidates that a search of the graph keeps, at the least
_SECONDS = 60  # until a request fails that the server does not answer
_VECTOR = "text"
_MEMORY = ":memory:"


@component("qdrant")
@dataclass(frozen=True)
class QdrantIndex(CollectionIndex, VectorIndex):
    """Vectors on the Qdrant server at `url`, in a collection whose name begins with `collection`; scores by cosine, clipped to 0..1.

    Corpora that share a server need different values of `collection`.  A search is approximate, and exact under a
    filter that at most 20,000 passages pass.  The url `:memory:` is an engine in this process, for tests.
    """

    embed: Embeddings
    collection: str
    url: str = "http://127.0.0.1:6333"
    api_key: SecretStr = SecretStr("")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]{1,200}", self.collection, re.ASCII):
            raise ValueError(
                f"'{self.collection}' is no name for a collection: use letters, digits, '_', '.' and '-'"
            )

    def rows(self, name: str) -> Rows:
        return _QdrantRows(self, name, self.client())

    def client(self) -> QdrantClient:
        """The client of the server, which all searches of this process share."""
        return _client(self.url, self.api_key.get_secret_value() or None)


@functools.cache
def _client(url: str, api_key: str | None) -> QdrantClient:
    try:
        from qdrant_client import QdrantClient
    except ImportError:
        raise UsageError("the index 'qdrant' needs qdrant-client; pip install 'ragkit[qdrant]'") from None
    return QdrantClient(url, api_key=api_key, timeout=_SECONDS, check_compatibility=False)


class _QdrantRows(Rows):
    """A collection whose points have the passage, the key's number, `added` and `removed`.

    Points without a vector note which generation is being written (`writer`), and which are complete (`sealed`).
    """

    def __init__(self, index: QdrantIndex, name: str, client: QdrantClient) -> None:
        self.index, self.client = index, client
        self.name = f"{index.collection}-{name}"

    def begin(self, generation: int, last: int | None) -> None:
        from qdrant_client import models as q

        if not self._told(self.client.collection_exists, self.name):
            size = len(self.index.embed.embed_query("size"))
            vectors = {_VECTOR: q.VectorParams(size=size, distance=q.Distance.COSINE)}
            self._told(self.client.create_collection, self.name, vectors)
        if self.index.url != _MEMORY:  # whose engine has no such indexes
            self._make_filters_quick()
        self._note("writer", {"writer": generation})
        kept = generation - 1 if last is None else last
        self._delete(_range("added", gt=kept))
        self._delete(_range("sealed", gt=kept))
        if last is None:
            self._mark(generation, _range("removed", gte=_NEVER))
        else:
            self._mark(_NEVER, _range("removed", gt=last, lt=_NEVER))

    def add(self, keys: Sequence[Key], vectors: Vectors | None, generation: int) -> None:
        from qdrant_client import models as q

        assert vectors is not None
        self._demand(generation)
        points = (
            q.PointStruct(
                id=_point(key.passage, key.n, generation),
                vector={_VECTOR: vector.tolist()},
                payload={"passage": key.passage, "n": key.n, "added": generation, "removed": _NEVER},
            )
            for key, vector in zip(keys, vectors, strict=True)
        )
        while some := list(islice(points, _PAGE)):
            self._told(self.client.upsert, self.name, some, wait=True)

    def remove(self, passages: Collection[str], generation: int) -> int:
        self._demand(generation)
        named = list(passages)
        return sum(
            self._mark(generation, _range("removed", gte=_NEVER), _any(named[at : at + _PAGE]))
            for at in range(0, len(named), _PAGE)
        )

    def seal(self, generation: int) -> None:  # each write has waited until searches find it
        self._demand(generation)
        self._note(f"sealed {generation}", {"sealed": generation})

    def is_sealed(self, generation: int) -> bool:
        if not self._told(self.client.collection_exists, self.name):
            return False
        return bool(self._told(self.client.retrieve, self.name, [_point(f"sealed {generation}")]))

    def drop(self, generation: int) -> None:
        self._delete(_range("removed", lte=generation))
        self._delete(_range("sealed", lt=generation))

    def search(
        self, queries: Sequence[str], k: int, generation: int, among: Set[str] | None
    ) -> list[list[Hit]]:
        return [
            self._nearest(vector.tolist(), k, generation, among) if vector.any() else []
            for vector in query_vectors_of(self.index.embed, queries)
        ]

    def _nearest(self, vector: list[float], k: int, generation: int, among: Set[str] | None) -> list[Hit]:
        from qdrant_client import models as q

        if among is not None and not among:
            return []
        seen, exact = _seen(generation), False
        if among is not None and len(among) <= _NAMED:
            seen, exact, among = [*seen, _any(list(among))], True, None

        def best(wanted: int) -> list[Hit]:
            found = self._told(
                self.client.query_points,
                self.name,
                vector,
                using=_VECTOR,
                query_filter=q.Filter(must=seen),
                search_params=None
                if self.index.url == _MEMORY
                else q.SearchParams(exact=exact, hnsw_ef=max(_EF, 2 * wanted)),
                limit=wanted,
                with_payload=["passage", "n"],
            ).points
            payloads = [(point.payload or {}, point.score) for point in found]
            return [Hit(p["passage"], min(max(score, 0.0), 1.0), p["n"]) for p, score in payloads]

        return best_passages(best, k, lambda hit: hit.passage, among)

    def _make_filters_quick(self) -> None:
        from qdrant_client import models as q

        numbers, ids = q.PayloadSchemaType.INTEGER, q.PayloadSchemaType.UUID
        for field, kind in {"added": numbers, "removed": numbers, "sealed": numbers, "passage": ids}.items():
            self._told(self.client.create_payload_index, self.name, field, kind)

    def entries(self, generation: int) -> Iterator[tuple[str, int]]:
        from qdrant_client import models as q

        seen, place = q.Filter(must=_seen(generation)), None
        while True:
            points, place = self._told(self.client.scroll, self.name, seen, limit=_PAGE, offset=place)
            yield from ((p.payload["passage"], p.payload["n"]) for p in points if p.payload)
            if place is None:
                return

    def count(self, generation: int) -> int:
        return self._count(*_seen(generation))

    def _count(self, *conditions: Any) -> int:
        from qdrant_client import models as q

        return self._told(self.client.count, self.name, q.Filter(must=list(conditions))).count

    def _mark(self, removed: int, *conditions: Any) -> int:
        """Note that points were *removed* by a generation; returns how many meet the conditions."""
        from qdrant_client import models as q

        if number := self._count(*conditions):
            chosen = q.Filter(must=list(conditions))
            self._told(self.client.set_payload, self.name, {"removed": removed}, points=chosen, wait=True)
        return number

    def _delete(self, condition: Any) -> None:
        from qdrant_client import models as q

        self._told(
            self.client.delete, self.name, q.FilterSelector(filter=q.Filter(must=[condition])), wait=True
        )

    def _note(self, name: str, payload: dict[str, int]) -> None:
        from qdrant_client import models as q

        point = q.PointStruct(id=_point(name), vector={}, payload=payload)
        self._told(self.client.upsert, self.name, [point], wait=True)

    def _demand(self, generation: int) -> None:
        [note] = self._told(self.client.retrieve, self.name, [_point("writer")])
        if note.payload != {"writer": generation}:
            raise self.refuse(self.name)

    def _told(self, method: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Ask the server; what keeps it from an answer is a `CorpusError`."""
        from qdrant_client.http.exceptions import ApiException

        try:
            return method(*arguments, **named)
        except ApiException as error:
            said = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise CorpusError(
                f"the Qdrant server at {self.index.url} did not do what was asked of '{self.name}': {said}"
            ) from None


def _point(name: str, *numbers: int) -> str:
    return str(uuid5(NAMESPACE_OID, " ".join([name, *map(str, numbers)])))


def _seen(generation: int) -> list[Any]:
    return [_range("added", lte=generation), _range("removed", gt=generation)]


def _range(key: str, **bounds: float) -> Any:
    from qdrant_client import models as q

    return q.FieldCondition(key=key, range=q.Range(**bounds))


def _any(passages: list[str]) -> Any:
    from qdrant_client import models as q

    return q.FieldCondition(key="passage", match=q.MatchAny(any=passages))

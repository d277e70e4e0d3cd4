"""LangChain vector stores as indexes: they embed and store by themselves, and have no generations."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from ragkit.document import Key, entry, entry_id, scored
from ragkit.index import best_passages

log = logging.getLogger("ragkit")

_NAMED = 1_000  # passages that pass a filter and are named in the search; stores turn each into a parameter

# it prints whole passages where rounding puts a score just above 1, or where cosines are below 0
warnings.filterwarnings("ignore", "Relevance scores must be between 0 and 1")


def add(store: VectorStore, keys: Sequence[Key], documents: Sequence[str]) -> None:
    """Add *keys* of passages of these *documents*, one each."""
    entries = [entry(key, document) for key, document in zip(keys, documents, strict=True)]
    store.add_documents(entries, ids=[str(e.id) for e in entries])


def remove(store: VectorStore, keys: Iterable[tuple[str, int]]) -> None:
    store.delete([entry_id(passage, n) for passage, n in keys])


def holds(store: VectorStore, passage: str, text: str) -> bool:
    """Does *store* hold this passage?

    A store without look-up by id is searched for the passage's *text*: does it find anything?
    """
    try:
        return bool(store.get_by_ids([passage]))
    except NotImplementedError:
        return bool(store.similarity_search(text, k=1))


def nearest(store: VectorStore, query: str, k: int, among: Set[str] | None) -> list[Document]:
    """The *k* nearest passages, as the store gives them, with their scores.

    At most 1,000 passages are named in the store's own filter, where that is known.  What it finds is judged again, and
    if that is not enough the store is asked for more and more without a filter, as other stores are.
    """
    if among is not None and not among:
        return []
    found: list[tuple[Document, float]] = []
    if among is not None and len(among) <= _NAMED and (naming := _naming(store)):
        found = _best(store, query, k, among, naming(among))
    if among is None or len(found) < min(k, len(among)):
        found = _best(store, query, k, among, {})
    return [
        scored(document.model_copy(update={"id": passage_of(document)}), score) for document, score in found
    ]


def _best(
    store: VectorStore, query: str, k: int, among: Set[str] | None, given: Mapping[str, Any]
) -> list[tuple[Document, float]]:
    return best_passages(
        lambda wanted: _scored(store, query, wanted, **given), k, lambda pair: passage_of(pair[0]), among
    )


def _naming(store: VectorStore) -> Callable[[Set[str]], dict[str, Any]] | None:
    """What makes *store* find the entries of some passages only: arguments of its search; None if nothing is known."""
    made = {f"{made.__module__.partition('.')[0]}.{made.__name__}" for made in type(store).__mro__}
    if not made.isdisjoint({"langchain_chroma.Chroma", "langchain_postgres.PGVector"}):
        return lambda among: {"filter": {"passage": {"$in": sorted(among)}}}
    if "langchain_qdrant.QdrantVectorStore" in made:
        return lambda among: _in_qdrant(
            f"{getattr(store, 'metadata_payload_key', 'metadata')}.passage", among
        )
    return None


def _in_qdrant(key: str, among: Set[str]) -> dict[str, Any]:
    from qdrant_client import models as q

    named = q.FieldCondition(key=key, match=q.MatchAny(any=sorted(among)))
    return {"filter": q.Filter(must=[named])}


def _scored(store: VectorStore, query: str, k: int, **given: Any) -> list[tuple[Document, float]]:
    try:
        return store.similarity_search_with_relevance_scores(query, k=k, **given)
    except NotImplementedError:
        _warn(type(store).__name__)
        found = store.similarity_search(query, k=k)
        return [(document, 1 / rank) for rank, document in enumerate(found, 1)]


@functools.cache
def _warn(name: str) -> None:
    """Said once for each class."""
    log.warning("%s gives no relevance scores, so what it finds is scored by rank: 1, 1/2, 1/3 ...", name)


def passage_of(document: Document) -> str:
    """The passage that an entry leads to; of what others put into the store, its own id or text."""
    return str(document.metadata.get("passage") or document.id or document.page_content)

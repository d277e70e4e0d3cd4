"""LangChain vector stores as indexes: they embed and store by themselves, and have no generations."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Iterable, Sequence

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from ragkit.document import Key, entry, entry_id, scored
from ragkit.index import best_passages

log = logging.getLogger("ragkit")

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


def nearest(store: VectorStore, query: str, k: int, among: frozenset[str] | None) -> list[Document]:
    """The *k* nearest passages, as the store gives them, with their scores."""
    found = best_passages(
        lambda wanted: _scored(store, query, wanted),
        k,
        lambda pair: passage_of(pair[0]),
        among,
    )
    return [
        scored(document.model_copy(update={"id": passage_of(document)}), score) for document, score in found
    ]


def _scored(store: VectorStore, query: str, k: int) -> list[tuple[Document, float]]:
    try:
        return store.similarity_search_with_relevance_scores(query, k=k)
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

"""Questions to ranked passages.  A retriever answers with hits (id and score); their text is read from the corpus."""

from __future__ import annotations

from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict, PositiveInt, PrivateAttr

from ragkit.config.components import component
from ragkit.document import hit, scored
from ragkit.index import Index, LexicalIndex, VectorIndex, widened


class FilteredRetriever(BaseRetriever):
    """A retriever that can be kept to some passages."""

    _among: frozenset[str] | None = PrivateAttr(None)

    def within(self, among: frozenset[str] | None) -> Self:
        """The same retriever over its indexes as they are open now, which finds only the passages with these ids; any, if None."""
        views = {
            name: value.view()
            for name in type(self).model_fields
            if isinstance(value := getattr(self, name), Index)
        }
        kept = self.model_copy(update=views)
        kept._among = among
        return kept

    @property
    def computes(self) -> bool:
        """Does a search keep this machine's cores busy, rather than wait for a server?  Then two at once are slower than in turn."""
        parts = [getattr(self, name) for name in type(self).model_fields]
        return all(part.computes for part in parts if isinstance(part, Index))

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)


@component("dense")
class DenseRetriever(FilteredRetriever):
    """The `k` passages whose vectors are nearest to the question's."""

    store: VectorStore
    k: PositiveInt = 100

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        if isinstance(self.store, VectorIndex):
            return [
                hit(identity, score) for identity, score in self.store.nearest(query, self.k, self._among)
            ]

        def best(wanted: int) -> list[tuple[Document, float]]:
            return self.store.similarity_search_with_relevance_scores(query, k=wanted)

        among = self._among
        found = best(self.k) if among is None else widened(best, self.k, lambda pair: pair[0].id in among)
        return [scored(document, score) for document, score in found]


@component("lexical")
class LexicalRetriever(FilteredRetriever):
    """The `k` passages that share the most telling words with the question."""

    index: LexicalIndex
    k: PositiveInt = 100

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [hit(identity, score) for identity, score in self.index.search(query, self.k, self._among)]

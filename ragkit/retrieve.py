"""Questions to ranked passages.  A retriever answers with hits (id and score); their text is read from the corpus."""

from __future__ import annotations

from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict, PositiveInt

from ragkit.document import hit, scored
from ragkit.index import LexicalIndex
from ragkit.registry import component


class _Retriever(BaseRetriever):
    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)


@component("dense")
class DenseRetriever(_Retriever):
    """The `k` passages whose vectors are nearest to the question's."""

    store: VectorStore
    k: PositiveInt = 50

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        found = self.store.similarity_search_with_relevance_scores(query, k=self.k)
        return [scored(document, score) for document, score in found]


@component("lexical")
class LexicalRetriever(_Retriever):
    """The `k` passages that share the most telling words with the question."""

    index: LexicalIndex
    k: PositiveInt = 50

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [hit(identity, score) for identity, score in self.index.search(query, self.k)]

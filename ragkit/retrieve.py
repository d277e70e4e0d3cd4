"""From a question to ranked passages.

A retriever returns hits (id and score); their text is read from the corpus.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict, PositiveInt, PrivateAttr

from ragkit.config.components import component
from ragkit.corpus import Corpus
from ragkit.document import hit
from ragkit.errors import UsageError
from ragkit.index import Hit, Index, LexicalIndex, Searcher, Snapshot, VectorIndex, external
from ragkit.where import Where


class Passing:
    """The passages of *corpus* that pass a filter.

    What a search finds is judged, until that has cost as much as to judge every passage: most filters let most passages
    pass, and what all of them are is known only until the corpus changes.
    """

    def __init__(self, corpus: Corpus, where: Where) -> None:
        self.corpus, self.where = corpus, where

    @property
    def every(self) -> Set[str] | None:
        """The ids of all of them; None where all passages pass."""
        return self.corpus.matching(self.where)

    def best(self, searcher: Searcher, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """What `search_each` of *searcher* finds among them."""
        wanted = _MORE * k
        if self.corpus.judging_pays(self.where, wanted * len(queries), searcher.count):
            found = searcher.search_each(queries, wanted)
            passing = self.corpus.passing(self.where, {hit.passage for hits in found for hit in hits})
            best = [[hit for hit in hits if hit.passage in passing][:k] for hits in found]
            if all(len(own) == k or len(hits) < wanted for own, hits in zip(best, found, strict=True)):
                return best
        return searcher.search_each(queries, k, self.every)


_MORE = 2  # times as many passages as are wanted are found to judge them


class FilteredRetriever(BaseRetriever):
    """A retriever bound to an open state of its indexes and to the passages that it may return."""

    _snapshot: Snapshot | None = PrivateAttr(None)
    _among: Set[str] | Passing | None = PrivateAttr(None)

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    def over(self, snapshot: Snapshot, among: Set[str] | Passing | None = None) -> Self:
        """This retriever bound to *snapshot*; it finds only passages of *among*, or any if that is None."""
        bound = self.model_copy()
        bound._snapshot, bound._among = snapshot, among
        return bound

    @property
    def searched(self) -> list[str]:
        """What the ledger calls the indexes that it is bound to."""
        parts = [getattr(self, name) for name in type(self).model_fields]
        return [self._snapshot.names[id(p)] for p in parts if self._snapshot and isinstance(p, Index)]

    @property
    def computes(self) -> bool:
        """Is a search CPU-bound, rather than waiting for a server?

        CPU-bound searches run one after another, which is faster than at the same time.
        """
        parts = [getattr(self, name) for name in type(self).model_fields]
        return all(part.computes for part in parts if isinstance(part, Index))

    def each(self, queries: Sequence[str]) -> list[list[Document]]:
        """What `invoke` finds for each of *queries*."""
        return [self.invoke(query) for query in queries]

    def _hits(self, index: Index, queries: Sequence[str], k: int) -> list[list[Document]]:
        if self._snapshot is None:
            raise UsageError(
                f"this {type(self).__name__} has no open index yet: ask by a Rag, or call over(snapshot)"
            )
        searcher = self._snapshot.searcher(index)
        if isinstance(self._among, Passing):
            found = self._among.best(searcher, queries, k)
        else:
            found = searcher.search_each(queries, k, self._among)
        return [[hit(*each) for each in hits] for hits in found]


@component("dense")
class DenseRetriever(FilteredRetriever):
    """The `k` passages whose vectors are nearest to the question's."""

    store: VectorStore | VectorIndex
    k: PositiveInt = 100

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        if isinstance(self.store, VectorStore):
            among = self._among.every if isinstance(self._among, Passing) else self._among
            return external.nearest(self.store, query, self.k, among)
        return self._hits(self.store, [query], self.k)[0]

    def each(self, queries: Sequence[str]) -> list[list[Document]]:
        if isinstance(self.store, VectorStore) or not queries:
            return super().each(queries)
        return self._hits(self.store, queries, self.k)


@component("lexical")
class LexicalRetriever(FilteredRetriever):
    """The `k` passages that share the most telling words with the question."""

    index: LexicalIndex
    k: PositiveInt = 100

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return self._hits(self.index, [query], self.k)[0]

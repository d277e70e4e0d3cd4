"""Keyword search: BM25 over stemmed words, by tantivy."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

from langchain_core.documents import Document
from pydantic import NonNegativeFloat, PositiveInt

from ragkit.config.components import component
from ragkit.document import searchable, title_of
from ragkit.index import LexicalIndex, widened

_ANALYZER = "ragkit"
_NAMED = 20_000  # passages that a filter leaves and that the search is told one by one


@component("bm25")
@dataclass(frozen=True)
class TantivyIndex(LexicalIndex):
    """BM25 over title and text together, words stemmed for `language`.

    `language` is one that Snowball stems (`english`, `german`, `french` ...), or `none` to take words as they are.  Words of
    the question in the title add `title_weight` times their score there; two that stand side by side in the question and in
    the passage add `phrase_weight` times theirs.  `benchmarks/lexical.py` says what these are worth: little, once fused.
    """

    handles: ClassVar[tuple[str, ...]] = ("_index", "_writer")

    language: str = "english"
    title_weight: NonNegativeFloat = 0.0
    phrase_weight: NonNegativeFloat = 0.0
    memory_mb: PositiveInt = 64

    def add_passages(self, passages: Sequence[Document]) -> None:
        import tantivy

        for passage in passages:
            self._writer.delete_documents_by_term("id", str(passage.id))
            fields = {"title": title_of(passage)} if self.title_weight else {}
            self._writer.add_document(
                tantivy.Document(id=str(passage.id), text=searchable(passage), **fields)
            )

    def remove(self, ids: Sequence[str]) -> None:
        for identity in ids:
            self._writer.delete_documents_by_term("id", identity)

    @functools.cached_property
    def _writer(self) -> Any:
        return self._index.writer(heap_size=self.memory_mb * 1_000_000, num_threads=1)

    def _searcher(self) -> Any:
        self._commit()
        return self._index.searcher()

    def _commit(self) -> None:
        """Put what was added and removed into the files; once for all, as each time costs as much as thousands of passages."""
        if writer := self.__dict__.pop("_writer", None):
            writer.commit()
            writer.wait_merging_threads()
            self._index.reload()

    def search(self, query: str, k: int, among: frozenset[str] | None = None) -> list[tuple[str, float]]:
        import tantivy

        terms = [(tantivy.Occur.Should, each) for each in self._queries(query)]
        if not terms or (among is not None and not among):
            return []
        matches = tantivy.Query.boolean_query(terms)
        searcher = self._searcher()

        def best(wanted: int) -> list[tuple[str, float]]:
            found = searcher.search(matches, limit=wanted, count=False)
            return [(searcher.doc(address)["id"][0], float(score)) for score, address in found.hits]

        if among is None:
            return best(k)
        if len(among) <= _NAMED:
            named = tantivy.Query.term_set_query(self._schema, "id", sorted(among))
            unscored = tantivy.Query.const_score_query(named, 0.0)
            matches = tantivy.Query.boolean_query(
                [(tantivy.Occur.Must, matches), (tantivy.Occur.Must, unscored)]
            )
            return best(k)
        return widened(best, k, lambda found: found[0] in among)

    def _queries(self, query: str) -> Iterator[Any]:
        """What a passage may match, each with a score of its own."""
        from tantivy import Query

        words = self._analyzer.analyze(query)
        for word in dict.fromkeys(words):
            yield Query.term_query(self._schema, "text", word)
            if self.title_weight:
                yield Query.boost_query(Query.term_query(self._schema, "title", word), self.title_weight)
        if self.phrase_weight:
            for pair in dict.fromkeys(pairwise(words)):
                yield Query.boost_query(
                    Query.phrase_query(self._schema, "text", list(pair)), self.phrase_weight
                )

    def count(self) -> int:
        return int(self._searcher().num_docs)

    def ids(self) -> set[str]:
        import tantivy

        searcher = self._searcher()
        every = searcher.search(tantivy.Query.all_query(), limit=max(searcher.num_docs, 1), count=False)
        return {searcher.doc(address)["id"][0] for _, address in every.hits}

    def let_go(self) -> None:
        self._commit()
        self.__dict__.pop("_index", None)

    @functools.cached_property
    def _index(self) -> Any:
        import tantivy

        self.folder.mkdir(parents=True, exist_ok=True)
        index = tantivy.Index(self._schema, path=str(self.folder), reuse=True)
        index.register_tokenizer(_ANALYZER, self._analyzer)
        return index

    @functools.cached_property
    def _schema(self) -> Any:
        import tantivy

        builder = tantivy.SchemaBuilder()
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        placed: Literal["position", "freq"] = "position" if self.phrase_weight else "freq"
        builder.add_text_field("text", stored=False, tokenizer_name=_ANALYZER, index_option=placed)
        if self.title_weight:
            builder.add_text_field("title", stored=False, tokenizer_name=_ANALYZER, index_option="freq")
        return builder.build()

    @functools.cached_property
    def _analyzer(self) -> Any:
        import tantivy

        builder = (
            tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
            .filter(tantivy.Filter.remove_long(80))
            .filter(tantivy.Filter.lowercase())
        )
        if self.language != "none":
            builder = builder.filter(tantivy.Filter.stopword(self.language)).filter(
                tantivy.Filter.stemmer(self.language)
            )
        return builder.build()

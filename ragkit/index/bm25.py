"""Keyword search: BM25 over stemmed words, by tantivy."""

from __future__ import annotations

import binascii
import functools
import re
import string
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

from pydantic import PositiveInt

from ragkit.config.components import component
from ragkit.document import Key
from ragkit.index import Builder, Hit, LexicalIndex, Place, Searcher, best_passages
from ragkit.index.folder import FolderIndex
from ragkit.models.embeddings import Vectors
from ragkit.text.words import segmented

_ANALYZER = "ragkit"
_DIGITS = f"{string.ascii_letters}{string.digits}+/"  # of base 64, in which ids are written
_NAMED = 20_000  # passages that pass a filter and are listed one by one in the search, at most
_NAMING = 0.5
"""What it costs to list one, beside judging one that was found: of 100,000 passages 2.4 and 4.6 µs (medians of 40 searches)."""


@component("bm25")
@dataclass(frozen=True)
class Bm25Index(FolderIndex, LexicalIndex):
    """BM25 over title and text together, words stemmed for `language`, pairs of characters where none are marked.

    `language` is one that Snowball stems (`english`, `german`, `french` ...), or `none` to take words as they
    are.  `memory_mb` is what an ingest may take for words that are not in files yet.
    """

    language: str = "english"
    memory_mb: PositiveInt = 64

    def write(self, place: Place) -> Builder:
        return _Bm25Builder(self, place)

    def open(self, place: Place) -> Searcher:
        try:
            return _Bm25Searcher(self, place)
        except (
            ValueError
        ):  # whatever is wrong; mostly that tantivy's lock cannot be made in a read-only folder
            with self.writable(place) as there:
                return _Bm25Searcher(self, there)  # what it has open stays when the links are gone

    def opened(self, place: Place) -> Any:
        """The tantivy index in a folder.

        Its segments never change; `meta.json` and `.managed.json` are replaced whole.
        """
        import tantivy

        index = tantivy.Index(_schema(), path=str(place.folder), reuse=True)
        index.register_tokenizer(_ANALYZER, self.analyzer())
        return index

    def analyzer(self) -> Any:
        """What makes words of a text."""
        return _analyzer(self.language)


class _Bm25Builder(Builder):
    def __init__(self, index: Bm25Index, place: Place) -> None:
        self.writer = index.opened(place).writer(heap_size=index.memory_mb * 1_000_000, num_threads=1)

    def add(self, keys: Sequence[Key], vectors: Vectors | None = None) -> None:
        import tantivy

        for key in keys:
            self.writer.add_document(
                tantivy.Document(id=_term(key.passage), n=key.n, text=segmented(key.text))
            )

    def remove(self, passages: Collection[str]) -> None:
        for identity in passages:
            self.writer.delete_documents_by_term("id", _term(identity))

    def seal(self) -> None:
        self.writer.commit()  # once for all, as each time costs as much as thousands of passages
        self.writer.wait_merging_threads()


class _Bm25Searcher(Searcher):
    def __init__(self, index: Bm25Index, place: Place) -> None:
        self.schema, self.analyzer = _schema(), index.analyzer()
        self.inner = index.opened(place).searcher()
        self.asked: tuple[Set[str], Any] = (frozenset(), None)

    def search(self, query: str, k: int, among: Set[str] | None = None) -> list[Hit]:
        from tantivy import Occur, Query

        words = dict.fromkeys(self.analyzer.analyze(segmented(query)))
        if not words or (among is not None and not among):
            return []
        matches = Query.boolean_query(
            [(Occur.Should, Query.term_query(self.schema, "text", word)) for word in words]
        )
        if among is not None and self._naming_pays(among, k):
            matches = Query.boolean_query([(Occur.Must, matches), (Occur.Must, self._named(among))])
            among = None

        def best(wanted: int) -> list[Hit]:
            found = self.inner.search(matches, limit=wanted, count=False)
            keys = self._keys(address for _, address in found.hits)
            return [Hit(passage, score, n) for (score, _), (passage, n) in zip(found.hits, keys, strict=True)]

        return best_passages(best, k, lambda hit: hit.passage, among, self.count())

    def _naming_pays(self, among: Set[str], k: int) -> bool:
        """Is it cheaper to name these passages in the search than to judge what it finds until *k* of them are found?"""
        judged = k * self.count() / len(among)
        return len(among) <= _NAMED and _NAMING * len(among) <= judged

    def _named(self, among: Set[str]) -> Any:
        """A query that matches these passages; the last one is cached, since filters repeat."""
        from tantivy import Query

        known = self.asked
        if known[0] is not among:
            named = Query.term_set_query(self.schema, "id", sorted(map(_term, among)))
            known = self.asked = (among, Query.const_score_query(named, 0.0))
        return known[1]

    def _keys(self, addresses: Iterable[Any]) -> Iterator[tuple[str, int]]:
        for address in addresses:
            document = self.inner.doc(address)
            yield _passage(document["id"][0]), document["n"][0]

    def entries(self) -> Iterator[tuple[str, int]]:
        from tantivy import Query

        for first in _DIGITS:  # of an id: so many parts are never listed together
            begun = Query.regex_query(self.schema, "id", f"{re.escape(first)}.*")
            some = self.inner.search(begun, limit=max(self.count(), 1), count=False)
            yield from self._keys(address for _, address in some.hits)

    def count(self) -> int:
        return int(self.inner.num_docs)


def _term(passage: str) -> str:
    """A UUID in 22 characters: the longer the terms, the longer takes a filter that names many passages."""
    return binascii.b2a_base64(bytes.fromhex(passage.replace("-", ""))).decode()[:22]


def _passage(term: str) -> str:
    digits = binascii.a2b_base64(f"{term}==").hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@functools.cache
def _schema() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("n", stored=True)
    builder.add_text_field("text", stored=False, tokenizer_name=_ANALYZER, index_option="freq")
    return builder.build()


@functools.cache
def _analyzer(language: str) -> Any:
    import tantivy

    builder = (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(80))
        .filter(tantivy.Filter.lowercase())
    )
    if language != "none":
        builder = builder.filter(tantivy.Filter.stopword(language)).filter(tantivy.Filter.stemmer(language))
    return builder.build()

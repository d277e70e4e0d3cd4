"""What is read of a whole corpus or index is read in pieces: of four times as many papers, no more is held at once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ragkit.corpus import Corpus
from ragkit.corpus.ledger import Holding, IndexState
from ragkit.corpus.store import Connection
from ragkit.document import Key, passage_id
from ragkit.index import Place
from ragkit.index.bm25 import Bm25Index
from ragkit.index.flat import FlatIndex
from ragkit.testing import HashedEmbeddings
from ragkit.testing.engines import add_keys
from ragkit.where import parse

PAPERS = 1_500


def filled(folder: Path, papers: int) -> Corpus:
    """A corpus of so many papers with two passages each, all in the index `index`."""
    corpus = Corpus(folder)
    with corpus.writing():
        with corpus.transaction() as db:
            insert(db, papers)
        corpus.publish([IndexState(Holding("index", "chunker"), "", 1, True)])
    return corpus


def insert(db: Connection, papers: int) -> None:
    for n in range(papers):
        document = passage_id("paper", n, n)
        db.execute("INSERT INTO files VALUES (?, '', '')", (f"{n}.md",))
        known = f'{{"year": {1900 + n % 100}, "abstract": "{"bridge " * 20}"}}'
        db.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", (document, f"Paper {n}", "text", known, n))
        db.execute("INSERT INTO sources (uri, position, document) VALUES (?, 0, ?)", (f"{n}.md", document))
        db.execute("INSERT INTO chunked VALUES (?, 'chunker')", (document,))
        for start in (0, 1):
            cut = (passage_id(document, start, start + 1), document, "chunker", start, start + 1, "{}")
            db.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)", cut)


def peak(read: Callable[[], object]) -> int:
    """How many bytes Python holds at most while it reads, beyond what it held before."""
    read()  # what is kept for good is there now
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def every_passage_passes(corpus: Corpus) -> None:
    corpus.local.matching = {}
    assert corpus.matching(parse("year >= 1900")) is None


READS: dict[str, Callable[[Corpus], object]] = {
    "a filter that all passages pass": every_passage_passes,
    "the files": lambda corpus: sum(1 for _ in corpus.uris()),
    "what is known of each paper": lambda corpus: sum(1 for _ in corpus.facts()),
    "what a chunker has not cut": lambda corpus: sum(1 for _ in corpus.unchunked("other")),
    "the fields": lambda corpus: corpus.fields(),
    "what an index holds": lambda corpus: sum(1 for _ in corpus.held("index")),
    "what an index lacks": lambda corpus: sum(1 for _ in corpus.missing(Holding("other", "chunker"))),
    "the digest of what an index holds": lambda corpus: corpus.ledger_digest("index"),
}


@pytest.mark.parametrize("read", READS)
def test_a_corpus_is_read_in_pieces(read: str, tmp_path: Path) -> None:
    small, large = (filled(tmp_path / str(n), n) for n in (PAPERS, 4 * PAPERS))
    assert peak(lambda: READS[read](large)) < 1.5 * peak(lambda: READS[read](small))


@pytest.mark.parametrize("index", [FlatIndex(embed=HashedEmbeddings(size=8)), Bm25Index()], ids=type)
def test_the_keys_of_an_index_are_listed_in_pieces(index: FlatIndex | Bm25Index, tmp_path: Path) -> None:
    number = 100_000
    builder = index.build(None, Place(tmp_path, 1))
    for at in range(0, number, 5_000):
        add_keys(index, builder, [Key(passage_id("key", n, n), 0, "bridge") for n in range(at, at + 5_000)])
    builder.seal()
    with closing(index.open(Place(tmp_path, 1))) as searcher:

        def listed(entries: Iterator[tuple[str, int]]) -> int:
            return sum(1 for _ in entries)

        assert listed(searcher.entries()) == number
        assert peak(lambda: listed(searcher.entries())) < 0.3 * peak(lambda: list(searcher.entries()))

"""What is read of a whole corpus or index is read in pieces: of four times as many papers, no more is held at once."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from ragkit.corpus import Corpus
from ragkit.corpus.ledger import Holding, IndexState
from ragkit.corpus.store import Connection
from ragkit.corpus.versions import settle
from ragkit.document import Key, digest, passage_id
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
        title, work = f"Paper {n}", n // 2  # each work has two versions
        db.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", (document, title, "text", known, work))
        db.execute("INSERT INTO sources (uri, position, document) VALUES (?, 0, ?)", (f"{n}.md", document))
        db.execute("INSERT INTO chunked VALUES (?, 'chunker')", (document,))
        for start in (0, 1):
            cut = (passage_id(document, start, start + 1), document, "chunker", start, start + 1, "{}")
            db.execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)", cut)
            found_by = digest(f"{title}\n{'text'[start]}")
            db.execute("INSERT INTO vectors VALUES ('model', ?, ?)", (found_by, b""))


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
    "the papers that pass a filter": lambda corpus: sum(1 for _ in corpus.facts_of_papers()),
    "which version of each work is the newest": lambda corpus: settle(corpus.db),
}


@pytest.mark.parametrize("read", READS)
def test_a_corpus_is_read_in_pieces(read: str, tmp_path: Path) -> None:
    small, large = (filled(tmp_path / str(n), n) for n in (PAPERS, 4 * PAPERS))
    assert peak(lambda: READS[read](large)) < 1.5 * peak(lambda: READS[read](small))


def passages_that_pass(where: str, corpus: Corpus) -> None:
    corpus.local.matching = {}
    assert corpus.matching(parse(where))


COMPACT: dict[str, Callable[[Corpus], object]] = {
    "the passages that pass a filter": partial(passages_that_pass, "year >= 1901"),
    "those of papers that are the newest": partial(passages_that_pass, "not superseded_by exists"),
    "the vectors that no passage needs": lambda corpus: len(corpus.orphaned_vectors()),
}


@pytest.mark.parametrize("read", COMPACT)
def test_what_has_an_entry_for_each_passage_takes_few_bytes_for_each(read: str, tmp_path: Path) -> None:
    """An id as a text in a set takes 150."""
    small, large = (filled(tmp_path / str(n), n) for n in (PAPERS, 4 * PAPERS))
    more = peak(lambda: COMPACT[read](large)) - peak(lambda: COMPACT[read](small))
    assert more < 64 * (large.counts().chunks - small.counts().chunks)


def test_the_vectors_that_no_passage_needs_are_found_with_few_passages_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, batches, read = filled(tmp_path, PAPERS), list[int](), Corpus._passages
    with corpus.writing(), corpus.transaction() as db:
        db.execute("INSERT INTO vectors VALUES ('model', 'f00', X'')")
        db.execute("INSERT INTO vectors VALUES ('other', 'f00', X'')")
        db.execute("DELETE FROM chunks WHERE id = (SELECT min(id) FROM chunks)")
    monkeypatch.setattr(Corpus, "_passages", lambda self, some: batches.append(len(some)) or read(self, some))
    assert len(corpus.orphaned_vectors()) == 2
    assert (sum(batches), max(batches)) == (2 * PAPERS - 1, 40)
    assert corpus.vacuum() == 2
    assert (corpus.counts().vectors, len(corpus.orphaned_vectors())) == (2 * PAPERS - 1, 0)


def test_looking_keys_up_in_the_ledger_costs_the_same_in_a_larger_corpus(tmp_path: Path) -> None:
    steps = []
    for corpus in (filled(tmp_path / str(n), n) for n in (PAPERS, 4 * PAPERS)):
        keys, asked = [(identity, 0) for identity in islice(corpus.held("index"), 500)], list[int]()
        assert isinstance(corpus.db, sqlite3.Connection)
        corpus.db.set_progress_handler(lambda asked=asked: asked.append(1), 100)  # type: ignore[misc]
        assert corpus.count_known("index", [*keys, (keys[0][0], 1)]) == 500
        steps.append(len(asked))
    assert steps[1] < 1.5 * steps[0]


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

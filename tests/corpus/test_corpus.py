"""The corpus holds what files list, once each, and survives whatever happens to the writing process."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from langchain_core.documents import Document
from postgres import Server

from ragkit.corpus import Corpus, Counts
from ragkit.corpus.ledger import Holding, IndexState
from ragkit.corpus.postgres import PostgresCorpus
from ragkit.document import (
    Key,
    Span,
    digest,
    passage,
    passage_id,
    places_of,
    searchable,
    sources_of,
    span_of,
    title_of,
)
from ragkit.errors import CorpusError, NoCorpus
from ragkit.read.border import clean
from ragkit.where import parse

NOTHING = Counts(
    files=0, entries=0, documents=0, duplicates=0, variants=0, descriptions=0, chunks=0, vectors=0
)


def in_postgres(server: Server, folder: Path) -> PostgresCorpus:
    """A place of its own on the server, where nothing is yet."""
    return PostgresCorpus(server.url(), folder, f"t{next(_NUMBERS)}")


_NUMBERS = itertools.count(os.getpid() * 1000)


@pytest.fixture
def sqlite_corpus(tmp_path: Path) -> Iterator[Corpus]:
    with closing(Corpus(tmp_path / "corpus")) as made:
        with made.writing():
            pass
        yield made


@pytest.fixture(params=["SQLite", "Postgres"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Corpus]:
    """An empty corpus, in each database."""
    place: Any = tmp_path / "corpus"
    if request.param == "Postgres":
        place = in_postgres(request.getfixturevalue("postgres"), tmp_path / "corpus")
    with closing(Corpus(place)) as made:
        with made.writing():
            pass
        yield made


def entry(title: str, text: str, start: int = 0, /, **metadata: Any) -> Document:
    return Document(
        page_content=text,
        metadata={**metadata, "title": title, "sources": [{"start": start, "end": start + len(text)}]},
    )


def put(corpus: Corpus, uri: str, *entries: Document) -> None:
    corpus.put_file(uri, f"digest of {uri}", "loader", entries)


def held(corpus: Corpus) -> dict[str, tuple[str, list[str]]]:
    """The listed papers: title, text and where they are listed."""
    papers = [p for p in corpus.documents(corpus.document_ids()).values() if sources_of(p)]
    return {title_of(p): (p.page_content, [s["uri"] for s in sources_of(p)]) for p in papers}


def texts(corpus: Corpus) -> dict[str, list[str]]:
    """The listed texts, each with the files that list it."""
    papers = corpus.documents(corpus.document_ids()).values()
    return {p.page_content: [s["uri"] for s in sources_of(p)] for p in papers}


def sole(corpus: Corpus) -> Document:
    [paper] = corpus.documents(corpus.document_ids()).values()
    return paper


# --- the same paper twice


def test_a_file_lists_papers_and_each_can_be_read_with_all_that_is_known_of_it(corpus: Corpus) -> None:
    put(
        corpus,
        "a.txt",
        entry("Glass", "They carry people.", 10, year=2024, authors=["Ann"]),
        entry("Steel", "Trains.", 40),
    )
    [glass] = [p for p in corpus.documents(corpus.document_ids()).values() if title_of(p) == "Glass"]
    assert corpus.document(str(glass.id)) == glass
    assert glass.page_content == "They carry people."
    assert glass.metadata == {
        "title": "Glass",
        "year": 2024,
        "authors": ["Ann"],
        "sources": [{"uri": "a.txt", "start": 10, "end": 28}],
    }
    assert list(corpus.uris()) == ["a.txt"]
    assert corpus.counts() == replace(NOTHING, files=1, entries=2, documents=2)


def test_the_same_title_is_the_same_paper_from_another_source(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass: Bridges", "They carry people."))
    put(corpus, "b.txt", entry("GLASS — bridges ", "They carry people.", 7))
    assert sources_of(sole(corpus)) == [
        {"uri": "a.txt", "start": 0, "end": 18},
        {"uri": "b.txt", "start": 7, "end": 25},
    ]
    assert corpus.counts() == replace(NOTHING, files=2, entries=2, documents=1, duplicates=1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"doi": "10.1/ABC"}, {"doi": "https://doi.org/10.1/abc"}),
        ({"arxiv": "2301.10140"}, {"arxiv": "https://arxiv.org/pdf/2301.10140v2.pdf"}),
        (
            {"arxiv": "arXiv:2301.10140v1", "doi": "10.1/abc"},
            {"arxiv": "http://www.arxiv.org/abs/2301.10140"},
        ),
    ],
)
def test_the_same_identifier_is_the_same_paper_under_another_title(
    corpus: Corpus, one: dict[str, str], other: dict[str, str]
) -> None:
    put(
        corpus,
        "a.txt",
        entry("Glass", "They carry people.", **one),
        entry("Bridges of Glass", "They carry people.", **other),
    )
    put(corpus, "b.txt", entry("Bridges of Glass", "They carry people."))
    assert held(corpus) == {"Glass": ("They carry people.", ["a.txt", "a.txt", "b.txt"])}


@pytest.mark.parametrize("name", ["doi", "arxiv"])
def test_different_identifiers_under_one_title_are_two_papers(corpus: Corpus, name: str) -> None:
    put(
        corpus,
        "a.txt",
        entry("Editorial", "On glass.", **{name: "10.1"}),
        entry("Editorial", "On steel.", **{name: "10.2"}),
    )
    assert corpus.counts() == replace(NOTHING, files=1, entries=2, documents=2)


MOSS = "This issue opens with a survey of moss growth on slate roofs in the coastal towns of the north."
SEALS = "Seal counts fell to 87 animals after the storm of March, says the report on harbours."


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"authors": ["Ines Kvale"]}, {"authors": ["Mei Sato"]}),
        ({"doi": "10.1145/nnnnnnn.nnnnnnn"}, {"doi": "10.1145/nnnnnnn.nnnnnnn"}),
        ({"doi": "10.5281/zenodo.7"}, {"year": 2015}),
    ],
)
def test_a_shared_title_or_identifier_makes_different_texts_no_one_paper(
    corpus: Corpus, one: dict[str, Any], other: dict[str, Any]
) -> None:
    put(corpus, "a.md", entry("Editorial", MOSS, **one))
    put(corpus, "b.md", entry("Editorial", SEALS, **other))
    assert corpus.counts() == replace(NOTHING, files=2, entries=2, documents=2)


def test_the_same_title_by_other_authors_is_another_paper_even_if_the_texts_agree(corpus: Corpus) -> None:
    put(corpus, "a.md", entry("Editorial", MOSS, authors=["Ines Kvale"]))
    put(corpus, "b.md", entry("Editorial", MOSS + " It is new.", authors=["Sato, M."]))
    put(corpus, "c.md", entry("Editorial", MOSS + " It is old.", authors=["Kvale, I."]))
    assert corpus.counts() == replace(NOTHING, files=3, entries=3, documents=2, variants=1)


def test_an_abstract_and_the_text_under_one_identifier_are_one_paper(corpus: Corpus) -> None:
    put(corpus, "a.csv", entry("Moss", MOSS, doi="10.1/moss"))
    put(
        corpus,
        "b.pdf",
        entry("Moss growth", f"{MOSS} " + "Then we speak of the methods. " * 30, doi="10.1/moss"),
    )
    assert corpus.counts() == replace(NOTHING, files=2, entries=2, documents=1, variants=1)


def test_a_bibliography_corrects_what_was_guessed_and_describes_no_paper_of_other_authors(
    corpus: Corpus,
) -> None:
    put(
        corpus,
        "a.pdf",
        entry("Moss", MOSS, year=2024, authors=["Northern Isles"], guessed=["year", "authors"]),
    )
    put(corpus, "b.pdf", entry("Moss", SEALS, authors=["Mei Sato"]))
    described = {"bibliography": True, "authors": ["Ines Kvale"], "year": 2009, "venue": "Letters"}
    put(corpus, "c.bib", entry("Moss", "", **described))
    found = {p.page_content: p.metadata for p in corpus.documents(corpus.document_ids()).values()}
    assert {n: found[MOSS].get(n) for n in ("year", "authors", "venue", "guessed")} == {
        "year": 2009, "authors": ["Ines Kvale"], "venue": "Letters", "guessed": None,
    }  # fmt: skip
    assert found[SEALS]["authors"] == ["Mei Sato"]
    assert "venue" not in found[SEALS]


def test_a_guessed_title_makes_no_two_papers_one(corpus: Corpus) -> None:
    put(corpus, "a/readme.txt", entry("readme", "On glass.", title_guessed=True))
    put(corpus, "b/readme.txt", entry("readme", "On steel.", title_guessed=True))
    put(corpus, "c/other.txt", entry("other", "On steel.", title_guessed=True))
    assert corpus.counts() == replace(NOTHING, files=3, entries=3, documents=2, duplicates=1)


def test_a_differing_text_is_a_version_with_places_of_its_own(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."))
    put(corpus, "b.txt", entry("Glass", "They carry many people.", 5))
    assert texts(corpus) == {"They carry people.": ["a.txt"], "They carry many people.": ["b.txt"]}
    papers = corpus.documents(corpus.document_ids()).values()
    assert sorted((sources_of(p)[0]["start"], sources_of(p)[0]["end"]) for p in papers) == [(0, 18), (5, 28)]
    assert corpus.counts() == replace(NOTHING, files=2, entries=2, documents=1, variants=1)


def test_texts_in_one_file_are_versions_and_the_same_text_again_is_no_other(corpus: Corpus) -> None:
    listing = [
        Document(page_content=text, metadata={"title": "Glass"}) for text in ("Of one.", "Of two.", "Of one.")
    ]
    corpus.put_file("a", "digest", "loader", listing)
    assert texts(corpus) == {"Of one.": ["a", "a"], "Of two.": ["a"]}
    assert corpus.counts() == replace(NOTHING, files=1, entries=3, documents=1, duplicates=1, variants=1)


def test_versions_stay_one_paper_when_what_linked_them_is_gone(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people.", doi="10.1/a"))
    put(corpus, "b.txt", entry("Glass", "They carry many.", 5, year=2024))
    put(corpus, "c.txt", entry("Bridges", "They carry many.", 6, doi="10.1/a"))
    put(corpus, "d.txt", entry("Glass", "They carry few.", 7, arxiv="2301.00001"))
    corpus.forget_files(["a.txt"])
    assert texts(corpus) == {"They carry many.": ["b.txt", "c.txt"], "They carry few.": ["d.txt"]}
    assert corpus.counts() == replace(NOTHING, files=3, entries=3, documents=1, duplicates=1, variants=1)
    # What its other listings are known by still leads to it.
    put(
        corpus,
        "e.txt",
        entry("Of Bridges", "They carry many.", doi="10.1/A"),
        entry("Of Few", "They carry many.", arxiv="2301.00001v3"),
    )
    assert texts(corpus)["They carry many."] == ["b.txt", "c.txt", "e.txt", "e.txt"]
    assert corpus.counts().documents == 1
    assert corpus.drop_orphans() == 1


def test_a_file_that_changes_its_text_is_followed(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."))
    put(corpus, "a.txt", entry("Glass", "They carry many."))
    assert held(corpus) == {"Glass": ("They carry many.", ["a.txt"])}
    put(corpus, "b.txt", entry("Glass", "They carry many."))
    put(corpus, "a.txt", entry("Glass", "They carry few."))
    assert texts(corpus) == {"They carry few.": ["a.txt"], "They carry many.": ["b.txt"]}
    put(corpus, "b.txt")
    assert held(corpus) == {"Glass": ("They carry few.", ["a.txt"])}


def test_adding_a_file_again_changes_nothing(corpus: Corpus) -> None:
    put(
        corpus,
        "a.txt",
        entry("Glass", "They carry people.", 3, year=2024),
        entry("Glass", "They carry many."),
    )
    cut = chunked(corpus, "whole")
    before = corpus.documents(corpus.document_ids()), corpus.counts(), corpus.passages(cut)
    put(
        corpus,
        "a.txt",
        entry("Glass", "They carry people.", 3, year=2024),
        entry("Glass", "They carry many."),
    )
    assert (corpus.documents(corpus.document_ids()), corpus.counts(), corpus.passages(cut)) == before
    assert list(corpus.unchunked("whole")) == []
    assert corpus.drop_orphans() == 0


def test_a_file_is_known_by_its_content_and_its_loader(corpus: Corpus) -> None:
    corpus.put_file("a.txt", "digest", "loader", [entry("Glass", "They carry people.")])
    asked = [
        ("a.txt", "digest", "loader"),
        ("b.txt", "digest", "loader"),
        ("a.txt", "other", "loader"),
        ("a.txt", "digest", "other"),
    ]
    assert [corpus.has_file(*each) for each in asked] == [True, False, False, False]
    corpus.forget_files(["a.txt", "never.txt"])
    assert not corpus.has_file("a.txt", "digest", "loader")


def test_what_no_file_lists_stays_until_orphans_are_dropped(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."), entry("Steel", "Trains."))
    cut = chunked(corpus, "whole")
    put(corpus, "a.txt", entry("Steel", "Trains."))
    assert (len(corpus.document_ids()), len(corpus.find_documents(""))) == (1, 2)
    assert [sources_of(p)[0]["uri"] for p in corpus.passages(cut).values()] == ["a.txt", "a.txt"]
    assert corpus.counts() == replace(NOTHING, files=1, entries=1, documents=1, chunks=2)
    assert corpus.drop_orphans() == 1
    assert [title_of(p) for p in corpus.passages(cut).values()] == ["Steel"]
    assert corpus.counts() == replace(NOTHING, files=1, entries=1, documents=1, chunks=1)


def test_counts_can_be_of_some_files(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."), entry("Steel", "Trains."))
    put(
        corpus,
        "b.txt",
        entry("Glass", "They carry people."),
        entry("Steel", "Many trains."),
        entry("Wood", "Carts."),
    )
    whole = Counts(
        files=2, entries=5, documents=3, duplicates=1, variants=1, descriptions=0, chunks=0, vectors=0
    )
    assert corpus.counts() == whole
    assert corpus.counts(["a.txt"]) == replace(whole, files=1, entries=2, duplicates=0, variants=0)
    assert corpus.counts(["b.txt", "b.txt", "never.txt"]) == replace(whole, files=1, entries=3)
    assert corpus.counts([]) == replace(whole, files=0, entries=0, duplicates=0, variants=0)


@pytest.mark.parametrize("box", [(-30, 10, 50, 20), (-1, -1, 5, 5), (-9, -9, -1, -1), (-1, -1, -1, -1), ()])
def test_no_box_whatever_makes_a_place_raise(corpus: Corpus, box: tuple[int, ...]) -> None:
    paper = entry("Glass", "They carry people.")
    paper.metadata["sources"][0]["pages"] = [[0, 1, *box], [5, 1], [9, 2, 1, 1, 2, 2]]
    put(corpus, "a.pdf", paper)
    [place] = places_of(sole(corpus), Span("", 0, 12))
    assert place["page"] == 1


def test_documents_are_found_by_the_beginning_of_their_id(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."), entry("Steel", "Trains."))
    one, other = corpus.document_ids()
    assert corpus.find_documents(one) == corpus.find_documents(one[:12]) == [one]
    assert corpus.find_documents("") == [one, other]
    assert corpus.find_documents("*") == corpus.find_documents("[0-9a-f]") == []
    assert corpus.document("never") is None


@pytest.mark.parametrize(
    "text",
    [clean("NUL \x00 and \ud800 inside"), "😀 e\u0301 日本語", "'; DROP TABLE documents; --", "x" * 100_000],
)
def test_any_text_comes_back_as_it_was(corpus: Corpus, text: str) -> None:
    put(corpus, text, entry(text[:50], text, note=text))
    chunked(corpus, "whole")
    assert (sole(corpus).page_content, sole(corpus).metadata["note"]) == (text, text)
    assert [p.page_content for p in corpus.passages(missing(corpus, "index", "whole")).values()] == [text]
    assert corpus.problems() == []


# --- chunks, vectors and the ledger


def missing(corpus: Corpus, index: str, chunker: str, *writers: str) -> list[str]:
    """The passages that an index lacks."""
    holding = Holding(index, chunker, writers)
    found = [identity for paper in corpus.missing(holding) for identity in paper.ids]
    assert corpus.count_missing(holding) == len(found)
    return found


def surplus(corpus: Corpus, index: str) -> list[str]:
    """The passages that an index should no longer hold."""
    found = [identity for paper in corpus.surplus(index) for identity in paper.ids]
    assert corpus.count_surplus(index) == len(found)
    return found


def kept(corpus: Corpus, index: str) -> list[str]:
    """The passages that an index holds, by the ledger."""
    found = list(corpus.held(index))
    assert corpus.count_held(index) == len(found)
    return sorted(found)


def chunked(corpus: Corpus, chunker: str) -> list[str]:
    """Cut every paper that is to be cut into one chunk, if it has any text, and say their ids."""
    papers = list(corpus.documents(corpus.unchunked(chunker)).values())
    whole = [(p, len(p.page_content)) for p in papers if p.page_content]
    corpus.put_chunks(chunker, papers, [passage(p, 0, end) for p, end in whole])
    return [passage_id(str(p.id), 0, end, chunker) for p, end in whole]


def test_a_passage_has_its_papers_text_title_and_sources(corpus: Corpus) -> None:
    put(
        corpus,
        "a.txt",
        entry(
            "Glass",
            "They carry people. They last.",
            10,
            year=2024,
            start="1999",
            end="2000",
            document_id="z",
            chunker="c",
        ),
    )
    paper = sole(corpus)
    corpus.put_chunks("sentence", [paper], [passage(paper, 0, 18), passage(paper, 19, 29, section="Age")])
    identity = passage_id(str(paper.id), 19, 29, "sentence")
    assert list(corpus.passages([identity, "never"])) == [identity]
    found = corpus.passages([identity])[identity]
    assert found.page_content == "They last."
    assert span_of(found) == Span(str(paper.id), 19, 29)
    assert found.metadata == {
        "document_id": paper.id,
        "title": "Glass",
        "start": 19,
        "end": 29,
        "section": "Age",
        "year": 2024,
        "chunker": "c",
        "sources": [{"uri": "a.txt", "start": 10, "end": 39}],
    }


def test_a_chunk_that_is_not_the_text_at_its_place_is_refused(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."))
    paper = sole(corpus)
    wrong = passage(paper, 0, 4).model_copy(update={"page_content": "We"})
    with pytest.raises(ValueError, match=f"chunk 0:4 of document {paper.id} is not the text at that place"):
        corpus.put_chunks("sentence", [paper], [wrong])
    assert list(corpus.unchunked("sentence")) == [paper.id]


def test_each_chunker_has_its_own_chunks(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."), entry("Nothing", ""))
    papers = list(corpus.documents(corpus.unchunked("one")).values())
    corpus.put_chunks("one", papers, [passage(p, 0, 4) for p in papers if p.page_content])
    assert list(corpus.unchunked("one")) == []
    assert len(list(corpus.unchunked("two"))) == 2
    assert (len(missing(corpus, "index", "one")), missing(corpus, "index", "two")) == (1, [])


def test_the_ledger_says_what_an_index_lacks_and_what_it_holds_too_much_of(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."))
    put(corpus, "b.txt", entry("Steel", "Trains."))
    glass_and_steel = sorted(chunked(corpus, "whole"))
    corpus.begin_index(Holding("words", "whole"), "fingerprint")
    assert sorted(missing(corpus, "words", "whole")) == glass_and_steel
    assert (surplus(corpus, "words"), kept(corpus, "words")) == ([], [])
    corpus.mark("words", corpus.document_ids())
    corpus.mark("words", corpus.document_ids())
    assert (missing(corpus, "words", "whole"), surplus(corpus, "words")) == ([], [])
    assert kept(corpus, "words") == glass_and_steel

    before = corpus.document_ids()
    corpus.forget_files(["b.txt"])
    [steel] = surplus(corpus, "words")
    assert corpus.passages([steel])[steel].page_content == "Trains."
    corpus.drop_orphans()
    assert surplus(corpus, "words") == [steel]
    assert corpus.passages([steel]) == {}
    [glass] = corpus.document_ids()
    corpus.unmark("words", [paper for paper in before if paper != glass])
    assert (missing(corpus, "words", "whole"), surplus(corpus, "words")) == ([], [])
    assert kept(corpus, "words") == [c for c in glass_and_steel if c != steel]


def test_the_passages_of_a_dropped_paper_are_known_until_no_index_holds_them(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."))
    [passage_of_glass] = chunked(corpus, "whole")
    [paper] = corpus.document_ids()
    for index in ("words", "meanings"):
        corpus.begin_index(Holding(index, "whole"), "fingerprint")
        corpus.mark(index, [paper])
    corpus.forget_files(["a.txt"])
    corpus.drop_orphans()
    corpus.unmark("words", [paper])
    corpus.drop_orphans()
    assert (surplus(corpus, "words"), surplus(corpus, "meanings")) == ([], [passage_of_glass])
    assert corpus.counts() == NOTHING
    corpus.unmark("meanings", [paper])
    corpus.drop_orphans()
    assert corpus.value("SELECT count(*) FROM chunks") == 0


def test_indexes_are_published_together_and_hold_all_that_they_are_to_hold(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."), entry("Steel", "Trains."))
    chunked(corpus, "whole")
    corpus.publish([IndexState(Holding(index, "whole"), "made", 5, True) for index in ("one", "two")])
    digests = corpus.ledger_digest("one")
    assert (corpus.published(), kept(corpus, "one")) == (
        {"one": ("made", 5), "two": ("made", 5)},
        kept(corpus, "two"),
    )
    assert corpus.ledger_digest("two") == digests
    put(corpus, "a.txt", entry("Steel", "Trains."), entry("Wood", "Carts."))
    chunked(corpus, "whole")
    corpus.publish([IndexState(Holding("one", "whole"), "made", 6, False)])
    assert (missing(corpus, "one", "whole"), surplus(corpus, "one"), len(kept(corpus, "one"))) == ([], [], 2)
    assert (len(missing(corpus, "two", "whole")), len(surplus(corpus, "two"))) == (1, 1)
    assert corpus.ledger_digest("one") != digests


def test_an_index_begins_empty_and_remembers_what_it_was_built_with(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."))
    chunked(corpus, "whole")
    assert corpus.index_fingerprint("words") is None
    for fingerprint in ("one", "two"):
        corpus.begin_index(Holding("words", "whole"), fingerprint)
        assert (corpus.index_fingerprint("words"), kept(corpus, "words")) == (fingerprint, [])
        corpus.mark("words", corpus.document_ids())
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        corpus.mark("never begun", corpus.document_ids())
    assert len(kept(corpus, "words")) == 1


def test_a_passage_is_to_be_indexed_once_every_key_writer_has_written_for_it(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."), entry("Steel", "Trains."))
    glass, steel = sorted(corpus.passages(chunked(corpus, "whole")).values(), key=title_of)
    papers = {str(p.id): span_of(p).document_id for p in (glass, steel)}
    assert missing(corpus, "words", "whole", "asks") == []
    assert corpus.count_unkeyed("whole", "asks") == 2
    corpus.put_keys("whole", "asks", "question", [papers[str(glass.id)]], [(str(glass.id), ["Who?", "Why?"])])
    corpus.put_keys(
        "whole", "sums", "summary", papers.values(), [(str(glass.id), ["People."]), (str(steel.id), [])]
    )
    assert [paper.ids for paper in corpus.unkeyed("whole", "asks")] == [[str(steel.id)]]
    assert missing(corpus, "words", "whole", "asks") == [glass.id]
    assert len(missing(corpus, "words", "whole", "sums")) == 2
    own = Key(str(glass.id), 0, "Glass\nThey carry people.")
    asks = [Key(str(glass.id), 1, "Who?", "question"), Key(str(glass.id), 2, "Why?", "question")]
    summary = Key(str(glass.id), 3, "People.", "summary")
    assert corpus.keys([glass]) == [own]
    assert corpus.keys([glass], ["asks"]) == [own, *asks]
    assert corpus.keys([glass], ["sums"]) == [own, summary]
    assert (corpus.key(str(glass.id), 3), corpus.key(str(glass.id), 4)) == (summary, None)
    corpus.publish([IndexState(Holding("words", "whole", ("sums",)), "made", 1, True)])
    assert corpus.count_keys("words") == 3
    every = [(str(glass.id), n) for n in range(5)]
    assert corpus.count_known("words", [*every, (str(steel.id), 0), ("never", 0)]) == 3
    corpus.forget_files(["a.txt"])
    corpus.publish([IndexState(Holding("words", "whole", ("sums",)), "made", 2, False)])
    corpus.drop_orphans()
    assert corpus.value("SELECT count(*) FROM keys") == 0


def test_replies_come_back_for_the_same_model_prompt_and_text(corpus: Corpus) -> None:
    corpus.put_replies("model", "prompt", {"one": "yes", "two": "no"})
    corpus.put_replies("model", "prompt", {"two": "perhaps"})
    assert corpus.replies("model", "prompt", ["one", "two", "three"]) == {"one": "yes", "two": "perhaps"}
    assert corpus.replies("model", "other", ["one"]) == corpus.replies("other", "prompt", ["one"]) == {}


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5).filter(str.isprintable),
        st.lists(st.floats(width=32), min_size=3, max_size=3),
        max_size=5,
    )
)
def test_vectors_come_back_as_they_were(vectors: dict[str, list[float]]) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(Corpus(folder)) as corpus, corpus.writing():
        given_vectors = np.array(list(vectors.values()), dtype=np.float32).reshape(-1, 3)
        corpus.put_vectors("model", list(vectors), given_vectors)
        corpus.put_vectors("model", list(vectors), given_vectors)
        found = corpus.vectors("model", [*vectors, "never there"])
        assert {text: v.tobytes() for text, v in found.items()} == {
            t: v.tobytes() for t, v in zip(vectors, given_vectors, strict=True)
        }
        assert corpus.vectors("another model", vectors) == {}
        assert corpus.counts().vectors == len(vectors)


def test_more_rows_than_a_statement_can_name_are_read(corpus: Corpus) -> None:
    put(corpus, "a.txt", *(entry(f"Bridge {n}", f"It carries {n}.") for n in range(1200)))
    assert len(corpus.documents(corpus.document_ids())) == 1200
    assert len(corpus.passages(chunked(corpus, "whole"))) == 1200


# --- one writer, many readers


def test_reading_where_there_is_no_corpus_makes_none(tmp_path: Path) -> None:
    with pytest.raises(
        NoCorpus, match=f"there is no corpus in '{tmp_path}/none'; `ragkit ingest PATH` makes one"
    ):
        Corpus(tmp_path / "none").counts()
    assert not (tmp_path / "none").exists()


WRITER = """
import sys
from ragkit.corpus import Corpus
with Corpus(sys.argv[1]).writing():
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_writer_that_is_about_to_end_is_waited_for(sqlite_corpus: Corpus) -> None:
    held, entered = threading.Event(), threading.Event()

    def ending() -> None:
        with sqlite_corpus.writing():
            entered.set()
            held.wait()
        sqlite_corpus.close()

    writer = threading.Thread(target=ending)
    writer.start()
    entered.wait()
    threading.Timer(0.2, held.set).start()
    with sqlite_corpus.writing():
        assert held.is_set()
    writer.join()


def test_a_second_writer_is_told_who_writes_and_a_dead_ones_lock_is_free(sqlite_corpus: Corpus) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", WRITER, sqlite_corpus.directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "writing\n"
        with pytest.raises(
            CorpusError,
            match=rf"the corpus in '{sqlite_corpus.directory}' is being written by process {holder.pid} since [-\d]+ [:\d]+; wait for it to finish",
        ):
            with sqlite_corpus.writing():
                pass
        assert sqlite_corpus.counts() == NOTHING
        holder.kill()
    with sqlite_corpus.writing():
        put(sqlite_corpus, "a.txt", entry("Glass", "They carry people."))
    assert sqlite_corpus.counts().files == 1


def test_a_corpus_cannot_be_made_where_one_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        CorpusError,
        match="cannot write to the corpus in '.*/file/corpus': Not a directory; choose another --corpus",
    ):
        with Corpus(tmp_path / "file" / "corpus").writing():
            pass


def test_a_corpus_is_usable_from_threads(corpus: Corpus) -> None:
    def work(n: int) -> list[str]:
        with closing(corpus):
            put(corpus, f"{n}.txt", entry("Glass", "They carry people."), entry(f"Steel {n}", "Trains."))
            corpus.counts([f"{n}.txt"])
            return corpus.document_ids()

    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(work, range(40)))
    assert all(set(ids) <= set(corpus.document_ids()) for ids in seen)
    assert corpus.counts() == replace(NOTHING, files=40, entries=80, documents=41, duplicates=39)
    assert corpus.problems() == []


def test_readers_that_are_there_first_see_no_half_made_corpus(tmp_path: Path) -> None:
    for n in range(10):
        corpus, start = Corpus(tmp_path / str(n)), threading.Barrier(4)

        def read(corpus: Corpus = corpus, start: threading.Barrier = start) -> None:
            start.wait()
            with closing(corpus):
                for _ in range(100):
                    try:
                        assert corpus.counts() == NOTHING
                    except NoCorpus:
                        continue

        with ThreadPoolExecutor(3) as threads, closing(corpus):
            readers = [threads.submit(read) for _ in range(3)]
            start.wait()
            with corpus.writing():
                assert corpus.counts() == NOTHING
            for reader in readers:
                reader.result()


def test_a_corpus_that_was_deleted_is_made_anew_from_nothing(sqlite_corpus: Corpus) -> None:
    put(sqlite_corpus, "a.txt", entry("Glass", "They carry people."))
    assert {p.name for p in sqlite_corpus.directory.iterdir()} >= {"corpus.sqlite", "corpus.sqlite-wal"}
    sqlite_corpus.path.unlink()
    (sqlite_corpus.directory / "corpus.new").write_text("left by a process that was killed")
    with sqlite_corpus.writing():
        assert sqlite_corpus.counts() == NOTHING
        put(sqlite_corpus, "b.txt", entry("Steel", "Trains."))
        assert held(sqlite_corpus) == {"Steel": ("Trains.", ["b.txt"])}
        assert sqlite_corpus.problems() == []


# --- what goes wrong


def test_a_database_of_a_newer_ragkit_is_refused(sqlite_corpus: Corpus) -> None:
    sqlite_corpus.close()
    with closing(sqlite3.connect(sqlite_corpus.path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(
        CorpusError,
        match=r"corpus.sqlite' was written by a newer ragkit \(schema 99\); upgrade ragkit to read it",
    ):
        sqlite_corpus.counts()


def test_a_database_of_an_earlier_ragkit_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "corpus.sqlite")) as database:
        database.execute("CREATE TABLE documents (id TEXT PRIMARY KEY, title TEXT NOT NULL) STRICT")
        database.execute("PRAGMA user_version = 1")
        database.commit()
    said = "corpus.sqlite' was made by an earlier ragkit, whose layout this one does not read; ingest into another --corpus"
    with pytest.raises(CorpusError, match=said):
        Corpus(tmp_path).counts()
    with pytest.raises(CorpusError, match=said), Corpus(tmp_path).writing():
        Corpus(tmp_path).counts()
    with closing(sqlite3.connect(tmp_path / "corpus.sqlite")) as database:
        assert database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [
            ("documents",)
        ]


def test_what_is_not_a_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "corpus.sqlite").write_text("This is a letter, and no database at all. " * 100)
    said = "corpus.sqlite' cannot be opened as a corpus: file is not a database; restore it, or ingest into another --corpus"
    with pytest.raises(CorpusError, match=said):
        Corpus(tmp_path).counts()
    with pytest.raises(CorpusError, match=said), Corpus(tmp_path).writing():
        Corpus(tmp_path).counts()


def test_a_damaged_database_is_a_problem_not_an_exception(sqlite_corpus: Corpus) -> None:
    put(sqlite_corpus, "a.txt", *(entry(f"Bridge {n}", f"It carries {n}. " * 50) for n in range(200)))
    sqlite_corpus.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sqlite_corpus.close()
    content = bytearray(sqlite_corpus.path.read_bytes())
    behind = len(content) // 8192 * 4096  # the schema
    content[behind:-4096] = b"\xa5" * (len(content) - behind - 4096)
    sqlite_corpus.path.write_bytes(content)
    problems = sqlite_corpus.problems()
    assert problems
    assert all(problem.startswith("the database is damaged: ") for problem in problems)


def test_a_change_that_fails_halfway_leaves_what_was_there(corpus: Corpus) -> None:
    put(corpus, "a.txt", entry("Glass", "They carry people."))
    before = corpus.documents(corpus.document_ids()), corpus.counts()
    half_a_character = entry("Wood", "\ud800")
    with pytest.raises(UnicodeEncodeError):
        put(corpus, "a.txt", entry("Steel", "Trains."), entry("Glass", "They carry many."), half_a_character)
    assert (corpus.documents(corpus.document_ids()), corpus.counts()) == before
    assert corpus.has_file("a.txt", "digest of a.txt", "loader")
    put(corpus, "b.txt", entry("Steel", "Trains."))
    assert corpus.problems() == []


def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(sqlite_corpus: Corpus) -> None:
    put(sqlite_corpus, "a.txt", entry("Glass", "They carry people."))
    [pages] = sqlite_corpus.db.execute("PRAGMA page_count").fetchone()
    sqlite_corpus.db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(
        CorpusError,
        match="cannot write to '.*corpus.sqlite': database or disk is full; what was there before is intact",
    ):
        put(sqlite_corpus, "b.txt", entry("Steel", "Trains. " * 10_000))
    assert held(sqlite_corpus) == {"Glass": ("They carry people.", ["a.txt"])}
    assert sqlite_corpus.problems() == []


KILLED = """
import sys
from langchain_core.documents import Document
from ragkit.corpus import Corpus
corpus = Corpus(sys.argv[1])
with corpus.writing():
    for n in range(100_000):
        shared = Document(page_content=f"They carry {n % 3}.", metadata={"title": "Glass"})
        own = Document(page_content=f"Trains {n}. " * 200, metadata={"title": f"Steel {n}"})
        corpus.put_file(f"{n}.txt", "digest", "loader", [shared, own])
        print(n, flush=True)
"""


@pytest.mark.parametrize("after", [0, 3, 20, 50])
def test_a_killed_writer_loses_nothing_that_was_committed(tmp_path: Path, after: int) -> None:
    corpus = Corpus(tmp_path / "corpus")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, corpus.directory], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(after + 1)]
        os.kill(writer.pid, signal.SIGKILL)
        said += writer.stdout.readlines()
    committed = {int(line) for line in said if line.endswith("\n")}
    assert committed >= set(range(after + 1))
    with corpus.writing():
        assert corpus.problems() == []
        assert {f"{n}.txt" for n in committed} <= set(corpus.uris())
        papers = held(corpus)
        assert {n: papers[f"Steel {n}"] for n in committed} == {
            n: (f"Trains {n}. " * 200, [f"{n}.txt"]) for n in committed
        }
        counts = corpus.counts()
        assert counts.entries == 2 * counts.files == counts.documents + counts.duplicates + counts.variants
        put(corpus, "next.txt", entry("Wood", "Carts."))
    corpus.close()


# --- against a model


def answers(corpus: Corpus) -> dict[str, Any]:
    """What a corpus says of all that it holds."""
    holding = Holding("index", "whole")
    return {
        "counts": corpus.counts(),
        "of files": corpus.counts(["a", "c"]),
        "documents": corpus.documents(corpus.find_documents("")),
        "facts": dict(corpus.facts()),
        "papers": corpus.paper_ids(),
        "works": corpus.works(corpus.uris()),
        "passages": corpus.passages(missing(corpus, "index", "whole")),
        "unchunked": list(corpus.unchunked("whole")),
        "missing": list(corpus.missing(holding)),
        "matching": corpus.matching(parse("title contains glass or uri contains b")),
        "newest": corpus.matching(parse("not superseded_by exists")),
        "papers that pass": dict(corpus.facts_of_papers(parse("title contains glass"))),
        "orphaned": corpus.orphaned_vectors().tolist(),
        "sizes": corpus.sizes("whole", corpus.document_ids()),
        "fields": corpus.fields(),
        "keys": corpus.citation_keys(),
        "corrections": corpus.corrections(),
    }


class Listings(RuleBasedStateMachine):
    """Files come, change and go; a corpus in SQLite and one in Postgres, side by side, hold what they list."""

    server: ClassVar[Server]

    uris = st.sampled_from(["a", "b", "c", "d"])
    entries = st.lists(
        st.builds(
            entry,
            st.sampled_from(["Glass", "GLASS!", "Steel", "Wood", ""]),
            st.sampled_from(["One.", "Two.", "Three.", ""]),
            st.integers(0, 3),
            doi=st.sampled_from(["", "10.1/a", "10.1/b"]),
            arxiv=st.sampled_from(["", "", "2301.00001"]),
        ),
        max_size=5,
    )

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.corpora = [Corpus(self.folder.name), Corpus(in_postgres(self.server, Path(self.folder.name)))]
        self.locks = [corpus.writing() for corpus in self.corpora]
        for lock in self.locks:
            lock.__enter__()
        self.files: dict[str, list[Document]] = {}

    @rule(uri=uris, entries=entries)
    def put_file(self, uri: str, entries: list[Document]) -> None:
        for corpus in self.corpora:
            put(corpus, uri, *entries)
        self.files[uri] = entries

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def put_the_same_file_again(self, data: st.DataObject) -> None:
        uri = data.draw(st.sampled_from(sorted(self.files)))
        entries = self.files[uri]
        for corpus in self.corpora:
            put(corpus, uri, *entries)

    @rule(uris=st.sets(uris))
    def forget_files(self, uris: set[str]) -> None:
        for corpus in self.corpora:
            corpus.forget_files(uris)
        for uri in uris:
            self.files.pop(uri, None)

    @rule()
    def cut(self) -> None:
        for corpus in self.corpora:
            chunked(corpus, "whole")
            passages = corpus.passages(missing(corpus, "index", "whole")).values()
            texts = [digest(searchable(passage)) for passage in passages]
            corpus.put_vectors("model", texts, np.zeros((len(texts), 1), dtype=np.float32))
            assert not set(texts) & {text.decode() for text in corpus.orphaned_vectors()}

    @rule()
    def drop_orphans(self) -> None:
        for corpus in self.corpora:
            unlisted = len(corpus.find_documents("")) - len(corpus.document_ids())
            assert corpus.drop_orphans() == unlisted
            assert all(sources_of(p) for p in corpus.documents(corpus.document_ids()).values())
            assert len(corpus.document_ids()) == len(corpus.find_documents(""))
            assert corpus.counts().chunks <= len(corpus.document_ids())

    @invariant()
    def every_entry_is_listed_once_with_its_own_text(self) -> None:
        for corpus in self.corpora:
            papers = corpus.documents(corpus.document_ids()).values()
            listed = sorted((s["uri"], p.page_content) for p in papers for s in sources_of(p))
            assert listed == sorted(
                (uri, e.page_content) for uri, entries in self.files.items() for e in entries
            )

    @invariant()
    def entries_are_documents_duplicates_and_variants(self) -> None:
        for corpus in self.corpora:
            counts, documents = corpus.counts(), len(corpus.document_ids())
            assert counts.files == len(self.files)
            assert counts.entries == sum(map(len, self.files.values())) == documents + counts.duplicates
            assert documents == counts.documents + counts.variants

    @rule()
    def publish(self) -> None:
        for corpus in self.corpora:
            corpus.publish([])
            counts, older = corpus.counts(), corpus.superseded()
            assert set(older) | set(older.values()) <= set(corpus.document_ids())
            assert not set(older) & set(older.values())
            assert (len(corpus.paper_ids()), len(older)) == (counts.documents, counts.variants)

    @rule(
        values=st.fixed_dictionaries(
            {}, optional={"title": st.text(max_size=3), "doi": st.sampled_from(["10.1/a"])}
        )
    )
    def correct(self, values: dict[str, str]) -> None:
        values = {name: clean(value) for name, value in values.items()}
        for corpus in self.corpora:
            for document in corpus.document_ids()[:1]:
                corpus.correct(document, values)

    @invariant()
    def both_say_the_same(self) -> None:
        one, other = (answers(corpus) for corpus in self.corpora)
        assert one == other

    @invariant()
    def the_database_is_sound(self) -> None:
        for corpus in self.corpora:
            assert corpus.problems() == []

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            for lock, corpus in zip(self.locks, self.corpora, strict=True):
                lock.__exit__(None, None, None)
                corpus.close()
            self.folder.cleanup()


@pytest.fixture(autouse=True, scope="module")
def _beside_sqlite(postgres: Server) -> None:
    Listings.server = postgres


TestListings = Listings.TestCase
TestListings.settings = settings(stateful_step_count=12, max_examples=20)

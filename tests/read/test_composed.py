"""Canonically equal text is the same text in the corpus, and leads to the characters of its file."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import SentenceChunker
from ragkit.document import Span, places_of
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.ingest import IngestPipeline
from ragkit.read import LoadedSource
from ragkit.read.composed import composed
from ragkit.read.files import Files
from ragkit.retrieve import LexicalRetriever


def paper(text: str, **known: object) -> Document:
    return Document(
        page_content=text, metadata={"sources": [{"uri": "f", "start": 3, "end": 3 + len(text)}], **known}
    )


@settings(max_examples=200)
@given(
    st.text(
        st.sampled_from("aeonqäö \u0301\u0308\u0323\u1100\u1161\u11a8\u09c7\u09be\u212b한\n.")
        | st.characters(exclude_categories=["Cs"])
    )
)
def test_every_character_leads_to_what_it_was_composed_of(text: str) -> None:
    made = composed(paper(text))
    assert made.page_content == unicodedata.normalize("NFC", text)
    file = "..." + text
    for at, character in enumerate(made.page_content):
        [place] = places_of(made, Span("", at, at + 1))
        there = unicodedata.normalize("NFC", file[place["start"] : place["end"]])
        assert character in there
        assert len(there) == 1 or unicodedata.combining(there[-1])
    [whole] = places_of(made, Span("", 0, len(made.page_content)))
    if text:
        assert file[whole["start"] : whole["end"]] == text


def test_all_that_is_known_of_a_paper_moves_with_its_text() -> None:
    row = {"start": 3, "end": 10, "path": ["U\u0308ber"], "kind": "table", "header": [3, 6]}
    given = paper(
        "o\u0308 u\u0308ber a", sections=[row], authors=["Jo Mu\u0308ller"], venue={"name": "A\u030a"}
    )
    given.metadata["sources"][0]["pages"] = [[0, 1], [3, 2, 7, 7, 8, 8]]
    made = composed(given)
    text = made.page_content
    assert text == "ö über a"
    [section] = made.metadata["sections"]
    assert (section["path"], text[section["start"] : section["end"]]) == (["Über"], "über a")
    assert text[slice(*section["header"])] == "üb"
    assert (made.metadata["authors"], made.metadata["venue"]) == (["Jo Müller"], {"name": "Å"})
    assert made.metadata["sources"][0]["pages"] == [[0, 1], [2, 2, 7, 7, 8, 8]]


def test_a_letter_of_two_pieces_leads_to_both() -> None:
    file = "<b>Cafe</b>&#769; au lait"
    rows = [[0, 3, 4, 4], [4, 11, 1, 6], [5, 17, 8, 8]]
    made = composed(
        Document(page_content="Cafe\u0301 au lait", metadata={"sources": [{"uri": "f", "map": rows}]})
    )
    [place] = places_of(made, Span("", 3, 4))
    assert file[place["start"] : place["end"]] == "e</b>&#769;"
    [place] = places_of(made, Span("", 5, 7))
    assert file[place["start"] : place["end"]] == "au"


def test_many_accents_on_one_letter_take_a_moment() -> None:
    began = time.process_time()
    composed(paper("a" + "\u0301\u0323" * 200_000 + "o\u0308" * 50_000))
    assert time.process_time() - began < 5


def test_papers_of_a_loader_of_langchain_are_composed_too() -> None:
    class Loader(BaseLoader):
        def lazy_load(self):  # type: ignore[no-untyped-def]
            yield Document(
                "Ha\u0308so\u0308r sailed.", metadata={"source": "s", "title": "Ha\u0308so\u0308r"}
            )

    source = LoadedSource(Loader())
    [uri] = source.find()
    [[made]] = source.read(uri)
    assert (made.page_content, made.metadata["title"]) == ("Häsör sailed.", "Häsör")


@pytest.mark.parametrize("written", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_a_name_is_found_however_its_accents_are_encoded(tmp_path: Path, written: str, asked: str) -> None:
    text = "---\ntitle: Rotors\nauthors: [Jörg Groß, Åse Ek]\n---\nThe freighter Häsör sailed for Malmö.\n"
    (tmp_path / "a.md").write_text(unicodedata.normalize(written, text))
    (tmp_path / "b.md").write_text("# Other\n\nThe barge Hasor sank.\n")
    words = Bm25Index()
    answer = AnswerPipeline(retrieve=[LexicalRetriever(index=words, k=5)], generate=ExtractiveGenerator())
    ingest = IngestPipeline(read=Files(), chunk=SentenceChunker(max_tokens=40), index=[words])
    rag = ragkit.Rag(corpus=tmp_path / "corpus", ingest=ingest, answer=answer)
    rag.ingest(tmp_path / "a.md", tmp_path / "b.md")
    found = rag.search(
        unicodedata.normalize(asked, "Häsör"), where=unicodedata.normalize(asked, 'authors contains "Åse"')
    )
    assert [passage.page_content for passage in found] == ["The freighter Häsör sailed for Malmö."]
    assert rag.search(unicodedata.normalize(asked, "Häsör"))[0].metadata["title"] == "Rotors"


def test_files_are_read_composed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("So\u0308 they said.")
    [[made]] = Files().read(str(tmp_path / "a.txt"))
    assert made.page_content == "Sö they said."

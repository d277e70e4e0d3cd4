"""Passages are exact parts that cover their paper: whole sentences where they fit, and short enough."""

from __future__ import annotations

import copy
import itertools
import re
import time

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from support import NOTES, Stretched

from ragkit.chunk import (
    Chunker,
    RecursiveChunker,
    SectionChunker,
    SemanticChunker,
    SentenceChunker,
    TokenChunker,
    WholeChunker,
)
from ragkit.document import searchable, span_of, title_of
from ragkit.models import hub
from ragkit.read.formats.builder import PaperBuilder
from ragkit.testing import HashedEmbeddings
from ragkit.text.words import sentences


def paper(text: str, title: str = "") -> Document:
    return Document(
        id="p1",
        page_content=text,
        metadata={"title": title, "sources": [{"uri": "p.txt", "start": 0, "end": len(text)}]},
    )


def tokens(text: str) -> int:
    return len(hub.tokenizer(hub.files("all-MiniLM-L6-v2")).encode(text, add_special_tokens=False).ids)


def cut(chunker: Chunker, text: str, title: str = "") -> list[str]:
    return [p.page_content for p in chunker.transform_documents([paper(text, title)])]


def one_word(text: str) -> bool:
    return not re.search(r"\s|[一-龥]{2}", text)


WORDS = [
    "a",
    "bridge",
    "Glass",
    "embeddings,",
    "3.5",
    "hyper-parameterisation",
    "(e.g.",
    "tasks.We",
    "über",
    "é" * 120,
    "知识检索",
    "한국어",
    "😀",
]
ENDS = [" ", " ", " ", ". ", "! ", "\n\n", "\n- ", "\r\n"]
texts = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(ENDS)).map("".join), max_size=60).map(
    "".join
)
anything = st.one_of(texts, st.text(max_size=80))
titles = st.sampled_from(
    ["", "On Bridges", "A Survey of Retrieval-Augmented Generation for Large Language Models"]
)
sizes = st.integers(1, 60)
overlaps = st.integers(0, 3)


@given(anything, titles, sizes, overlaps)
@example("한국어 한국어", "", 1, 0)
@example("か\u3099" * 30, "", 3, 0)
def test_chunks_are_parts_of_the_paper_and_leave_out_nothing_but_white_space(
    text: str, title: str, size: int, overlap: int
) -> None:
    given_paper = paper(text, title)
    before = copy.deepcopy(given_paper)
    chunker = SentenceChunker(max_tokens=size, overlap=overlap)
    chunks = chunker.transform_documents([given_paper])
    assert given_paper == before
    assert chunks == chunker.transform_documents([given_paper])
    covered = set()
    for chunk in chunks:
        span = span_of(chunk)
        assert (span.document_id, title_of(chunk)) == ("p1", title)
        assert chunk.page_content == text[span.start : span.end] == chunk.page_content.strip() != ""
        covered |= set(range(span.start, span.end))
    assert "".join(c for i, c in enumerate(text) if i not in covered).strip() == ""
    for one, next_one in itertools.pairwise(map(span_of, chunks)):
        assert one.start < next_one.start
        assert one.end < next_one.end
    assert len({c.id for c in chunks}) == len(chunks)


@given(texts, titles, sizes, overlaps)
def test_a_chunk_is_short_enough_with_its_title_unless_it_is_one_long_word(
    text: str, title: str, size: int, overlap: int
) -> None:
    assume(tokens(title) <= size // 2)
    for chunk in SentenceChunker(max_tokens=size, overlap=overlap).transform_documents([paper(text, title)]):
        assert tokens(searchable(chunk)) <= size or one_word(chunk.page_content)


@given(texts, st.integers(8, 60), overlaps)
def test_a_word_is_never_split(text: str, size: int, overlap: int) -> None:
    for start, end in SentenceChunker(max_tokens=size, overlap=overlap).spans(paper(text)):
        for at in {start, end} - {0, len(text)}:
            assert not re.fullmatch(r"[^\W一-龥]{2}", text[at - 1 : at + 1])


@settings(max_examples=50)
@given(texts)
def test_a_sentence_that_fits_is_never_split(text: str) -> None:
    assume(max((tokens(text[a:b]) for a, b in sentences(text)), default=0) <= 30)
    found = SentenceChunker(max_tokens=30, overlap=0).spans(paper(text))
    starts, ends = zip(*sentences(text), strict=True) if sentences(text) else ((), ())
    assert {s for s, _ in found} <= set(starts)
    assert {e for _, e in found} <= set(ends)


TEXT = "Glass bridges carry people. Steel ones carry trains. Wooden ones carry carts. Stone ones carry time."


def test_a_chunk_holds_as_many_sentences_as_fit_and_repeats_the_last_of_the_one_before() -> None:
    one, two, three, four = (TEXT[a:b] for a, b in sentences(TEXT))
    assert [tokens(s) for s in (one, two, three, four)] == [5, 5, 5, 5]
    assert cut(SentenceChunker(max_tokens=10, overlap=0), TEXT) == [f"{one} {two}", f"{three} {four}"]
    assert cut(SentenceChunker(max_tokens=10, overlap=1), TEXT) == [
        f"{one} {two}",
        f"{two} {three}",
        f"{three} {four}",
    ]
    assert cut(SentenceChunker(max_tokens=15, overlap=2), TEXT) == [
        f"{one} {two} {three}",
        f"{two} {three} {four}",
    ]
    assert cut(SentenceChunker(max_tokens=20), TEXT) == [TEXT]


def test_what_leaves_no_room_for_anything_new_is_not_repeated() -> None:
    one, two, three, four = (TEXT[a:b] for a, b in sentences(TEXT))
    assert cut(SentenceChunker(max_tokens=9, overlap=3), TEXT) == [one, two, three, four]


def test_the_title_takes_its_share_of_the_room_and_at_most_half() -> None:
    one, two, three, four = (TEXT[a:b] for a, b in sentences(TEXT))
    assert cut(SentenceChunker(max_tokens=12, overlap=0), TEXT, "On Bridges") == [
        f"{one} {two}",
        f"{three} {four}",
    ]
    assert cut(SentenceChunker(max_tokens=11, overlap=0), TEXT, "On Bridges") == [one, two, three, four]
    assert cut(SentenceChunker(max_tokens=10, overlap=0), TEXT, "Bridges " * 50) == [one, two, three, four]


def test_one_giant_sentence_is_cut_between_words() -> None:
    text = "bridge " * 1000
    assert cut(SentenceChunker(max_tokens=200), text) == [("bridge " * 200).strip()] * 5


def test_chinese_is_cut_between_any_two_characters_and_at_its_stops() -> None:
    assert cut(SentenceChunker(max_tokens=4, overlap=0), "知识检索增强生成") == ["知识检索", "增强生成"]
    assert cut(SentenceChunker(max_tokens=6, overlap=0), "知识。检索增强。生成。") == [
        "知识。",
        "检索增强。",
        "生成。",
    ]


def test_korean_and_styled_letters_are_cut_at_their_spaces() -> None:
    assert cut(SentenceChunker(max_tokens=9, overlap=0), "한국어 한국어") == ["한국어", "한국어"]
    styled = "\U0001d5db\U0001d5f2\U0001d5f9\U0001d5f9\U0001d5fc"
    assert set(cut(SentenceChunker(max_tokens=1, overlap=0), f"{styled} {styled}")) == {styled}


def test_a_word_that_fits_into_two_passages_is_whole_and_a_longer_one_is_cut() -> None:
    chunker = SentenceChunker(max_tokens=4, overlap=0)
    assert cut(chunker, "see a.b-c.d there") == ["see", "a.b-c.d", "there"]
    assert cut(chunker, "a.b-" * 5) == ["a.b-a.b-", "a.b-a.b-", "a.b-"]


@pytest.mark.parametrize("chunker", [SentenceChunker(), TokenChunker(), RecursiveChunker()])
@pytest.mark.parametrize("text", ["a" * 60_000, "We test. " + " " * 60_000 + "They hold."])
def test_a_passage_is_bounded_in_characters_too(chunker: Chunker, text: str) -> None:
    passages = cut(chunker, text)
    assert max(map(len, passages)) <= 40_000
    assert "".join("".join(passages).split()).startswith("".join(text.split())[:50])


@pytest.mark.parametrize("piece", ["x.y-", "word ", "知", "한", "e.g. We ", "\n", "a.We,"])
def test_no_text_takes_more_than_a_moment(piece: str) -> None:
    began = time.process_time()
    SentenceChunker().spans(paper(piece * 10_000))
    assert time.process_time() - began < 5


def parted() -> Document:
    builder = PaperBuilder()
    with builder.heading("Results"):
        builder.add("Results")
    builder.add("Glass bridges carry people. So they.")
    with builder.aside("caption"):
        builder.add("Fig. 1. Glass bridge.")
    with builder.heading("References"):
        builder.add("References")
    builder.add("[1] A. Smith, 1999.")
    return builder.paper("On Bridges").model_copy(update={"id": "p1"})


@pytest.mark.parametrize(
    "chunker",
    [
        SentenceChunker(),
        TokenChunker(),
        RecursiveChunker(),
        SectionChunker(),
        SemanticChunker(HashedEmbeddings()),
    ],
)
def test_a_passage_stands_in_one_section_and_is_of_one_kind(chunker: Chunker) -> None:
    chunks = chunker.transform_documents([parted()])
    assert [(c.metadata["section"], c.metadata["kind"]) for c in chunks if c.metadata["kind"] != "body"] == [
        (["Results"], "caption"),
        (["References"], "references"),
    ]
    assert "".join(c.page_content for c in chunks if c.metadata["kind"] == "body").startswith(
        "Glass bridges carry people."
    )
    assert searchable(chunks[-1]) == "On Bridges\nReferences\n[1] A. Smith, 1999."


@settings(max_examples=60)
@given(anything, titles, st.integers(1, 40), st.integers(0, 10))
def test_every_chunker_leaves_out_nothing_but_white_space(
    text: str, title: str, size: int, overlap: int
) -> None:
    for chunker in (
        TokenChunker(size, overlap),
        RecursiveChunker(size),
        SectionChunker(size),
        SemanticChunker(HashedEmbeddings(), 0.3, size),
    ):
        covered: set[int] = set()
        spans = chunker.spans(paper(text, title))
        for start, end in spans:
            assert text[start:end] == text[start:end].strip() != ""
            covered |= set(range(start, end))
        assert "".join(c for i, c in enumerate(text) if i not in covered).strip() == ""
        for one, two in itertools.pairwise(spans):
            assert one[0] < two[0]
            assert one[1] < two[1]


def test_the_token_chunker_repeats_the_last_tokens_of_the_passage_before() -> None:
    text = " ".join(f"w{n % 10}" for n in range(40))
    chunks = cut(TokenChunker(max_tokens=20, overlap=8), text)
    assert all(tokens(c) <= 20 for c in chunks)
    for one, two in itertools.pairwise(chunks):
        assert two.split()[0] in one.split()[-4:]


def test_the_recursive_chunker_keeps_paragraphs_together_before_lines_and_sentences() -> None:
    one, two, three, four = (TEXT[a:b] for a, b in sentences(TEXT))
    text = f"{one} {two}\n\n{three}\n{four}"
    assert cut(RecursiveChunker(max_tokens=20), text) == [text]
    assert cut(RecursiveChunker(max_tokens=10), text) == [f"{one} {two}", f"{three}\n{four}"]
    assert cut(RecursiveChunker(max_tokens=5), text) == [one, two, three, four]


def test_the_semantic_chunker_ends_a_passage_where_the_subject_turns() -> None:
    text = "Glass bridges carry people. Glass bridges carry carts. Whales sing at night. Whales sing at dawn."
    one, two, three, four = (text[a:b] for a, b in sentences(text))
    assert cut(SemanticChunker(HashedEmbeddings(), turns=0.3), text) == [f"{one} {two}", f"{three} {four}"]


def test_vectors_of_any_length_turn_at_the_same_sentences() -> None:
    text = (NOTES / "alce.md").read_text()
    plain, stretched = HashedEmbeddings(), Stretched(HashedEmbeddings())
    assert cut(SemanticChunker(stretched, turns=0.3), text) == cut(SemanticChunker(plain, turns=0.3), text)


def test_nothing_gives_nothing() -> None:
    for chunker in (SentenceChunker(), WholeChunker(), TokenChunker(), RecursiveChunker(), SectionChunker()):
        assert chunker.transform_documents([]) == []
        assert chunker.transform_documents([paper(""), paper(" \r\n\u2003", "On Bridges")]) == []


def test_the_whole_chunker_gives_one_passage_without_the_white_space_around_it() -> None:
    [chunk] = WholeChunker().transform_documents([paper("\n Glass bridges.\n\nSteel ones. \n", "On Bridges")])
    assert chunk.page_content == "Glass bridges.\n\nSteel ones."
    assert chunk.metadata == {"document_id": "p1", "title": "On Bridges", "start": 2, "end": 29}


def test_a_lead_in_and_its_items_stay_in_one_passage_which_names_the_list() -> None:
    before = " ".join(f"Bridge number {n} was tested in the year {1900 + n} by hand." for n in range(9))
    items = "The study makes these contributions:\n\n- a set of routes,\n- a simulator, and\n- a planner."
    text = f"{before}\n\n{items}\n\nThe end is near."
    found = SentenceChunker(120).transform_documents([paper(text)])
    holding = [p for p in found if "contributions:" in p.page_content]
    assert holding
    assert all(items in p.page_content for p in holding)
    start = text.index(items)
    assert holding[0].metadata["lists"] == [[start, start + len(items)]]

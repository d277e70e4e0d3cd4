"""LangChain's text splitters as chunkers, with the real package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_text_splitters import (
    CharacterTextSplitter,
    LatexTextSplitter,
    MarkdownTextSplitter,
    RecursiveCharacterTextSplitter,
    TextSplitter,
    TokenTextSplitter,
)

import ragkit
import ragkit.pipeline_file  # registers every component
from ragkit import config
from ragkit.ask import AnswerPipeline
from ragkit.chunk import SplitterChunker, chunker_of
from ragkit.document import span_of
from ragkit.errors import ConfigError
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.ingest import IngestPipeline
from ragkit.rag import Rag
from ragkit.read.formats.markdown import Markdown

NOTE = """# Bridges

Before anything.

## Glass

Glass bridges carry 40 people. They are tested every year.

## References

[1] Smith. Bridges. 2020.
"""
SPLITTERS = [
    RecursiveCharacterTextSplitter(chunk_size=40, chunk_overlap=15),
    RecursiveCharacterTextSplitter(chunk_size=40, chunk_overlap=15, add_start_index=True),
    RecursiveCharacterTextSplitter(chunk_size=40, chunk_overlap=0, strip_whitespace=False),
    RecursiveCharacterTextSplitter(chunk_size=30, chunk_overlap=0, keep_separator="end", separators=[". ", " "]),
    CharacterTextSplitter(separator=" ", chunk_size=30, chunk_overlap=10),
    CharacterTextSplitter(separator=r"\s", is_separator_regex=True, keep_separator=True, chunk_size=30, chunk_overlap=5),
    MarkdownTextSplitter(chunk_size=40, chunk_overlap=0),
    LatexTextSplitter(chunk_size=40, chunk_overlap=8, add_start_index=True),
]  # fmt: skip


class WordSplitter(TextSplitter):
    """Counts in words, without any tables to download."""

    def split_text(self, text: str) -> list[str]:
        words = text.split(" ")
        step = self._chunk_size - self._chunk_overlap
        return [" ".join(words[at : at + self._chunk_size]) for at in range(0, len(words), step)]


def passages(splitter: Any, text: str, **metadata: Any) -> list[Document]:
    return list(chunker_of(splitter).transform_documents([Document(text, id="p", metadata=metadata)]))


@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda s: f"{type(s).__name__}-{s._chunk_overlap}")
@settings(max_examples=40)
@given(
    text=st.one_of(
        st.text(max_size=300), st.text(alphabet="ab .\n", max_size=300), st.just(NOTE), st.just("ab " * 90)
    )
)
def test_every_piece_is_the_text_at_its_span_and_nothing_is_lost(splitter: TextSplitter, text: str) -> None:
    cut = passages(splitter, text)
    for passage in cut:
        span = span_of(passage)
        assert text[span.start : span.end] == passage.page_content != ""
    starts = [span_of(passage).start for passage in cut]
    assert starts == sorted(starts)
    if splitter._chunk_overlap == 0:
        covered = {at for p in cut for at in range(span_of(p).start, span_of(p).end)}
        assert [c for at, c in enumerate(text) if at not in covered and not c.isspace()] == []


def test_offsets_that_a_splitter_gives_wrongly_are_not_believed() -> None:
    text = "one two three one two three one two three"
    told = WordSplitter(chunk_size=3, chunk_overlap=2, add_start_index=True)
    assert [d.metadata["start_index"] for d in told.create_documents([text])][1] == 18
    spans = [span_of(p)[1:] for p in passages(told, text)]
    assert spans[:4] == [(0, 13), (4, 17), (8, 21), (14, 27)]


def test_sections_and_kinds_are_respected() -> None:
    [note] = Markdown().papers_in("note.md", NOTE)
    note.id = "p"
    cut = list(SplitterChunker(RecursiveCharacterTextSplitter(chunk_size=500)).transform_documents([note]))
    assert [(p.page_content, p.metadata.get("section"), p.metadata["kind"]) for p in cut] == [
        ("Before anything.", None, "body"),
        ("Glass bridges carry 40 people. They are tested every year.", ["Glass"], "body"),
        ("[1] Smith. Bridges. 2020.", ["References"], "references"),
    ]


def test_white_space_that_a_splitter_changes_stays_as_the_paper_has_it() -> None:
    text = "Glass  bridges.\n\n\n\nRope\tbridges."
    joined = CharacterTextSplitter(separator="\n\n", chunk_size=99, chunk_overlap=0)
    assert joined.split_text(text) == ["Glass  bridges.\n\nRope\tbridges."]
    assert [p.page_content for p in passages(joined, text)] == [text]


# --- splitters that cannot be chunkers


class Shouting(TextSplitter):
    """Rewrites what it cuts."""

    def split_text(self, text: str) -> list[str]:
        return [text.upper()]


def test_a_splitter_that_rewrites_is_refused_before_anything_is_read() -> None:
    with pytest.raises(
        ValueError,
        match=r"^Shouting changes the text that it cuts, so that its passages cannot be cited: 'GLASS",
    ):
        IngestPipeline(chunk=Shouting(), index=[])


def test_config_check_names_the_splitter_the_place_and_the_way_out() -> None:
    text = (
        "ingest:\n  index: []\n  chunk: {type: langchain_text_splitters.CharacterTextSplitter, separator: '\\s+',"
        " is_separator_regex: true}\nanswer: {retrieve: [], generate: extractive}\n"
    )
    with pytest.raises(ConfigError) as error:
        config.loads(Rag, text, "my.yaml")
    [problem] = error.value.problems
    assert (problem.line, problem.path) == (2, "ingest")
    assert problem.message == (
        "CharacterTextSplitter changes the text that it cuts, so that its passages cannot be cited:"
        " 'Glass\\\\s+bridges\\\\s+carry\\\\s+40\\\\s+people,\\\\s+e.g.\\\\s+in\\\\s+Asia.\\\\s...' is not in the paper;"
        " set `keep_separator: true` or another `separator`, or use a chunker of ragkit such as `recursive`"
    )
    config.loads(
        Rag, text.replace("is_separator_regex", "keep_separator: true, is_separator_regex"), "my.yaml"
    )


class Bytes(TextSplitter):
    """Cuts within characters, as a splitter by tokens can."""

    def split_text(self, text: str) -> list[str]:
        size = self._chunk_size
        data = text.encode()
        return [data[at : at + size].decode(errors="replace") for at in range(0, len(data), size)]


def test_a_splitter_that_rewrites_one_paper_costs_that_paper_alone(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(f"{'Brücke ' * 99}")
    (tmp_path / "two.txt").write_text("Glass bridges carry 40 people.")
    rag = ragkit.Rag(
        corpus=tmp_path / "corpus",
        ingest=IngestPipeline(chunk=Bytes(chunk_size=299, chunk_overlap=0), index=[]),
        answer=AnswerPipeline(retrieve=[], generate=ExtractiveGenerator()),
    )
    report = rag.ingest(tmp_path)
    assert report.chunks == 1
    [failure] = report.failed
    assert failure.source == str(tmp_path / "one.txt")
    assert failure.error.startswith("Bytes changes the text that it cuts")
    assert "from_tiktoken_encoder" in failure.error
    assert rag.corpus.count_unchunked(rag.ingest_pipeline.chunker) == 1


def test_a_splitter_by_tokens_needs_no_more_than_its_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    class Words:
        """A token table: a word is a token."""

        def encode(self, text: str, **_: Any) -> list[str]:
            return [f"{word} " for word in text.split(" ")]

        def decode(self, tokens: list[str]) -> str:
            return "".join(tokens).removesuffix(" ")

    import tiktoken

    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: Words())
    cut = passages(TokenTextSplitter(chunk_size=3, chunk_overlap=1), "one two three four five")
    assert [p.page_content for p in cut] == ["one two three", "three four five"]

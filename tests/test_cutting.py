"""Papers are cut in confined processes: what sentences do to a text ends there, and fails alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_text_splitters import RecursiveCharacterTextSplitter

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import (
    Chunker,
    RecursiveChunker,
    SectionChunker,
    SentenceChunker,
    TokenChunker,
    WholeChunker,
)
from ragkit.chunk.process import Cutter
from ragkit.confined import ConfinedPool, ProcessLimits
from ragkit.document import Stretch
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.ingest import IngestPipeline
from ragkit.plan import plan
from ragkit.read.files import Files
from ragkit.read.process import Reader
from ragkit.retrieve import LexicalRetriever
from ragkit.text.words import Offsets

EXAMPLES = Path(__file__).parent.parent / "examples" / "papers"
LIMITS = ProcessLimits(20, 20, 2000, 20_000_000, 1_000_000, processes=2)


@dataclass(frozen=True)
class Frail(Chunker):
    """Does what a paper says, in the process that it is in."""

    def cut(self, paper: Document, part: Stretch) -> list[Offsets]:
        match paper.page_content:
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "hang":
                time.sleep(600)
            case "swell":
                bytearray(10**12)
            case "fault":
                raise KeyError("a fault of the chunker")
        return [(part.start, part.end)]


@dataclass(frozen=True)
class Liar(Chunker):
    """Says that a paper has passages that it has not."""

    metadata: tuple[tuple[str, Any], ...] = ()

    def cut(self, paper: Document, part: Stretch) -> list[Offsets]:
        return []

    def transform_documents(self, documents: Sequence[Document], **kwargs: Any) -> Sequence[Document]:
        return [Document("", metadata=dict(self.metadata))]


@pytest.fixture
def pool() -> Iterator[ConfinedPool]:
    pool = ConfinedPool(LIMITS)
    yield pool
    pool.close()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("crash", "it crashed the process that cut it (SIGSEGV); it is damaged, or made to do so"),
        ("hang", "cutting it took longer than 2 s (`seconds_a_file` of the loader)"),
        ("swell", "cutting it takes more than 2000 MB of memory (`megabytes_a_file` of the loader)"),
        ("fault", "it cannot be cut: KeyError: 'a fault of the chunker'"),
    ],
)
def test_a_paper_that_cannot_be_cut_fails_alone(text: str, error: str) -> None:
    pool = ConfinedPool(ProcessLimits(2, 20, 2000, 20_000_000, 1_000_000, processes=2))
    papers = [Document(each, id=str(n)) for n, each in enumerate(["one", text, "two", "three"])]
    try:
        cuts = Cutter(Frail(), pool).cut(papers)
    finally:
        pool.close()
    assert [[each.page_content for each in cut.passages] for cut in cuts] == [["one"], [], ["two"], ["three"]]
    assert [str(cut.error)[: len(error)] for cut in cuts] == ["None", error, "None", "None"]


def test_a_dry_run_counts_a_paper_that_cannot_be_cut_as_failed(tmp_path: Path) -> None:
    for name in ("fault", "one"):
        (tmp_path / f"{name}.txt").write_text(name)
    rag = ragkit.Rag(
        corpus=tmp_path / "corpus",
        ingest=IngestPipeline(read=Files(), chunk=Frail(), index=[Bm25Index()]),
        answer=AnswerPipeline(retrieve=[LexicalRetriever(index=Bm25Index())], generate=ExtractiveGenerator()),
    )
    done = plan(rag, tmp_path)
    assert [(Path(each.source).name, each.error) for each in done.failed] == [
        ("fault.txt", "it cannot be cut: KeyError: 'a fault of the chunker'")
    ]
    assert (done.new, done.papers, done.passages) == (2, 2, 1)
    assert [each.error for each in rag.ingest(tmp_path / "one.txt", tmp_path / "fault.txt").failed] == [
        done.failed[0].error
    ]


@pytest.mark.parametrize(
    "told",
    [
        (("start", 5), ("end", 2)),
        (("start", 0), ("end", 900)),
        (("start", -4), ("end", 2)),
        (("start", 0.5), ("end", 2)),
        (("start", 0), ("end", 3)),  # not its text
    ],
)
def test_passages_that_are_not_in_the_paper_are_not_taken(
    pool: ConfinedPool, told: tuple[tuple[str, Any], ...]
) -> None:
    [cut] = Cutter(Liar(told), pool).cut([Document("A paper of 26 characters.", id="1")])
    assert cut.passages == []
    assert cut.error


@pytest.mark.parametrize(
    "chunker",
    [
        SentenceChunker(),
        RecursiveChunker(max_tokens=60),
        SectionChunker(),
        TokenChunker(max_tokens=50),
        WholeChunker(),
        RecursiveCharacterTextSplitter(chunk_size=300, chunk_overlap=40),
    ],
    ids=lambda chunker: type(chunker).__name__,
)
def test_passages_are_the_same_wherever_they_are_cut(chunker: Any) -> None:
    with Reader(Files(processes=2)) as reader:
        papers = [
            paper.model_copy(update={"id": str(number)})
            for number, uri in enumerate(reader.find([EXAMPLES]))
            for batch in reader.read(uri)
            for paper in batch
        ]
        there = Cutter(chunker, reader.pool).cut(papers)
        here = Cutter(chunker).cut(papers)
    assert sum(len(cut.passages) for cut in here) > len(papers) / 2
    assert there == here


def test_an_ingest_names_the_paper_that_could_not_be_cut(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    for name in ("one", "crash", "two"):
        (folder / f"{name}.txt").write_text(name)
    frail = f"{__name__}.Frail"
    rag = ragkit.load(
        {"extends": "default", "ingest": {"chunk": {"type": frail}}},
        corpus=tmp_path / "corpus",
        allow_import=[frail],
    )
    report = rag.ingest(folder)
    assert [Path(failure.source).name for failure in report.failed] == ["crash.txt"]
    assert report.documents == 3


def test_a_chunker_that_only_this_process_knows_cuts_here_with_a_warning(
    pool: ConfinedPool, caplog: pytest.LogCaptureFixture
) -> None:
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=20, chunk_overlap=0, length_function=lambda text: len(text)
    )
    cutter = Cutter(splitter, pool)
    for _ in range(2):
        [cut] = cutter.cut([Document("Glass bridges carry people.", id="1")])
        assert len(cut.passages) == 2
    [record] = caplog.records
    assert record.message.startswith(
        "papers are cut without limits on time and memory, since the chunker needs"
    )

"""A library whose vectors are in Qdrant: rebuilt when the server has lost them, and told when it is away."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from qdrant_client import QdrantClient
from qdrant_engine import EngineIndex
from support import ROOT

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.doctor import examine
from ragkit.document import Key, passage_id
from ragkit.errors import CorpusError
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index import Place
from ragkit.index.bm25 import Bm25Index
from ragkit.index.qdrant import QdrantIndex
from ragkit.ingest import IngestPipeline
from ragkit.retrieve import DenseRetriever, LexicalRetriever
from ragkit.testing import HashedEmbeddings
from ragkit.testing.engines import add_keys


def library(folder: Path, dense: QdrantIndex) -> ragkit.Rag:
    return ragkit.Rag(
        corpus=folder / "corpus",
        ingest=IngestPipeline(chunk=WholeChunker(), index=[dense]),
        answer=AnswerPipeline(retrieve=[DenseRetriever(store=dense)], generate=ExtractiveGenerator()),
    )


def papers(folder: Path) -> Path:
    (folder / "papers").mkdir()
    for name in ("glass", "iron"):
        (folder / "papers" / f"{name}.md").write_text(
            f"# {name.title()}\n\nBridges of {name} carry people.\n"
        )
    return folder / "papers"


def test_a_collection_that_the_server_has_lost_is_built_again_without_embedding(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dense = QdrantIndex(embed=HashedEmbeddings(), collection="lost", url=":memory:")
    rag = library(tmp_path, dense)
    assert rag.ingest(papers(tmp_path)).encoded == 2
    assert {hit.page_content for hit in rag.search("people")} == {
        "Bridges of glass carry people.",
        "Bridges of iron carry people.",
    }
    assert examine(rag).problems == ()
    name = f"lost-{rag.ingest_pipeline.name_of(dense)}"
    dense.client().delete_collection(name)
    again = library(tmp_path, dense)
    with caplog.at_level(logging.WARNING):
        assert [hit.page_content for hit in again.search("glass", k=1)] == ["Bridges of glass carry people."]
    assert [record.message.partition(" is ")[2] for record in caplog.records] == [
        "damaged and is built anew from the corpus"
    ]
    assert dense.client().count(name).count == 4, "two passages, and what is noted of the generation"


def test_a_server_that_is_away_is_an_error_and_no_empty_index(tmp_path: Path) -> None:
    away = QdrantIndex(embed=HashedEmbeddings(), collection="away", url="http://127.0.0.1:9")
    with pytest.raises(
        CorpusError, match=r"^the Qdrant server at http://127\.0\.0\.1:9 did not do what was asked"
    ):
        away.is_sound(Place(tmp_path / "index", 1))
    with pytest.raises(CorpusError, match=r"Connection refused"):
        library(tmp_path, away).ingest(papers(tmp_path))


def test_a_question_fails_while_the_server_is_away_though_another_index_could_answer(tmp_path: Path) -> None:
    dense, words = QdrantIndex(embed=HashedEmbeddings(), collection="beside", url=":memory:"), Bm25Index()
    rag = ragkit.Rag(
        corpus=tmp_path / "corpus",
        ingest=IngestPipeline(chunk=WholeChunker(), index=[dense, words]),
        answer=AnswerPipeline(
            retrieve=[DenseRetriever(store=dense), LexicalRetriever(index=words)],
            generate=ExtractiveGenerator(),
        ),
    )
    rag.ingest(papers(tmp_path))
    rows = rag.snapshot().searcher(dense).rows  # type: ignore[attr-defined]
    there, rows.client = rows.client, QdrantClient("http://127.0.0.1:9", check_compatibility=False)
    for asked in (rag.ask, rag.search):
        with pytest.raises(
            CorpusError, match=r"^the Qdrant server at \S+ did not do what was asked of 'beside"
        ):
            asked("What do bridges of glass carry?")
    rows.client = there
    assert "Bridges of glass carry people." in rag.ask("What do bridges of glass carry?").text


def test_a_name_that_no_collection_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^'my papers' is no name for a collection: use letters, digits"):
        QdrantIndex(embed=HashedEmbeddings(), collection="my papers")


KEYS = [Key(passage_id("killed", n, n + 1), 0, f"passage {n}") for n in range(400)]
OLD, NEW = KEYS[:300], KEYS[300:]


def engine(folder: Path) -> tuple[QdrantIndex, list[Place]]:
    index = EngineIndex(embed=DeterministicFakeEmbedding(size=32), collection="killed", url=str(folder))
    return index, [Place(folder / "index", generation) for generation in (1, 2, 3)]


def test_the_engine_finds_what_was_published_before_its_process_was_killed(tmp_path: Path) -> None:
    there = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run([sys.executable, __file__, tmp_path], env=there, check=False)
    assert done.returncode == -signal.SIGKILL
    index, [first, killed, next_] = engine(tmp_path)
    assert (index.is_sound(first), index.is_sound(killed)) == (True, False)
    assert found(index, first, OLD) == [key.passage for key in OLD]
    builder = index.build(first, next_)
    add_keys(index, builder, NEW)
    builder.seal()
    assert found(index, next_, KEYS) == [key.passage for key in KEYS]


def found(index: QdrantIndex, place: Place, keys: list[Key]) -> list[str]:
    """The passage that is nearest to the text of each key."""
    with closing(index.open(place)) as searcher:
        assert sorted(searcher.entries()) == sorted((key.passage, 0) for key in keys)
        return [hits[0].passage for hits in searcher.search_each([key.text for key in keys], 1)]


if __name__ == "__main__":
    index, [first, killed, _] = engine(Path(sys.argv[1]))
    builder = index.build(None, first)
    add_keys(index, builder, OLD)
    builder.seal()
    builder = index.build(first, killed)
    add_keys(index, builder, NEW)
    builder.remove([key.passage for key in OLD[:100]])
    os.kill(os.getpid(), signal.SIGKILL)

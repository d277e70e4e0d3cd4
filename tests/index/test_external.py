"""LangChain vector stores as indexes: real ones, in memory and on disk, and the error for an empty one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.doctor import examine
from ragkit.document import title_of
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.ingest import IngestPipeline
from ragkit.retrieve import DenseRetriever
from ragkit.testing import HashedEmbeddings

EMBED = HashedEmbeddings(size=32)


def qdrant(location: str) -> VectorStore:
    """A collection of Qdrant's local mode: in a folder, or `:memory:`."""
    from langchain_qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient
    from qdrant_client.models import Distance, VectorParams

    client = QdrantClient(**({"location": location} if location == ":memory:" else {"path": location}))
    if not client.collection_exists("papers"):
        client.create_collection("papers", VectorParams(size=EMBED.size, distance=Distance.COSINE))
    return QdrantVectorStore(client, "papers", EMBED)


STORES: dict[str, Callable[[Path], VectorStore]] = {
    "InMemoryVectorStore": lambda _: InMemoryVectorStore(EMBED),
    "Qdrant in memory": lambda _: qdrant(":memory:"),
    "Qdrant in a folder": lambda folder: qdrant(str(folder / "qdrant")),
}


def library(directory: Path, store: VectorStore) -> ragkit.Rag:
    return ragkit.Rag(
        corpus=directory,
        ingest=IngestPipeline(chunk=WholeChunker(), index=[store]),
        answer=AnswerPipeline(retrieve=[DenseRetriever(store=store, k=3)], generate=ExtractiveGenerator()),
    )


def write(folder: Path, **papers: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in papers.items():
        (folder / f"{name}.md").write_text(f"# {name.title()} Bridges\n\n{text}\n")
    return folder


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
def test_papers_are_added_found_filtered_replaced_and_removed(
    make: Callable[[Path], VectorStore], tmp_path: Path
) -> None:
    rag = library(tmp_path / "corpus", make(tmp_path))
    papers = write(tmp_path / "papers", glass="They carry 40 people.", rope="They sway in the wind.")
    assert rag.ingest(papers).chunks == 2
    assert rag.ask("How many people do they carry?").citations[0].quote == "They carry 40 people."
    assert [title_of(hit) for hit in rag.search("they carry", where="title contains rope")] == [
        "Rope Bridges"
    ]
    write(papers, glass="They carry 55 visitors.")
    (papers / "rope.md").unlink()
    assert rag.ingest(papers, prune=True).chunks == 1
    assert [hit.page_content for hit in rag.search("they carry people, sway in the wind")] == [
        "They carry 55 visitors."
    ]
    assert examine(rag).problems == ()


def test_a_store_that_keeps_nothing_is_said_in_one_sentence_and_filled_by_an_ingest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    papers = write(tmp_path / "papers", glass="They carry 40 people.", rope="They sway.")
    library(tmp_path / "corpus", InMemoryVectorStore(EMBED)).ingest(papers)
    later = library(tmp_path / "corpus", InMemoryVectorStore(EMBED))
    said = (
        "the vector store is empty, although 2 passages were put into it: give it a place where it keeps them, then run"
        " `ragkit ingest` (no path is needed); one that is in memory lasts as long as its process"
    )
    [name] = later.corpus.published()
    for question in (later.ask, later.search):
        with pytest.raises(ragkit.IndexMismatch) as refused:
            question("How many people do they carry?")
        assert str(refused.value) == f"index {name}: {said}"
    assert examine(later).problems == (f"{name}: {said}",)
    with caplog.at_level(logging.WARNING, "ragkit"):
        later.ingest()
    assert [record.getMessage() for record in caplog.records] == [
        f"index {name} is empty, although it was filled, and is filled anew from the corpus"
    ]
    assert later.ask("How many people do they carry?").citations[0].quote == "They carry 40 people."
    assert examine(later).problems == ()
    emptied = library(tmp_path / "corpus", InMemoryVectorStore(EMBED))
    assert (emptied.repair(), examine(emptied).problems) == ([f"rebuilt {name}"], ())


def test_qdrant_in_a_folder_is_there_in_the_next_process(tmp_path: Path) -> None:
    papers = write(tmp_path / "papers", glass="They carry 40 people.")
    first: Any = qdrant(str(tmp_path / "qdrant"))
    library(tmp_path / "corpus", first).ingest(papers)
    first.client.close()
    second: Any = qdrant(str(tmp_path / "qdrant"))
    with closing(second.client):
        rag = library(tmp_path / "corpus", second)
        assert rag.ask("How many people do they carry?").citations[0].quote == "They carry 40 people."
        assert rag.ingest(papers).chunks == 1


def test_a_store_that_cannot_be_asked_by_id_is_searched_for_what_it_should_hold(tmp_path: Path) -> None:
    class Plain(InMemoryVectorStore):
        def get_by_ids(self, ids: Any, /) -> list[Document]:
            raise NotImplementedError

    papers = write(tmp_path / "papers", glass="They carry 40 people.")
    library(tmp_path / "corpus", Plain(EMBED)).ingest(papers)
    with pytest.raises(ragkit.IndexMismatch, match="the vector store is empty, although 1 passages"):
        library(tmp_path / "corpus", Plain(EMBED)).search("people")


def test_the_command_line_says_that_a_store_in_memory_is_empty_and_fails(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    write(tmp_path / "papers", glass="They carry 40 people.")
    (tmp_path / "ragkit.yaml").write_text("""
define:
  store: &store {type: langchain_chroma.Chroma, embedding_function: {type: ragkit.testing.HashedEmbeddings}}
ingest: {chunk: whole, index: *store}
answer: {retrieve: {type: dense, store: *store}, generate: extractive}
""")
    allowed = {"RAGKIT_ALLOW_IMPORT": "ragkit"}
    named = ("--config", "ragkit.yaml")
    assert command("ingest", "papers", *named, **allowed).returncode == 0
    for what in (("ask", "How many people?"), ("search", "people"), ("doctor",)):
        done = command(*what, *named, **allowed)
        assert done.returncode != 0
        assert "is empty, although 1 passages were put into it" in " ".join(
            (done.stdout + done.stderr).split()
        )
        assert "do not answer" not in done.stdout

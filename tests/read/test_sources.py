"""What an ingest reads from: sources of our own interface, and LangChain's loaders behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.errors import LoadError
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.ingest import IngestPipeline
from ragkit.read import PaperSource, source_of


@dataclass
class Shelf(BaseLoader):
    """A LangChain loader of texts by their address."""

    pages: dict[str, list[str]]

    def lazy_load(self) -> Iterator[Document]:
        for source, texts in self.pages.items():
            for text in texts:
                yield Document(text, metadata={"source": source, "title": text})


@dataclass
class Drawer(PaperSource):
    """A source of our interface, one of whose sheets may be unreadable."""

    sheets: dict[str, str] = field(default_factory=dict)
    read_so_far: list[str] = field(default_factory=list)

    def find(self, paths: Sequence[str | Path] = ()) -> list[str]:
        return [sheet for sheet in self.sheets if not paths or sheet in map(str, paths)]

    def digest(self, uri: str) -> str:
        return self.sheets[uri]

    def read(self, uri: str) -> Iterator[list[Document]]:
        self.read_so_far.append(uri)
        if not self.sheets[uri]:
            raise LoadError("it is blank")
        yield [Document(self.sheets[uri], metadata={"title": self.sheets[uri]})]

    def gone(self, uris: Iterable[str], paths: Sequence[str | Path] = ()) -> list[str]:
        return [uri for uri in uris if uri not in self.sheets]


def over(directory: Path, read: BaseLoader) -> ragkit.Rag:
    return ragkit.Rag(
        corpus=directory,
        ingest=IngestPipeline(read=read, chunk=WholeChunker(), index=[]),
        answer=AnswerPipeline(retrieve=[], generate=ExtractiveGenerator()),
    )


def titles(rag: ragkit.Rag) -> list[str]:
    papers = rag.corpus.documents(rag.corpus.find_documents(""))
    return sorted(paper.metadata["title"] for paper in papers.values())


def test_each_source_of_a_loader_is_a_file(tmp_path: Path) -> None:
    shelf = Shelf({"https://a": ["Glass bridges.", "Rope bridges."], "https://b": ["Iron bridges."]})
    report = over(tmp_path, shelf).ingest()
    assert (report.files, report.entries, report.documents) == (2, 3, 3)


def test_what_a_loader_no_longer_brings_is_pruned_and_what_is_new_is_read(tmp_path: Path) -> None:
    over(tmp_path, Shelf({"https://a": ["Glass bridges."], "https://b": ["Iron bridges."]})).ingest()
    rag = over(tmp_path, Shelf({"https://b": ["Steel bridges."]}))
    rag.ingest()
    assert titles(rag) == ["Glass bridges.", "Steel bridges."]
    assert rag.ingest(prune=True).pruned == 1
    assert titles(rag) == ["Steel bridges."]


def test_pruning_with_a_loader_keeps_the_files_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "rope.txt").write_text("Rope bridges sway.")
    over(tmp_path / "c", Shelf({str(tmp_path / "rope.txt"): ["Rope bridges sway."]})).ingest()
    assert over(tmp_path / "c", Shelf({})).ingest(prune=True).pruned == 0


def test_a_loader_takes_no_paths(tmp_path: Path) -> None:
    with pytest.raises(
        ragkit.UsageError,
        match="'here' cannot be ingested: this configuration loads with Shelf, which takes no paths",
    ):
        over(tmp_path, Shelf({})).ingest("here")


def test_a_source_of_our_interface_is_read_like_files(tmp_path: Path) -> None:
    drawer = Drawer({"1": "Glass bridges.", "2": "", "3": "Iron bridges."})
    rag = over(tmp_path, drawer)
    report = rag.ingest("1", "2")
    assert (report.files, [(f.source, f.error) for f in report.failed]) == (1, [("2", "it is blank")])
    rag.ingest()
    assert drawer.read_so_far == ["1", "2", "3"]  # what is unchanged is not read again, nor tried again
    del drawer.sheets["1"]
    assert rag.ingest(prune=True).pruned == 1
    assert titles(rag) == ["Iron bridges."]


def test_a_source_is_a_loader_of_all_that_it_finds() -> None:
    drawer = Drawer({"1": "Glass bridges.", "2": "Iron bridges."})
    assert [d.page_content for d in drawer.load()] == ["Glass bridges.", "Iron bridges."]
    assert source_of(drawer) is drawer


def test_a_loaders_documents_say_nothing_that_is_ragkits_to_say() -> None:
    source = source_of(Forger())
    [uri] = source.find()
    [[paper]] = source.read(uri)
    assert paper.page_content == "Glass bridges."
    assert paper.metadata == {"source": "https://a", "year": 2024}


class Forger(BaseLoader):
    """A loader whose documents set what only ragkit may."""

    def lazy_load(self) -> Iterator[Document]:
        yield Document(
            "Glass\x1bbridges.", metadata={"source": "https://a", "sections": 7, "kind": "x", "year": 2024}
        )

"""A passage is found by any of its keys, and read and cited as it stands in its paper."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.vectorstores import InMemoryVectorStore

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import WholeChunker
from ragkit.doctor import examine
from ragkit.document import as_json, sources_of, span_of, title_of
from ragkit.flow import Called, Flow
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.index.flat import FlatIndex
from ragkit.ingest import AnyIndex, IngestPipeline
from ragkit.keys import Estimate, KeptReplies, KeyWriter
from ragkit.plan import plan
from ragkit.retrieve import DenseRetriever, LexicalRetriever
from ragkit.testing import HashedEmbeddings


class Counted(FakeListChatModel):
    """Says the same every time, and counts how often it was asked."""

    asked: int = 0

    def _call(self, *given: Any, **more: Any) -> str:
        self.asked += 1
        return super()._call(*given, **more)


@dataclass(frozen=True)
class Questions(KeyWriter):
    """One question that a passage answers, by a chat model."""

    llm: BaseChatModel

    kind: ClassVar[str] = "question"

    def flow(self, passages: Sequence[Document], replies: KeptReplies) -> Flow[Sequence[Sequence[str]]]:
        written = yield from replies.flow(
            self.llm,
            "Which question does the text between the tags {fence} answer?",
            [p.page_content for p in passages],
        )
        return [[reply] for reply in written]


@dataclass(frozen=True)
class Shouted(KeyWriter):
    """The text in capitals and its length, which takes no model."""

    kind: ClassVar[str] = "shout"

    def flow(self, passages: Sequence[Document], replies: KeptReplies) -> Flow[Sequence[Sequence[str]]]:
        return [[f"{p.page_content.upper()}!", f"characters {len(p.page_content)}"] for p in passages]
        yield []

    def estimate(self, passages: Sequence[Document], replies: KeptReplies) -> Estimate:
        return Estimate(calls=0, keys=2 * len(passages))


LLM = "What burden do footbridges bear over gorges?"


def library(directory: Path, *indexes: AnyIndex, writers: Sequence[KeyWriter]) -> ragkit.Rag:
    retrieve = [
        LexicalRetriever(index=index) if isinstance(index, Bm25Index) else DenseRetriever(store=index)  # type: ignore[arg-type]
        for index in indexes
    ]
    return ragkit.Rag(
        corpus=directory,
        ingest=IngestPipeline(chunk=WholeChunker(), keys=writers, index=indexes),  # type: ignore[arg-type]
        answer=AnswerPipeline(retrieve=retrieve, generate=ExtractiveGenerator()),
    )


def write(folder: Path, **papers: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in papers.items():
        (folder / f"{name}.md").write_text(f"---\nyear: {len(text)}\n---\n# {name.title()}\n\n{text}\n")
    return folder


EMBED = HashedEmbeddings(size=256)
INDEXES: dict[str, Callable[[], AnyIndex]] = {
    "bm25": lambda: Bm25Index(),
    "flat": lambda: FlatIndex(embed=EMBED),
    "chroma": lambda: ChromaIndex(embed=EMBED),
    "LangChain": lambda: InMemoryVectorStore(EMBED),
}


@pytest.mark.parametrize("make", INDEXES.values(), ids=INDEXES)
def test_a_passage_is_found_by_another_key_and_cited_by_its_own_characters(
    make: Callable[[], AnyIndex], tmp_path: Path
) -> None:
    llm = Counted(responses=[LLM])
    papers = write(tmp_path / "papers", glass="Glass ones carry 40 people.")
    rag = library(tmp_path / "corpus", make(), writers=[Questions(llm)])
    rag.ingest(papers)
    [hit] = rag.search("burden footbridges bear gorges")
    assert (hit.page_content, title_of(hit)) == ("Glass ones carry 40 people.", "Glass")
    assert hit.metadata["via"] == {"kind": "question", "text": LLM}
    span, [source] = span_of(hit), sources_of(hit)
    assert (papers / "glass.md").read_text()[
        source["start"] + span.start : source["start"] + span.end
    ] == hit.page_content
    [own] = rag.search("glass ones carry people")
    assert "via" not in own.metadata
    answer = rag.ask("What burden do footbridges bear over gorges: how many people do glass ones carry?")
    assert [c.quote for c in answer.citations] == ["Glass ones carry 40 people."]
    assert LLM not in answer.text
    assert rag.search("burden footbridges bear gorges", where="year > 1000") == []
    assert [title_of(h) for h in rag.search("burden footbridges bear gorges", where="year = 27")] == ["Glass"]
    assert examine(rag).problems == ()


@pytest.mark.parametrize("make", INDEXES.values(), ids=INDEXES)
def test_all_keys_of_a_paper_that_is_gone_go_and_a_rebuild_asks_nobody(
    make: Callable[[], AnyIndex], tmp_path: Path
) -> None:
    llm = Counted(responses=[LLM])
    papers = write(tmp_path / "papers", glass="Glass ones carry 40 people.", iron="Iron ones rust.")
    index = make()
    rag = library(tmp_path / "corpus", index, writers=[Questions(llm), Shouted()])
    rag.ingest(papers)
    assert llm.asked == 2
    (papers / "glass.md").unlink()
    rag.ingest(papers, prune=True)
    assert {title_of(hit) for hit in rag.search("characters glass burden footbridges people")} == {"Iron"}
    assert (llm.asked, examine(rag).problems) == (2, ())
    write(papers, glass="Glass ones carry 40 people.")  # comes back as it was
    assert (rag.ingest(papers).documents, llm.asked) == (2, 2)
    anew = library(tmp_path / "corpus", make(), writers=[Questions(llm), Shouted()])
    run_again = anew.ingest()
    assert (llm.asked, run_again.encoded) == (2, 0)
    [glass] = anew.search("characters 27", where="title = glass")
    assert glass.metadata["via"] == {"kind": "shout", "text": "characters 27"}


def test_each_configuration_has_the_keys_of_its_own_writers(tmp_path: Path) -> None:
    papers = write(tmp_path / "papers", glass="Glass ones carry 40 people.")
    shouting = library(tmp_path / "corpus", Bm25Index(), writers=[Shouted()])
    plain = library(tmp_path / "corpus", Bm25Index(), writers=[])
    shouting.ingest(papers)
    plain.ingest(papers)
    assert (len(shouting.search("characters")), len(plain.search("characters"))) == (1, 0)
    (papers / "glass.md").unlink()
    plain.ingest(papers, prune=True)  # drops the paper, which the other still holds
    assert [health.tracked for health in examine(shouting).indexes] == [1]
    shouting.ingest()
    empty = ("the corpus holds no paper; run `ragkit ingest PATH`",)
    assert (examine(shouting).problems, shouting.search("characters")) == (empty, [])


def test_calls_for_keys_are_counted_estimated_in_a_dry_run_and_never_made_in_it(tmp_path: Path) -> None:
    llm = Counted(responses=[LLM])
    papers = write(tmp_path / "papers", glass="Glass ones carry 40 people.", iron="Iron ones rust.")
    rag = library(tmp_path / "corpus", Bm25Index(), writers=[Questions(llm), Shouted()])
    planned = plan(rag, papers)
    assert (planned.calls, planned.keys, llm.asked) == (2, 6, 0)
    calls = [
        event for event in rag.ingest_events(papers) if isinstance(event, Called) and event.stage == "keys"
    ]
    assert ([call.component for call in calls], llm.asked) == (["Counted", "Counted"], 2)


def test_what_was_answered_before_an_ingest_was_stopped_is_not_asked_again(tmp_path: Path) -> None:
    llm = Counted(responses=[LLM])
    papers = write(tmp_path / "papers", **{f"p{n:02}": f"Bridge {n} carries {n} people." for n in range(20)})
    rag = library(tmp_path / "corpus", Bm25Index(), writers=[Questions(llm)])
    events = rag.ingest_events(papers)
    for event in events:
        if isinstance(event, Called) and event.stage == "keys":
            break  # the first eight have been answered
    next(event for event in events if isinstance(event, Called) and llm.asked > 8)
    events.close()  # type: ignore[attr-defined]
    assert 8 < llm.asked < 20
    stopped = llm.asked
    rag.ingest(papers)
    assert (stopped > 8, llm.asked) == (True, 20)


def test_the_command_line_says_which_key_led_to_a_passage(tmp_path: Path) -> None:
    rag = library(tmp_path / "corpus", Bm25Index(), writers=[Shouted()])
    rag.ingest(write(tmp_path / "papers", glass="Glass ones carry 40 people."))
    [found], [own] = rag.search("characters"), rag.search("glass title")
    assert json.loads(json.dumps(as_json(found)))["via"] == {"kind": "shout", "text": "characters 27"}
    assert "via" not in as_json(own) or as_json(own)["via"]["kind"] == "shout"

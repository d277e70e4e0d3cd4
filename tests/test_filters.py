"""Filters over metadata, from the command line to the indexes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.chunk import SentenceChunker
from ragkit.corpus import Corpus
from ragkit.document import facts_of, score_of, searchable, title_of
from ragkit.errors import UsageError
from ragkit.generate.extractive import ExtractiveGenerator
from ragkit.index.bm25 import Bm25Index
from ragkit.index.chroma import ChromaIndex
from ragkit.ingest import IngestPipeline
from ragkit.retrieve import DenseRetriever, FilteredRetriever, LexicalRetriever, Passing
from ragkit.testing import HashedEmbeddings
from ragkit.where import parse

WORDS = "glass steel wooden stone rope iron paper bridge road river carries people trains carts holds sways".split()


def pipelines(directory: Path, **answer: Any) -> ragkit.Rag:
    dense, words = ChromaIndex(embed=HashedEmbeddings(size=32)), Bm25Index()
    return ragkit.Rag(
        corpus=directory,
        ingest=IngestPipeline(chunk=SentenceChunker(), index=[dense, words]),
        answer=AnswerPipeline(
            retrieve=[DenseRetriever(store=dense, k=5), LexicalRetriever(index=words, k=5)],
            generate=ExtractiveGenerator(),
            **answer,
        ),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ragkit.Rag:
    """Three thousand one-sentence papers with a year, a venue and tags."""
    folder = tmp_path_factory.mktemp("library")
    random = np.random.default_rng(7)
    with (folder / "papers.jsonl").open("w") as file:
        for number in range(3000):
            text = " ".join(random.choice(WORDS, 8)).capitalize() + f" {number}."
            paper = {
                "title": f"Paper {number}",
                "text": text,
                "year": 1990 + number % 35,
                "venue": "ACL" if number % 400 == 0 else "EMNLP",
            }
            file.write(
                json.dumps({**paper, "tags": ["even"] if number % 2 == 0 else ["odd", "strange"]}) + "\n"
            )
    rag = pipelines(folder / "corpus")
    rag.ingest(folder / "papers.jsonl")
    assert rag.search("glass")  # opens the indexes
    return rag


FILTERS = pytest.mark.parametrize(
    "where",
    [
        "year >= 2023",
        "venue = acl",
        "tags = strange",
        "not title contains 9",
        "title = 'paper 7'",
        "year >= 1990",
        "year > 2100",
    ],
)


@FILTERS
def test_the_best_of_those_that_pass_are_found_however_many_pass(library: ragkit.Rag, where: str) -> None:
    """Each retriever's answer is that of comparing every passage that passes."""
    question = "Which glass bridge carries people over the river?"
    every = library.corpus.passages(
        library.corpus.held(library.ingest_pipeline.name_of(library.ingest_pipeline.index[0]))
    )
    passing = {i for i, p in every.items() if parse(where).matches(facts_of(p.metadata))}
    among = library.corpus.matching(parse(where))
    assert passing == (set(every) if among is None else among)
    dense, words = library.ingest_pipeline.index
    assert isinstance(dense, ChromaIndex)
    assert isinstance(words, Bm25Index)
    embed = HashedEmbeddings(size=32)
    asked = np.asarray(embed.embed_query(question))
    alike = sorted(
        (float(asked @ np.asarray(embed.embed_query(searchable(every[i])))) for i in passing), reverse=True
    )
    snapshot = library.snapshot()
    found = snapshot.searcher(dense).search(question, 5, among)
    assert np.allclose([hit.score for hit in found], alike[:5], atol=1e-5)
    assert {hit.passage for hit in found} <= passing
    full = [hit for hit in snapshot.searcher(words).search(question, 3000) if hit.passage in passing]
    found = snapshot.searcher(words).search(question, 5, among)
    assert np.allclose([hit.score for hit in found], [hit.score for hit in full[:5]])
    assert {hit.passage for hit in found} <= passing


@FILTERS
def test_judging_what_is_found_finds_the_same_as_judging_all(library: ragkit.Rag, where: str) -> None:
    corpus, snapshot = library.corpus, library.snapshot()
    for retriever in library.answer_pipeline.retrieve:
        assert isinstance(retriever, FilteredRetriever)
        corpus.local.matching = {}  # as after a change
        judged = retriever.over(snapshot, Passing(corpus, parse(where))).invoke("Which glass bridge?")
        every = retriever.over(snapshot, corpus.matching(parse(where))).invoke("Which glass bridge?")
        assert np.allclose([score_of(hit) for hit in judged], [score_of(hit) for hit in every], atol=1e-5)
        assert {hit.id for hit in judged} <= (corpus.matching(parse(where)) or {hit.id for hit in judged})


def test_where_most_pass_only_what_is_found_is_judged_until_that_costs_more(
    library: ragkit.Rag, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, where = library.corpus, parse("year >= 1992")
    corpus.local.matching = {}
    corpus.local.to_judge = {}
    judged: list[int] = []
    matching = Corpus.matching
    monkeypatch.setattr(Corpus, "matching", lambda self, where: judged.append(1) or matching(self, where))
    asked = library.answer_pipeline.retrieve[0]
    assert isinstance(asked, FilteredRetriever)
    bound = asked.over(library.snapshot(), Passing(corpus, where))
    before = [score_of(hit) for hit in bound.invoke("Which glass bridge?")]
    assert not judged
    for number in range(3000 // 10):
        bound.invoke(f"Which bridge is {number}?")
    assert judged
    assert np.allclose([score_of(hit) for hit in bound.invoke("Which glass bridge?")], before, atol=1e-5)


def test_search_and_ask_see_only_what_passes(library: ragkit.Rag) -> None:
    hits = library.search("glass bridge", k=20, where="venue = ACL and year != 1990")
    assert hits
    assert {h.metadata["venue"] for h in hits} == {"ACL"}
    assert 1990 not in {h.metadata["year"] for h in hits}
    assert [score_of(h) for h in hits] == sorted((score_of(h) for h in hits), reverse=True)
    answer = library.ask("Which glass bridge carries people?", where="title = 'Paper 12'")
    assert {c.title for c in answer.citations} == {"Paper 12"}
    assert library.search("glass", where="year > 3000") == []


def test_a_filter_sees_what_is_ingested_later(tmp_path: Path) -> None:
    rag = pipelines(tmp_path / "corpus")
    (tmp_path / "a.md").write_text("---\ntitle: Glass\nyear: 2020\n---\nGlass bridges carry people.\n")
    rag.ingest(tmp_path)
    assert [title_of(h) for h in rag.search("bridges", where="year = 2020")] == ["Glass"]
    (tmp_path / "b.md").write_text("---\ntitle: Steel\nyear: 2020\n---\nSteel bridges carry people.\n")
    rag.ingest(tmp_path)
    assert sorted(title_of(h) for h in rag.search("bridges", where="year = 2020")) == ["Glass", "Steel"]


REFERENCES = "# On Bridges\n\n## Results\n\nGlass bridges carry people.\n\n## References\n\nA. Smith. Glass bridges carry trains and people. 1999.\n"


def test_references_are_found_but_not_answered_from(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(REFERENCES)
    rag = pipelines(tmp_path / "corpus")
    rag.ingest(tmp_path / "a.md")
    found = rag.search("glass bridges carry trains")
    assert {(h.metadata["kind"], tuple(h.metadata["section"])) for h in found} == {
        ("body", ("Results",)),
        ("references", ("References",)),
    }
    assert [c.text for c in rag.ask("What do glass bridges carry, trains?").claims] == [
        "Glass bridges carry people."
    ]
    rag = pipelines(tmp_path / "corpus", where=None)
    assert "trains" in rag.ask("What do glass bridges carry, trains?").text


def test_a_filter_in_the_pipeline_file_holds_and_is_written_back(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(REFERENCES)
    (tmp_path / "ragkit.yaml").write_text(
        "ingest: {chunk: sentence, index: bm25}\nanswer: {retrieve: {type: lexical, index: bm25}, where: kind = references, generate: extractive}\n"
    )
    rag = ragkit.load(tmp_path / "ragkit.yaml", corpus=tmp_path / "corpus")
    rag.ingest(tmp_path / "a.md")
    assert "trains" in rag.ask("What do glass bridges carry?").text
    assert "where: kind = references" in ragkit.dump(rag)


def test_a_filter_that_cannot_be_read_says_where(library: ragkit.Rag) -> None:
    with pytest.raises(UsageError, match="column 6"):
        library.search("glass", where="year 2020")


def test_the_command_line_filters(ingested: Path, command: Callable[..., Any]) -> None:
    found = command(
        "search", "language models", "--where", "title contains bert", "--json", "--corpus", str(ingested)
    )
    assert found.returncode == 0
    assert all("bert" in r["title"].lower() for r in json.loads(found.stdout)["results"])
    wrong = command("ask", "What?", "--where", "year >", "--corpus", str(ingested))
    assert wrong.returncode == 2
    assert len(wrong.stderr.strip().splitlines()) == 1


def test_small_to_big_reads_the_section_of_a_sentence_that_is_found(tmp_path: Path) -> None:
    from ragkit.refine.context import WholeSection

    (tmp_path / "a.md").write_text(
        "# On Bridges\n\n## Glass\n\nGlass bridges carry people. They were tested in 1999. They sway.\n\n## Steel\n\nSteel ones carry trains.\n"
    )
    dense, words = ChromaIndex(embed=HashedEmbeddings()), Bm25Index()
    rag = ragkit.Rag(
        corpus=tmp_path / "corpus",
        ingest=IngestPipeline(chunk=SentenceChunker(max_tokens=10, overlap=0), index=[dense, words]),
        answer=AnswerPipeline(
            retrieve=[LexicalRetriever(index=words)], refine=[WholeSection()], generate=ExtractiveGenerator()
        ),
    )
    rag.ingest(tmp_path / "a.md")
    assert [h.page_content for h in rag.search("tested")] == ["They were tested in 1999."]
    [read] = rag.ask("When were glass bridges tested?").context[:1]
    assert read.page_content == "Glass bridges carry people. They were tested in 1999. They sway."
    assert read.metadata["section"] == ["On Bridges", "Glass"] or read.metadata["section"] == ["Glass"]
    [read] = (
        ragkit.Rag(
            corpus=tmp_path / "corpus",
            ingest=rag.ingest_pipeline,
            answer=AnswerPipeline(
                retrieve=[LexicalRetriever(index=words)],
                refine=[WholeSection(max_characters=60)],
                generate=ExtractiveGenerator(),
            ),
        )
        .ask("When were glass bridges tested?")
        .context[:1]
    )
    assert read.page_content == "Glass bridges carry people. They were tested in 1999."

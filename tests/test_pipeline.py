"""Ingest and answer, end to end: the real embedding model, the real Chroma, the real BM25."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.retrievers import BaseRetriever

import ragkit
from ragkit.ask import AnswerPipeline
from ragkit.doctor import examine, repair
from ragkit.document import score_of, scores_of, sources_of, span_of, title_of
from ragkit.flow import Called, Event, Finished, Progress, Token, result_of
from ragkit.ingest import IngestPipeline
from ragkit.plan import plan
from ragkit.testing import HashedEmbeddings

BERT = "How many parameters do BERT-base and BERT-large have?"
FRANCE = "What is the capital of France?"


def small(directory: Path) -> ragkit.Rag:
    """A pipeline without a model, for tests of the bookkeeping."""
    from ragkit.chunk import WholeChunker
    from ragkit.generate.extractive import ExtractiveGenerator
    from ragkit.index.bm25 import Bm25Index
    from ragkit.index.chroma import ChromaIndex
    from ragkit.retrieve import DenseRetriever, LexicalRetriever
    from ragkit.verify.evidence import EvidenceVerifier

    dense, words = ChromaIndex(embed=HashedEmbeddings()), Bm25Index()
    return ragkit.Rag(
        corpus=directory,
        ingest=IngestPipeline(chunk=WholeChunker(), index=[dense, words]),
        answer=AnswerPipeline(
            retrieve=[DenseRetriever(store=dense, k=5), LexicalRetriever(index=words, k=5)],
            generate=ExtractiveGenerator(),
            verify=EvidenceVerifier(),
        ),
    )


def write(folder: Path, **papers: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in papers.items():
        (folder / f"{name}.md").write_text(f"# {name.title()} Bridges\n\n{text}\n")
    return folder


def untimed(answer: ragkit.Answer) -> ragkit.Answer:
    return answer.model_copy(update={"timings_ms": {}})


# --- answers


def test_an_answer_quotes_the_papers_exact_characters(rag: ragkit.Rag) -> None:
    answer = rag.ask(BERT)
    first = answer.citations[0]
    assert first.title == "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding"
    assert (
        first.quote
        == "BERT-base has 12 layers and 110 million parameters; BERT-large has 24 layers and 340 million."
    )
    assert (first.verdict, first.score) == ("quoted", 1.0)
    paper = rag.corpus.document(str(first.document_id))
    assert paper is not None
    assert paper.page_content[first.start : first.end] == first.quote
    [source] = first.sources
    assert Path(source.uri).read_text(encoding="utf-8")[source.start : source.end] == first.quote
    assert answer.numbered[0].citations == (1,)
    assert "340 million. [1]" in answer.text


def test_a_question_about_nothing_in_the_papers_is_declined_with_the_nearest_titles(rag: ragkit.Rag) -> None:
    answer = rag.ask(FRANCE)
    assert answer.abstained is not None
    assert answer.abstained.reason == "no relevant passage was found"
    assert len(answer.abstained.nearest) == 3
    assert (answer.claims, answer.citations) == ((), ())


def test_a_question_about_a_system_that_no_paper_names_is_declined(rag: ragkit.Rag) -> None:
    answer = rag.ask("What retrieval accuracy does ZorgNet-9 reach?")
    assert answer.abstained is not None
    assert answer.abstained.reason == "none of the closest passages mentions 'ZorgNet-9'"


def test_sync_async_and_streamed_answers_are_the_same(rag: ragkit.Rag) -> None:
    async def streamed() -> list[Event]:
        return [event async for event in rag.astream(BERT)]

    events = list(rag.stream(BERT))
    last, last_async = events[-1], asyncio.run(streamed())[-1]
    assert isinstance(last, Finished)
    assert isinstance(last_async, Finished)
    assert (
        untimed(rag.ask(BERT))
        == untimed(asyncio.run(rag.aask(BERT)))
        == untimed(last.result)
        == untimed(last_async.result)
    )
    assert "".join(e.text for e in events if isinstance(e, Token)) == last.result.text
    assert [e.stage for e in events if isinstance(e, Called)] == [
        "generate",
        "retrieve",
        "retrieve",
        "fuse",
        "read",
        "filter",
        "refine",
        "gate",
        "generate",
        "read",
        "embed",
        "embed",
        "verify",
    ]
    assert {"retrieve", "fuse", "total"} <= set(last.result.timings_ms)


def test_it_is_a_langchain_runnable(rag: ragkit.Rag) -> None:
    from langchain_core.runnables import RunnableLambda

    chain = rag.as_runnable() | RunnableLambda(lambda answer: answer.citations[0].title)
    assert chain.invoke(BERT).startswith("BERT")
    assert asyncio.run(chain.ainvoke(BERT)).startswith("BERT")


def test_a_follow_up_finds_the_paper_that_was_spoken_of(rag: ragkit.Rag) -> None:
    before = [HumanMessage("What does DPR train with?"), AIMessage("With in-batch negatives.")]
    dicts = [
        {"role": "user", "content": "What does DPR train with?"},
        {"role": "assistant", "content": "With in-batch negatives."},
    ]
    answer = rag.ask("and how many questions in a batch?", before)
    assert answer.citations[0].title == "Dense Passage Retrieval for Open-Domain Question Answering"
    assert answer.question == "and how many questions in a batch?"
    assert untimed(rag.ask("and how many questions in a batch?", dicts)) == untimed(answer)


def test_search_gives_passages_with_spans_sources_and_every_retrievers_score(rag: ragkit.Rag) -> None:
    hits = rag.search("late interaction over token embeddings", k=5)
    assert len(hits) == 5
    assert [score_of(h) for h in hits] == sorted((score_of(h) for h in hits), reverse=True)
    assert title_of(hits[0]).startswith("ColBERT")
    assert set(scores_of(hits[0])) == {"dense", "lexical"}
    assert Path(sources_of(hits[0])[0]["uri"]).name in ("colbert.md", "colbertv2.md")
    span = span_of(hits[0])
    paper = rag.corpus.document(span.document_id)
    assert paper is not None
    assert paper.page_content[span.start : span.end] == hits[0].page_content


def test_an_empty_question_is_refused_with_a_sentence(rag: ragkit.Rag) -> None:
    with pytest.raises(ragkit.UsageError, match="the question is empty"):
        rag.ask("  ")


# --- ingest


def test_ingesting_again_changes_nothing_and_encodes_nothing(tmp_path: Path) -> None:
    papers = write(tmp_path / "papers", glass="Glass bridges carry 40 people.", rope="Rope bridges sway.")
    first = small(tmp_path / "corpus").ingest(papers)
    again = small(tmp_path / "corpus").ingest(papers)
    assert (first.files, first.entries, first.documents, first.chunks, first.encoded, first.failed) == (
        2,
        2,
        2,
        2,
        2,
        (),
    )
    assert again.model_copy(
        update={"seconds": 0.0, "encoded": 2, "new": 2, "unchanged": 0}
    ) == first.model_copy(update={"seconds": 0.0})
    assert (again.new, again.unchanged, again.encoded) == (0, 2, 0)


def test_a_changed_file_replaces_its_paper_in_every_index(tmp_path: Path) -> None:
    papers = write(
        tmp_path / "papers", glass="Glass bridges carry 40 people.", rope="Rope bridges sway in the wind."
    )
    rag = small(tmp_path / "corpus")
    rag.ingest(papers)
    write(papers, glass="Crystal walkways carry 55 visitors.")
    report = rag.ingest(papers)
    assert (report.documents, report.chunks, report.encoded) == (2, 2, 1)
    assert rag.search("carry people visitors", 5)[0].page_content == "Crystal walkways carry 55 visitors."
    assert "Glass bridges carry 40 people." not in [h.page_content for h in rag.search("glass 40 people", 5)]
    assert examine(rag).problems == ()


def test_a_file_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    papers = write(tmp_path / "papers", glass="Glass bridges carry 40 people.")
    (papers / "bad.txt").write_bytes(b"%PDF-1.4 is no PDF")
    report = small(tmp_path / "corpus").ingest(papers)
    assert report.documents == 1
    [failure] = report.failed
    assert Path(failure.source).name == "bad.txt"
    assert failure.error == "it is not a readable PDF: it is damaged or truncated"


def test_a_failure_is_remembered_until_the_file_or_the_loader_changes(tmp_path: Path) -> None:
    papers = write(tmp_path / "papers", glass="Glass bridges carry 40 people.")
    bad = papers / "bad.txt"
    bad.write_text(" ")
    rag = small(tmp_path / "corpus")
    [failure] = rag.ingest(papers).failed
    report = rag.ingest(papers)
    assert (report.failed, report.known) == ((), (failure,))
    assert plan(rag, papers).known == (failure,)
    assert rag.ingest(bad).failed == (failure,)  # it is named itself
    bad.write_text("  ")
    assert [f.source for f in rag.ingest(papers).failed] == [str(bad)]
    bad.write_text("Steel bridges carry trains.")
    report = rag.ingest(papers)
    assert (report.documents, report.failed, report.known) == (2, (), ())
    bad.write_text("")
    assert rag.ingest(papers).failed
    bad.unlink()
    rag.ingest(papers, prune=True)
    assert rag.corpus.failures() == {}


def test_a_corpus_without_a_table_of_failures_gets_one(tmp_path: Path) -> None:
    papers = write(tmp_path / "papers", glass="Glass bridges carry 40 people.")
    rag = small(tmp_path / "corpus")
    rag.ingest(papers)
    rag.corpus.db.execute("DROP TABLE failures")
    assert plan(rag, papers).known == ()
    (papers / "bad.txt").write_text("")
    assert len(rag.ingest(papers).failed) == len(rag.ingest(papers).known) == 1


def test_the_five_real_pages_list_392_entries_of_322_papers(real_papers: Path, tmp_path: Path) -> None:
    report = small(tmp_path / "corpus").ingest(real_papers)
    assert (
        report.files,
        report.entries,
        report.documents,
        report.duplicates,
        report.variants,
        report.failed,
    ) == (5, 392, 322, 69, 1, ())


def test_the_real_pages_answer_with_the_exact_span(real_papers: Path, tmp_path: Path) -> None:
    rag = ragkit.load(corpus=tmp_path / "corpus")
    rag.ingest(real_papers)
    answer = rag.ask("How many in-batch negatives does PEG train with?")
    assert "80,000" in answer.citations[0].quote
    for citation in answer.citations:
        for source in citation.sources:
            assert Path(source.uri).read_text(encoding="utf-8")[source.start : source.end] == citation.quote
    assert rag.ask(FRANCE).abstained is not None


def in_the_middle_of_a_file(tmp_path: Path) -> tuple[ragkit.Rag, Iterator[Event]]:
    """An ingest of one file of 250 papers that has told of the first 100."""
    lines = (
        json.dumps({"_id": str(n), "title": f"Bridge {n}", "text": f"Bridge {n} carries {n} people."})
        for n in range(250)
    )
    (tmp_path / "bridges.jsonl").write_text("\n".join(lines))
    rag = small(tmp_path / "corpus")
    events = rag.ingest_events(tmp_path / "bridges.jsonl")
    assert Progress("read", 0, 1, "bridges.jsonl", found=100) in events  # and no further
    return rag, events


def test_while_a_taker_of_ingest_events_pauses_others_can_write_the_database(tmp_path: Path) -> None:
    rag, events = in_the_middle_of_a_file(tmp_path)
    with closing(sqlite3.connect(rag.corpus.path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    assert result_of(events).documents == 250


def test_ingest_events_can_be_taken_by_one_thread_after_another(tmp_path: Path) -> None:
    _, events = in_the_middle_of_a_file(tmp_path)
    with ThreadPoolExecutor(1) as another:
        assert another.submit(result_of, events).result().documents == 250


def test_a_progress_bar_moves_while_passages_are_embedded(tmp_path: Path) -> None:
    """Also within those that are stored together."""
    _, events = in_the_middle_of_a_file(tmp_path)
    told: list[int] = []
    calls: dict[int, int] = {}
    for event in events:
        if isinstance(event, Progress) and event.stage == "index" and "chroma" in event.what:
            told.append(event.done)
        elif isinstance(event, Called) and event.stage == "embed":
            calls[len(told)] = calls.get(len(told), 0) + 1
    assert told == [0, 64, 128, 192, 250, 250]
    assert set(calls.values()) == {1}  # between any two of them


# --- indexes are derived


@pytest.mark.parametrize("lost", ["chroma", "bm25", "both"])
def test_a_lost_index_is_rebuilt_without_encoding(tmp_path: Path, lost: str) -> None:
    rag = small(tmp_path / "corpus")
    rag.ingest(write(tmp_path / "papers", glass="Glass bridges carry 40 people.", rope="Rope bridges sway."))
    rag.corpus.close()
    for folder in (tmp_path / "corpus" / "indexes").iterdir():
        if lost == "both" or folder.name.startswith(lost):
            shutil.rmtree(folder)
    vectors = rag.corpus.counts().vectors
    again = small(tmp_path / "corpus")
    assert again.search("glass people", 1)[0].page_content == "Glass bridges carry 40 people."
    assert again.corpus.counts().vectors == vectors
    assert examine(again).problems == ()


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of more passages than Chroma keeps in its log, so that all of its files matter."""
    folder = tmp_path_factory.mktemp("indexed")
    with (folder / "papers.jsonl").open("w") as file:
        for number in range(1300):
            file.write(
                json.dumps(
                    {"title": f"Paper {number}", "text": f"Bridge {number} carries {number * 7} people."}
                )
                + "\n"
            )
    small(folder / "corpus").ingest(folder / "papers.jsonl")
    return folder / "corpus"


@pytest.mark.parametrize("harm", ["delete", "truncate", "scramble"])
def test_any_damaged_file_of_an_index_is_noticed_said_and_rebuilt_without_encoding(
    tmp_path: Path, indexed: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked = "How many people does bridge 77 carry?"
    right = small(indexed).ask(asked).text
    assert "539 people" in right
    shutil.copytree(indexed, tmp_path / "corpus")
    assert small(tmp_path / "corpus").ask(asked).text == right
    names = sorted(
        p.relative_to(tmp_path / "corpus")
        for p in (tmp_path / "corpus" / "indexes").rglob("*")
        if p.is_file()
    )
    assert {"data_level0.bin", "chroma.sqlite3", "meta.json"} <= {n.name for n in names}
    for name in names:
        if name.suffix == ".lock":
            continue
        shutil.rmtree(tmp_path / "corpus")
        shutil.copytree(indexed, tmp_path / "corpus")
        harmed = tmp_path / "corpus" / name
        content = harmed.read_bytes()
        if harm == "delete":
            harmed.unlink()
        else:
            harmed.write_bytes(
                content[: len(content) // 2] if harm == "truncate" else bytes(b ^ 90 for b in content)
            )
        caplog.clear()
        rag = small(tmp_path / "corpus")
        assert rag.ask(asked).text == right, f"{harm} {name}"
        said = [record.getMessage() for record in caplog.records if record.name == "ragkit"]
        assert said == [f"index {name.parts[1]} is damaged and is built anew from the corpus"], (
            f"{harm} {name}"
        )
        assert rag.corpus.counts().vectors == 1300
        assert examine(rag).problems == ()


def test_the_command_line_says_that_an_index_was_damaged_and_answers(tmp_path: Path, command: Any) -> None:
    write(tmp_path / "papers", glass="Glass bridges carry 40 people.", rope="Rope bridges sway.")
    command("ingest", "papers")
    for path in (tmp_path / ".ragkit" / "indexes").rglob("meta.json"):
        path.write_text("{}")
    done = command("ask", "How many people do glass bridges carry?")
    assert "Glass bridges carry 40 people. [1]" in done.stdout
    assert done.stderr.startswith("index bm25-")
    assert done.stderr.endswith("is damaged and is built anew from the corpus\n")
    assert command("ask", "How many people do glass bridges carry?").stderr == ""
    assert command("doctor").returncode == 0


def test_doctor_finds_what_an_index_lost_and_mends_it(tmp_path: Path) -> None:
    rag = small(tmp_path / "corpus")
    rag.ingest(write(tmp_path / "papers", glass="Glass bridges carry 40 people.", rope="Rope bridges sway."))
    assert rag.search("glass")
    words: Any = rag.ingest_pipeline.index[1]
    place = rag.ingest_pipeline.place(
        rag.corpus, words, rag.corpus.published()[rag.ingest_pipeline.name_of(words)][1]
    )
    builder = words.write(place)
    builder.remove([next(rag.corpus.held(place.root.name))])
    builder.seal()
    [problem] = examine(rag).problems
    assert problem.endswith("its files are damaged; run `ragkit doctor --repair`")
    words.seal(None, place)
    [problem] = examine(rag).problems
    assert problem.endswith("1 passages lost, 0 unknown; run `ragkit doctor --repair`")
    mended = repair(rag)
    assert (len(mended.repaired), mended.problems) == (1, ())
    assert examine(rag).problems == ()


def test_a_corpus_without_this_configurations_index_says_what_to_run(tmp_path: Path) -> None:
    small(tmp_path / "corpus").ingest(write(tmp_path / "papers", glass="Glass bridges carry 40 people."))
    other = ragkit.load(corpus=tmp_path / "corpus")
    with pytest.raises(ragkit.IndexMismatch, match=r"run `ragkit ingest` with it \(no path is needed\)"):
        other.ask("How many people do glass bridges carry?")
    other.ingest()
    assert "40 people" in other.ask("How many people do glass bridges carry?").text


def test_where_there_is_no_corpus_a_sentence_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ragkit.NoCorpus, match=r"there is no corpus in .*; `ragkit ingest PATH` makes one"):
        small(tmp_path / "nowhere").ask("Anything?")
    assert not (tmp_path / "nowhere").exists()


# --- composition


def test_a_pipeline_that_is_moved_to_another_corpus_leaves_the_first_as_it_is(tmp_path: Path) -> None:
    from ragkit.chunk import SentenceChunker
    from ragkit.generate.extractive import ExtractiveGenerator
    from ragkit.index.bm25 import Bm25Index
    from ragkit.refine.context import Neighbours
    from ragkit.retrieve import LexicalRetriever

    words = Bm25Index()
    first = ragkit.Rag(
        corpus=tmp_path / "first",
        ingest=IngestPipeline(chunk=SentenceChunker(max_tokens=8, overlap=0), index=[words]),
        answer=AnswerPipeline(
            retrieve=[LexicalRetriever(index=words)],
            refine=[Neighbours(before=0, after=1)],
            generate=ExtractiveGenerator(),
        ),
    )
    first.ingest(write(tmp_path / "glass", glass="They carry 40 people. They sway."))
    second = first.moved(tmp_path / "second")
    second.ingest(write(tmp_path / "iron", iron="They carry 9 people. They rust."))
    for _ in range(2):
        for rag, text in (
            (first, "They carry 40 people. They sway."),
            (second, "They carry 9 people. They rust."),
        ):
            assert [p.page_content for p in rag.ask("How many people do they carry?").context] == [text]
    assert ragkit.dump(first).replace("first", "second") == ragkit.dump(second)


def test_any_langchain_retriever_takes_part_and_brings_its_own_passages(tmp_path: Path) -> None:
    class Encyclopedia(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [
                Document(
                    page_content="Glass bridges were first built in 1998.",
                    metadata={"title": "Encyclopedia", "score": 1.0},
                )
            ]

    rag = small(tmp_path / "corpus")
    rag.ingest(write(tmp_path / "papers", rope="Rope bridges sway."))
    answering = dataclasses.replace(
        rag.answer_pipeline, retrieve=[*rag.answer_pipeline.retrieve, Encyclopedia(name="encyclopedia")]
    )
    both = ragkit.Rag(corpus=tmp_path / "corpus", ingest=rag.ingest_pipeline, answer=answering)
    answer = both.ask("When were glass bridges first built?")
    assert answer.citations[0].title == "Encyclopedia"
    assert answer.citations[0].quote == "Glass bridges were first built in 1998."


def test_a_langchain_vector_store_is_an_index_by_import_path(tmp_path: Path) -> None:
    (tmp_path / "chroma.yaml").write_text(f"""
define:
  store: &store {{type: langchain_chroma.Chroma, persist_directory: {tmp_path}/store, embedding_function: {{type: hashed, size: 32}}}}
corpus: {tmp_path}/corpus
ingest: {{chunk: whole, index: *store}}
answer:
  retrieve: {{type: dense, store: *store, k: 5}}
  generate: extractive
""")
    rag = ragkit.load(tmp_path / "chroma.yaml")
    rag.ingest(
        write(
            tmp_path / "papers", glass="Glass bridges carry 40 people.", rope="Rope bridges sway in the wind."
        )
    )
    answer = rag.ask("How many people do glass bridges carry?")
    assert answer.citations[0].quote == "Glass bridges carry 40 people."
    assert ragkit.load(tmp_path / "chroma.yaml").ingest(tmp_path / "papers").encoded == 0


def test_an_index_that_ingest_does_not_fill_is_refused(tmp_path: Path) -> None:
    from ragkit.index.bm25 import Bm25Index
    from ragkit.retrieve import LexicalRetriever

    rag = small(tmp_path)
    answering = dataclasses.replace(
        rag.answer_pipeline, retrieve=[LexicalRetriever(index=Bm25Index(language="german"))]
    )
    with pytest.raises(ValueError, match=r"answer searches a bm25 index that ingest.index does not fill"):
        ragkit.Rag(corpus=tmp_path, ingest=rag.ingest_pipeline, answer=answering)


BIB = "@article{s20,\n  title = {Glass Bridges},\n  author = {Smith, Anna},\n  year = 2020,\n  journal = {Bridge Letters}%s\n}\n"


def test_a_bibliography_adds_to_what_is_known_of_a_paper_whichever_comes_first(tmp_path: Path) -> None:
    for order in (("glass.md", "refs.bib"), ("refs.bib", "glass.md")):
        folder = tmp_path / order[0]
        write(folder, glass="They carry people.")
        (folder / "refs.bib").write_text(BIB % "")
        rag = small(folder / ".corpus")
        reports = [rag.ingest(folder / name) for name in order]
        assert [(r.entries, r.descriptions) for r in reports] == [
            (0, 1) if n == "refs.bib" else (1, 0) for n in order
        ]
        [hit] = rag.search("people", where="year = 2020 and venue contains letters")
        assert hit.metadata["authors"] == ["Anna Smith"]
        assert [s["uri"] for s in sources_of(hit)] == [str(folder / "glass.md")]
        (folder / "refs.bib").write_text("@article{other, title = {Steel Bridges}}")
        rag.ingest(folder / "refs.bib")
        assert rag.search("people", where="year = 2020") == []
        assert rag.corpus.counts().documents == 1


def test_an_abstract_in_a_bibliography_is_a_paper_until_the_paper_is_there(tmp_path: Path) -> None:
    (tmp_path / "refs.bib").write_text(BIB % ",\n  abstract = {They carry 40 people.}")
    rag = small(tmp_path / ".corpus")
    assert rag.ingest(tmp_path / "refs.bib").documents == 1
    assert [h.page_content for h in rag.search("people")] == ["They carry 40 people."]
    write(tmp_path / "papers", glass="They carry forty people and are tested every year.")
    report = rag.ingest(tmp_path / "papers")
    assert (report.documents, report.variants) == (1, 0)
    [hit] = small(tmp_path / ".corpus").search("people")
    assert (hit.page_content, hit.metadata["year"]) == (
        "They carry forty people and are tested every year.",
        2020,
    )


# --- one pipeline over several corpora


@pytest.mark.parametrize(
    "move",
    [
        ragkit.Rag.moved,
        lambda a, corpus: ragkit.Rag(corpus=corpus, ingest=a.ingest_pipeline, answer=a.answer_pipeline),
    ],
)
def test_a_pipeline_over_another_corpus_leaves_the_first_one_as_it_was(
    tmp_path: Path, move: Callable[[ragkit.Rag, Path], ragkit.Rag]
) -> None:
    (tmp_path / "refined.yaml").write_text(
        "ingest: {chunk: {type: sentence}, index: [&vectors {type: flat, embed: &words {type: hashed}}, &bm25 {type: bm25}]}\n"
        "answer:\n"
        "  retrieve: [{type: dense, store: *vectors}, {type: lexical, index: *bm25}]\n"
        "  refine: [{type: neighbours}, {type: mmr, embed: *words}, {type: section}]\n"
        "  generate: {type: extractive}\n"
    )
    glass = ragkit.load(tmp_path / "refined.yaml", corpus=tmp_path / "glass")
    glass.ingest(
        write(tmp_path / "of-glass", glass="Glass bridges carry 40 people. They are tested every year.")
    )
    wooden = move(glass, tmp_path / "wooden")
    wooden.ingest(write(tmp_path / "of-wood", wooden="Wooden bridges carry 30 people. They do not last."))
    question = "How many people do bridges carry?"
    assert [hit.page_content for hit in wooden.search(question)] == [
        "Wooden bridges carry 30 people. They do not last."
    ]
    assert [hit.page_content for hit in glass.search(question)] == [
        "Glass bridges carry 40 people. They are tested every year."
    ]
    assert glass.ask(question).citations[0].title == "Glass Bridges"
    assert wooden.ask(question).citations[0].title == "Wooden Bridges"
    assert ragkit.dump(wooden) == ragkit.dump(glass).replace(
        str(tmp_path / "glass"), str(tmp_path / "wooden")
    )

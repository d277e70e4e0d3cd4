"""A corpus and its two flows: `Rag`, which a pipeline file describes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.vectorstores import VectorStore

from ragkit import notebook
from ragkit.answer import Answer
from ragkit.ask import Account, AnswerPipeline, Question, label
from ragkit.config import components
from ragkit.config.spec import Spec, identify, parts_of, rebound, stages_of
from ragkit.corpus import Corpus, CorpusReader
from ragkit.corpus.store import CorpusPlace
from ragkit.document import digest
from ragkit.errors import CorpusError, NoCorpus, UsageError
from ragkit.flow import AsyncEvents, Event, Events, Flow, aresult_of, arun, asteps, result_of, run, steps
from ragkit.index import Index, Snapshot
from ragkit.ingest import AnyIndex, IngestPipeline
from ragkit.ingest.consistency import damaged
from ragkit.ingest.opening import OpenIndexes
from ragkit.ingest.reading import IngestRequest
from ragkit.ingest.report import IngestReport
from ragkit.mismatch import warn_of_mismatches
from ragkit.papers import PaperRecord, corrections, filter_of, find, record_of, records
from ragkit.read import Given, papers_or_paths, source_of
from ragkit.read.fetch import Fetcher
from ragkit.read.files import Files
from ragkit.read.lookup.run import Lookup, LookupReport, ToLookUp
from ragkit.runnables import AnswerRunnable, PassageRetriever, passages_wanted
from ragkit.text.question import Asked, messages, question_text
from ragkit.where import Where, parse

if TYPE_CHECKING:
    from ragkit.check.result import Check

log = logging.getLogger("ragkit")


class Rag:
    """A corpus, how papers get into it, and how questions are answered from it: what one YAML file describes.

    *corpus* is the directory of the corpus database and of the indexes derived from it, or another place of the
    database, such as Postgres; nothing is opened or created before it is needed.  Raises `ValueError` where *ingest* and *answer* do not fit together.
    """

    def __init__(
        self, *, corpus: Path | CorpusPlace = Path(".ragkit"), ingest: IngestPipeline, answer: AnswerPipeline
    ) -> None:
        self.corpus = Corpus(corpus)
        self.ingest_pipeline = ingest
        self.answer_pipeline = rebound(answer, self._with_corpus)
        others = _indexes_in(self.answer_pipeline)
        self._indexes = OpenIndexes(ingest, self.corpus, others, self.repair)
        self._ragkit_spec = Spec(Rag, {"corpus": corpus, "ingest": ingest, "answer": answer}, "")
        filled = {ingest.name_of(index) for index in ingest.index}
        for index in _indexes_in(answer):
            if ingest.name_of(index) not in filled:
                raise ValueError(
                    f"answer searches a {components.name_of(type(index))} index that ingest.index does not fill"
                )
        labels = {label(retriever) for retriever in answer.retrieve}
        if unknown := [name for name in getattr(answer.fuse, "weights", {}) if name not in labels]:
            raise ValueError(
                f"answer.fuse weighs '{unknown[0]}', but the retrievers are called {', '.join(sorted(labels))}"
            )
        warn_of_mismatches(ingest, answer)

    def _with_corpus(self, part: object) -> object:
        return part.over(self.corpus) if isinstance(part, CorpusReader) else part

    def moved(self, corpus: Path | CorpusPlace) -> Rag:
        """The same pipelines over another corpus; this Rag stays as it is."""
        return Rag(corpus=corpus, ingest=self.ingest_pipeline, answer=self.answer_pipeline)

    def following_links(self) -> Rag:
        """The same, but symbolic links that lead out of the folders named are followed."""
        read = self.ingest_pipeline.read
        if not isinstance(read, Files):
            raise UsageError("links can be followed only where the configuration reads with 'files'")
        ingest = replace(self.ingest_pipeline, read=replace(read, follow_links=True))
        return Rag(corpus=self.corpus.place, ingest=ingest, answer=self.answer_pipeline)

    def _repr_html_(self) -> str:
        try:
            held = self.corpus.counts()
            there = f"{held.documents} papers, {held.chunks} passages"
        except NoCorpus:
            there = "nothing is ingested yet: rag.ingest('papers/')"
        except CorpusError as error:
            there = str(error)
        stages = {**stages_of(self.ingest_pipeline), **stages_of(self.answer_pipeline)}
        rows = {"corpus": self.corpus.name, "holds": there, **stages}
        return notebook.page(notebook.table(list(rows.items())))

    # --- papers in

    def ingest(self, *paths: str | Path, prune: bool = False, fetcher: Fetcher = Fetcher()) -> IngestReport:
        """Read files, folders and what is at addresses (URLs, DOIs, `arxiv:ID`), and update the indexes.

        With *prune*, the papers of files that are gone (from under *paths*, if there are any) are forgotten,
        unless another file lists them.  Without paths, only the indexes (and what the configuration's loader names) are.  Raises `UsageError`
        for a path that is not there and `CorpusError` if the corpus cannot be written; a file that cannot be
        read is named in the report.

        Examples:
            >>> rag.ingest("examples/papers").failed
            ()
        """
        return run(self.ingest_pipeline.flow(IngestRequest(self.corpus, paths, prune, fetcher)))

    def ingest_events(
        self, *paths: str | Path, prune: bool = False, fetcher: Fetcher = Fetcher()
    ) -> Iterator[Event]:
        """The same, as a stream of events that ends with `Finished(report)`.

        Examples:
            >>> *_, finished = rag.ingest_events("examples/papers")
            >>> finished.result.new
            0
        """
        return steps(self.ingest_pipeline.flow(IngestRequest(self.corpus, paths, prune, fetcher)))

    def add(
        self, papers: str | Document | Path | Iterable[str | Document | Path], **known: Any
    ) -> IngestReport:
        """Add texts and documents of a program as papers; *known* is their metadata, such as `title` and `year`.

        One with the same `source` in its metadata, or the same text, takes the place of the earlier one.  Paths are
        read as by `ingest`.  Raises `UsageError` for what is no paper.

        Examples:
            >>> _ = rag.add("Owls hunt voles on the moor at night.", title="Owls of the moor", year=2024)
            >>> rag.ask("What do owls hunt?").citations[0].title
            'Owls of the moor'
            >>> _ = rag.remove("owls of the moor")
        """
        given = papers_or_paths(papers, known)
        if not isinstance(given, Given):
            return self.ingest(*given)
        with self.corpus.writing():
            self.corpus.readmit(given.find())  # what was removed is wanted again
        return run(replace(self.ingest_pipeline, read=given).flow(IngestRequest(self.corpus)))

    # --- papers, one by one

    def papers(self, where: str | Where | None = None, sort: str = "title") -> list[PaperRecord]:
        """The papers that pass the filter, each by its newest version; *sort*: see `ragkit.papers.records`.

        Raises `UsageError` for a filter or a field that is unknown.

        Examples:
            >>> [paper.title for paper in rag.papers("title contains ColBERT", sort="-year")][0][:9]
            'ColBERTv2'
        """
        return records(self.corpus, self.ingest_pipeline.chunker, where, sort)

    def paper(self, name: str | PaperRecord) -> PaperRecord:
        """The paper that an id or its beginning, a DOI, an arXiv id, a title or words of it mean.

        Raises `UsageError` with the candidates if several are meant, and the closest titles if none is.

        Examples:
            >>> rag.paper("attention is all you").year
            2017
        """
        return record_of(self.corpus, self.ingest_pipeline.chunker, find(self.corpus, name))

    def edit(self, name: str | PaperRecord, **values: Any) -> PaperRecord:
        """Correct `title`, `authors`, `year`, `venue`, `doi` or `arxiv`; None takes a correction back.

        Corrections survive a new ingest.  After one of the title, the paper is indexed under it.  Raises `UsageError`
        for a field or value that is wrong, and as `paper` does.

        Examples:
            >>> rag.edit("attention is all you", venue="NeurIPS").venue
            'NeurIPS'
            >>> _ = rag.edit("attention is all you", venue=None)
        """
        found, correct = self.paper(name), corrections(values)
        with self.corpus.writing():
            self.corpus.correct(found.id, correct)
            corrected = self.paper(found.id)
            if corrected.title != found.title:
                run(self.ingest_pipeline.fill(self.corpus))
        return corrected

    def remove(self, name: str | PaperRecord) -> PaperRecord:
        """Delete a paper, all its versions, their passages and index entries.

        Its files stay where they are; an ingest passes over the paper in them until it is given such a file by name.
        Raises `UsageError` as `paper` does.

        Examples:
            >>> _ = rag.add("Owls hunt voles on the moor at night.", title="Owls of the moor")
            >>> rag.remove("owls of the moor").title
            'Owls of the moor'
        """
        found = self.paper(name)
        with self.corpus.writing():
            self.corpus.remove(found.id)
            run(self.ingest_pipeline.fill(self.corpus))
            self.corpus.drop_orphans()
        return found

    def lookup(self) -> LookupReport:
        """Ask services what is known of the papers in the corpus that lack something; see `lookup` of `Files`.

        Where the configuration names none, Crossref, OpenAlex and arXiv are asked.  Texts and indexes stay as they
        are.  A service that fails is named in a warning, and its papers are counted in the report.
        """
        report: LookupReport = result_of(self.lookup_events())
        return report

    def lookup_events(self) -> Iterator[Event]:
        """The same, as a stream of events that ends with `Finished(report)`."""
        _ = self.corpus.db  # raises `NoCorpus` where the lock would make one
        with self.corpus.writing():
            yield from steps(self._lookup.stored())

    def to_look_up(self) -> list[ToLookUp]:
        """The papers that `lookup` would ask about; nobody is asked."""
        return list(self._lookup.waiting())

    @property
    def _lookup(self) -> Lookup:
        from ragkit.read.lookup.services import EVERY  # for a cold question, its parsers would be a cost

        return Lookup(source_of(self.ingest_pipeline.read).lookup or EVERY, self.corpus)

    def repair(self) -> list[str]:
        """Rebuild every index that is not what the ledger says, from the corpus; say what was done.

        Examples:
            >>> rag.repair()  # nothing was wrong
            []
        """
        with self.corpus.writing():
            broken, mended = damaged(self.ingest_pipeline, self.corpus)
            run(self.ingest_pipeline.fill(self.corpus, broken))
        return [*mended, *(f"rebuilt {name}" for name in broken)]

    # --- questions

    def search(
        self, query: str, k: int = 10, where: str | Where | None = None, versions: bool = False
    ) -> list[Document]:
        """The best *k* passages after the refiners, with spans, sources and scores in their metadata.

        *where* filters them by their metadata: `year >= 2023 and section != references`; see `ragkit.where`.
        Older versions of a paper are found only with *versions*.  Raises `UsageError` for an empty query, a *k* below 1 or a
        wrong filter, and `NoCorpus` if nothing is ingested yet.

        Examples:
            >>> rag.search("late interaction", k=3, where="year >= 2020")[0].metadata["title"][:7]
            'ColBERT'
        """
        first = passages_wanted(k)
        return run(self.answer_pipeline.ranking(self.question(query, where=where, versions=versions)))[:first]

    async def asearch(
        self, query: str, k: int = 10, where: str | Where | None = None, versions: bool = False
    ) -> list[Document]:
        """`search`, without blocking."""
        first = passages_wanted(k)
        asked = await asyncio.to_thread(self.question, query, where=where, versions=versions)
        return (await arun(self.answer_pipeline.ranking(asked)))[:first]

    def ask(
        self,
        question: str,
        history: Sequence[BaseMessage | Mapping[str, str]] = (),
        where: str | Where | None = None,
        versions: bool = False,
    ) -> Answer:
        """Answer a question and check the citations.

        *history*: earlier messages, oldest first, LangChain's or
        `{"role": "user" | "assistant", "content": ...}`.  *where* filters the passages to answer from, and *versions*
        adds those of older versions, as in `search`.  Raises `UsageError` for an empty question, a wrong message or filter,
        `NoCorpus` if nothing is ingested yet, and `ModelError` if a chat model cannot be reached.

        Examples:
            >>> "340 million" in rag.ask("How many parameters does BERT-large have?").text
            True
        """
        answer: Answer = result_of(self.stream(question, history, where, versions))
        return answer

    async def aask(
        self,
        question: str,
        history: Sequence[BaseMessage | Mapping[str, str]] = (),
        where: str | Where | None = None,
        versions: bool = False,
    ) -> Answer:
        """`ask`, without blocking."""
        answer: Answer = await aresult_of(self.astream(question, history, where, versions))
        return answer

    def stream(
        self,
        question: str,
        history: Sequence[BaseMessage | Mapping[str, str]] = (),
        where: str | Where | None = None,
        versions: bool = False,
    ) -> Events:
        """The events while a question is answered; the last one is `Finished(answer)`.

        The others are `Called`, `Token`, `CitationReady` and `ClaimReady`.  Claims are checked while a chat
        model still writes, if the verifier is quick.  Closing the iterator ends the question, and the model's
        stream.  `ragkit.events` converts the events to JSON.

        Examples:
            >>> *events, finished = rag.stream("How many parameters does BERT-large have?")
            >>> finished.result.citations[0].number
            1
        """
        asked = self.question(question, history, where, versions)
        account = Account()
        with closing(steps(self.answer_pipeline.flow(asked))) as events:
            for event in events:
                yield account(event)

    async def astream(
        self,
        question: str,
        history: Sequence[BaseMessage | Mapping[str, str]] = (),
        where: str | Where | None = None,
        versions: bool = False,
    ) -> AsyncEvents:
        """`stream`, without blocking."""
        asked = await asyncio.to_thread(self.question, question, history, where, versions)
        account = Account()
        async with aclosing(asteps(self.answer_pipeline.flow(asked))) as events:
            async for event in events:
                yield account(event)

    def check(
        self,
        text: str,
        references: str | Path | None = None,
        where: str | Where | None = None,
        versions: bool = False,
    ) -> Check:
        """Hold *text*, a paragraph or an answer of another program, against the corpus, claim by claim.

        A claim that cites (`[3]`, `\\cite{key}`, `[@key]`, `(Smith et al., 2020)`) is held against what it cites.
        *references*: a BibTeX or RIS file, or a list of references, beside that in the text.  *where* filters the
        passages, and *versions* adds those of older versions, as in `search`.  Raises `UsageError` for a text without a claim.

        Examples:
            >>> found = rag.check("BERT-base has 12 layers and 110 million parameters. BERT-large has 99 layers.")
            >>> [str(claim.verdict) for claim in found.claims]
            ['quoted', 'unsupported']
        """
        account = Account()
        with closing(steps(self._checking(text, references, where, versions))) as events:
            found: Check = result_of(map(account, events))
        return found

    async def acheck(
        self,
        text: str,
        references: str | Path | None = None,
        where: str | Where | None = None,
        versions: bool = False,
    ) -> Check:
        """`check`, without blocking."""
        account = Account()
        checking = await asyncio.to_thread(self._checking, text, references, where, versions)
        async with aclosing(asteps(checking)) as events:
            found: Check = await aresult_of(account(event) async for event in events)
        return found

    def _checking(
        self, text: str, references: str | Path | None, where: str | Where | None, versions: bool
    ) -> Flow[Check]:
        from ragkit import check

        described, listed = check.bibliography(Path(references)) if references else ([], [])
        wanted = filter_of(where, self.corpus)
        given = check.CheckRequest(self.snapshot(), text, described, listed, wanted, versions)
        return check.flow(self.answer_pipeline, given)

    def as_retriever(
        self, k: int = 10, where: str | Where | None = None, versions: bool = False
    ) -> PassageRetriever:
        """`search` as a LangChain retriever; raises `UsageError` for a number or a filter that is none.

        Examples:
            >>> rag.as_retriever(k=1).invoke("late interaction")[0].metadata["title"][:7]
            'ColBERT'
        """
        wanted = parse(where) if isinstance(where, str) else where
        return PassageRetriever(rag=self, k=passages_wanted(k), where=wanted, versions=versions)

    def as_runnable(self) -> AnswerRunnable:
        """A LangChain Runnable: a text or `{"question", "history", "where", "versions"}` in, `Answer` out; it streams and is a tool.

        Examples:
            >>> asked = {"question": "How many parameters does BERT-large have?", "where": "year >= 2018"}
            >>> rag.as_runnable().invoke(asked).citations[0].title[:4]
            'BERT'
        """
        return AnswerRunnable(self)

    def state(self, *parts: str) -> str:
        """A digest of all that answers depend on: settings, model weights and indexed passages.

        *parts* limits the settings to these parts of the answer pipeline, such as `retrieve`.
        """
        indexes = [
            (name, self._indexes.fingerprint(name), self.corpus.ledger_digest(name))
            for name in sorted(self._indexes.published())
        ]
        settings = [identify(getattr(self.answer_pipeline, part)) for part in parts] or [
            identify(self.answer_pipeline)
        ]
        return digest(*settings, str(indexes))

    def question(
        self,
        question: str,
        history: Sequence[BaseMessage | Mapping[str, str]] = (),
        where: str | Where | None = None,
        versions: bool = False,
    ) -> Question:
        """The input of the answer pipeline, with every index open; the arguments are those of `ask`."""
        wanted = filter_of(where, self.corpus)
        asked = Asked.of(question_text(question), messages(history))
        return Question(self.snapshot(), asked, wanted, versions)

    # --- the indexes

    def snapshot(self) -> Snapshot:
        """The published state of every index, open; kept until something new is published.

        An index whose files are missing or changed is fetched from the depot of the corpus, if it has one, else
        rebuilt from the corpus, without re-embedding.
        """
        return self._indexes.snapshot()

    @property
    def behind(self) -> str:
        """Why the last question was answered from an earlier state than the published one; empty if it was not."""
        return self._indexes.behind


def _indexes_in(answer: AnswerPipeline) -> list[AnyIndex]:
    return [part for part in parts_of(answer) if isinstance(part, VectorStore | Index)]

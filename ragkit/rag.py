"""A corpus and its two flows: `Rag`, which a pipeline file describes."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.vectorstores import VectorStore

from ragkit.answer import Answer
from ragkit.ask import AnswerPipeline, Question, label
from ragkit.config import components
from ragkit.config.spec import Spec, identify, parts_of, with_parts
from ragkit.corpus import Corpus, CorpusReader
from ragkit.document import digest
from ragkit.errors import IndexMismatch, UsageError
from ragkit.flow import (
    AsyncEvents,
    Called,
    Event,
    Events,
    Finished,
    aresult_of,
    asteps,
    result_of,
    run,
    steps,
)
from ragkit.index import Index, LexicalIndex
from ragkit.ingest import AnyIndex, IngestPipeline, IngestReport, Reading, made_with
from ragkit.mismatch import mismatches
from ragkit.models.chat import spent
from ragkit.text.question import Asked, messages
from ragkit.where import Where, parse

log = logging.getLogger("ragkit")


class Rag:
    """A corpus, how papers get into it, and how questions are answered from it: what one YAML file describes.

    *corpus* is the directory of the corpus database and of the indexes derived from it; nothing is opened or created
    before it is needed.  Raises `ValueError` where *ingest* and *answer* do not fit together.
    """

    def __init__(
        self, *, corpus: Path = Path(".ragkit"), ingest: IngestPipeline, answer: AnswerPipeline
    ) -> None:
        self.corpus = Corpus(corpus)
        ingest, answer = _of_its_own(self.corpus.directory, ingest, answer)
        self.ingest_pipeline, self.answer_pipeline = ingest, answer
        self._opened: dict[str, int] = {}
        self._opening = threading.RLock()
        self._ragkit_spec = Spec(Rag, {"corpus": corpus, "ingest": ingest, "answer": answer}, "")
        filled = {ingest.name_of(index) for index in ingest.index}
        for index in _indexes_in(answer):
            if ingest.name_of(index) not in filled:
                raise ValueError(
                    f"answer searches a {components.name_of(type(index))} index that ingest.index does not fill"
                )
        for index in [*ingest.index, *_indexes_in(answer)]:
            if isinstance(index, Index):
                index.attach(self.corpus.directory / "indexes" / ingest.name_of(index))
        for part in parts_of(answer):
            if isinstance(part, CorpusReader):
                part.attach_corpus(self.corpus)
        labels = {label(retriever) for retriever in answer.retrieve}
        if unknown := [name for name in getattr(answer.fuse, "weights", {}) if name not in labels]:
            raise ValueError(
                f"answer.fuse weighs '{unknown[0]}', but the retrievers are called {', '.join(sorted(labels))}"
            )
        for message in mismatches(ingest, answer):
            _warn_once(message)

    def moved(self, corpus: Path) -> Rag:
        """The same pipelines over another corpus."""
        return Rag(corpus=corpus, ingest=self.ingest_pipeline, answer=self.answer_pipeline)

    # --- papers in

    def ingest(self, *paths: str | Path, prune: bool = False) -> IngestReport:
        """Read files and folders into the corpus, and bring the indexes up to date.

        With *prune*, the papers of files that are gone (from under *paths*, if there are any) are forgotten, unless
        another file lists them.

        Without paths, only the indexes (and what the configuration's loader names) are.  Raises `UsageError` for a
        path that is not there and `CorpusError` if the corpus cannot be written; a file that cannot be read is named
        in the report.
        """
        return run(self.ingest_pipeline.flow(Reading(self.corpus, paths, prune)))

    def ingest_events(self, *paths: str | Path, prune: bool = False) -> Iterator[Event]:
        """The same, as a stream of events that ends with `Finished(report)`."""
        return steps(self.ingest_pipeline.flow(Reading(self.corpus, paths, prune)))

    def repair(self) -> list[str]:
        """Rebuild every index that is not what the ledger says, from the corpus; say what was done."""
        with self.corpus.writing():
            damaged = [
                name
                for name, index in self._named.items()
                if isinstance(index, Index) and not self._holds(index.twin())
            ]
            run(self.ingest_pipeline.fill(self.corpus, damaged))
        return [f"rebuilt {name}" for name in damaged]

    def _holds(self, index: Index) -> bool:
        """Is the published generation of *index* sound, and does it hold what the ledger says?"""
        name = self.ingest_pipeline.name_of(index)
        index.use(self.corpus.published().get(name, ("", 0))[1])
        try:
            return index.is_sound() and index.ids() == set(self.corpus.held(name))
        except Exception:  # whatever a damaged index raises
            return False

    # --- questions

    def search(self, query: str, k: int = 10, where: str | Where | None = None) -> list[Document]:
        """The best *k* passages after the refiners, best first, with their spans, sources and scores in the metadata.

        *where* filters them by their metadata: `year >= 2023 and section != references`; see `ragkit.where`.
        """
        return run(self.answer_pipeline.ranking(self.question(query, where=where)))[:k]

    def ask(
        self,
        question: str,
        history: Sequence[BaseMessage | Mapping[str, str]] = (),
        where: str | Where | None = None,
    ) -> Answer:
        """The answer, its citations checked.  *history*: earlier messages, oldest first, LangChain's or
        `{"role": "user" | "assistant", "content": ...}`.  *where* filters what is answered from, as in `search`.
        """
        answer: Answer = result_of(self.stream(question, history, where))
        return answer

    async def aask(
        self,
        question: str,
        history: Sequence[BaseMessage | Mapping[str, str]] = (),
        where: str | Where | None = None,
    ) -> Answer:
        """`ask`, without blocking."""
        answer: Answer = await aresult_of(self.astream(question, history, where))
        return answer

    def stream(
        self,
        question: str,
        history: Sequence[BaseMessage | Mapping[str, str]] = (),
        where: str | Where | None = None,
    ) -> Events:
        """What happens while a question is answered: `Called`, `Token`, `CitationReady` and `ClaimReady`, and at last `Finished(answer)`.

        Claims are checked while a chat model still writes, if the verifier is quick.  Closing the iterator ends the
        question, and the model's stream.  `ragkit.events` makes JSON of the events.
        """
        asked = self.question(question, history, where)
        account = _Account()
        with closing(steps(self.answer_pipeline.flow(asked))) as events:
            for event in events:
                yield account(event)

    async def astream(
        self,
        question: str,
        history: Sequence[BaseMessage | Mapping[str, str]] = (),
        where: str | Where | None = None,
    ) -> AsyncEvents:
        """`stream`, without blocking."""
        asked = self.question(question, history, where)
        account = _Account()
        async with aclosing(asteps(self.answer_pipeline.flow(asked))) as events:
            async for event in events:
                yield account(event)

    def as_runnable(self) -> Runnable[str, Answer]:
        """A langchain-core Runnable: question in, `Answer` out."""
        return RunnableLambda(
            lambda question: self.ask(question), afunc=lambda question: self.aask(question), name="ragkit"
        )

    def state(self, *parts: str) -> str:
        """What identifies the answers to come: the settings of the answer part (or of those *parts* of it, such as `retrieve`),
        the models' weights, the passages indexed.
        """
        self._ready()
        indexes = [
            (name, self._fingerprints[name], sorted(self.corpus.held(name))) for name in sorted(self._named)
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
    ) -> Question:
        """What the answer pipeline takes, with every index opened at its published state; arguments as of `ask`."""
        wanted = parse(where) if isinstance(where, str) else where
        asked = Question(
            self.corpus, Asked.of(_asked(question), messages(history)), wanted, self._ready, self._opening
        )
        self._ready()
        return asked

    # --- the indexes

    def _ready(self) -> bool:
        """Before each question, see that every index is this configuration's and open its published generation; was any new?

        One whose files are gone or were touched is rebuilt from the corpus, which encodes nothing anew.
        """
        with self._opening:
            published = self.corpus.published()
            stale = []
            for name, index in self._named.items():
                if name not in published:
                    raise IndexMismatch(
                        f"the corpus in '{self.corpus.directory}' has no index for this configuration ({name});"
                        " run `ragkit ingest` with it (no path is needed), or use the configuration that the corpus was built with"
                    )
                if published[name][0] != self._fingerprints[name]:
                    raise IndexMismatch(
                        f"index {name} was built with another model or other settings; run `ragkit ingest` to build it anew"
                    )
                if isinstance(index, Index) and self._opened.get(name) != published[name][1]:
                    index.use(published[name][1])
                    stale.append((name, index))
            damaged = [name for name, index in stale if not index.is_sound()]
            if (
                damaged and self.corpus.published() == published
            ):  # else a writer published, and swept away what was to be opened
                log.warning("index %s is damaged and is built anew from the corpus", " and ".join(damaged))
                self.repair()
            if damaged:
                return self._ready()
            self._warm([index for _, index in stale])
            self._opened |= {name: index.generation for name, index in stale}
            return bool(stale)

    def _warm(self, indexes: Sequence[Index]) -> None:
        """Open indexes and load their models side by side."""
        with ThreadPoolExecutor(1) as pool:
            for embed in {
                id(i.embeddings): i.embeddings for i in indexes if isinstance(i, VectorStore)
            }.values():
                if embed:
                    pool.submit(embed.embed_query, "")
            for index in indexes:
                index.count()

    @cached_property
    def _named(self) -> dict[str, AnyIndex]:
        return {self.ingest_pipeline.name_of(index): index for index in self.ingest_pipeline.index}

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return {name: made_with(index) for name, index in self._named.items()}


@cache
def _warn_once(message: str) -> None:
    log.warning(message)


class _Account:
    """Adds up the time of each stage and what chat models took, and writes both into the answer at the end."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.seconds: dict[str, float] = {}
        self.usage: dict[str, int | float] = {}

    def __call__(self, event: Event) -> Event:
        if isinstance(event, Called):
            self.seconds[event.stage] = self.seconds.get(event.stage, 0.0) + event.seconds
            for what, amount in chain.from_iterable(
                spent(called.owner, called.result).items() for called in event.whole()
            ):
                self.usage[what] = self.usage.get(what, 0) + amount
        if not isinstance(event, Finished):
            return event
        whole = {**self.seconds, "total": time.perf_counter() - self.started}
        timings = {stage: round(1000 * s, 2) for stage, s in whole.items()}
        return Finished(event.result.model_copy(update={"usage": self.usage, "timings_ms": timings}))


def _asked(question: str) -> str:
    if not question.strip():
        raise UsageError(
            "the question is empty; ask something, such as `ragkit ask 'What is dense retrieval?'`"
        )
    return question.strip()


def _of_its_own(
    corpus: Path, ingest: IngestPipeline, answer: AnswerPipeline
) -> tuple[IngestPipeline, AnswerPipeline]:
    """The pipelines, with copies of the indexes and corpus readers that a `Rag` over another corpus uses."""

    def apart(part: Any) -> Any:
        if isinstance(part, Index) and part.attached_to not in (
            None,
            corpus / "indexes" / ingest.name_of(part),
        ):
            return part.twin()
        if isinstance(part, CorpusReader) and part.attached_to not in (None, corpus):
            return copy.copy(part)
        return part

    done: dict[int, Any] = {}
    return with_parts(ingest, apart, done), with_parts(answer, apart, done)


def _indexes_in(answer: AnswerPipeline) -> list[AnyIndex]:
    return [part for part in parts_of(answer) if isinstance(part, VectorStore | LexicalIndex)]

"""Ingests that several processes share: files are put into a queue, workers read them, and one of them publishes.

A worker does what costs time (it reads, cuts, asks key writers and embeds) and keeps the papers in the queue, vectors
and replies in the corpus's caches.  Whoever finds that all files before some are read stores these, and whoever finds
that all are stored goes the rest of the way, as an ingest by one process does: that finds everything in the caches.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from typing import TypeVar

from ragkit.chunk.process import Cutter
from ragkit.corpus import Corpus
from ragkit.corpus.papers import FailedRead
from ragkit.corpus.vectors import CachedEmbeddings
from ragkit.document import digest, paper_id, searchable
from ragkit.errors import CorpusBusy, CorpusError, LeaseLost, LoadError, RagkitError, UsageError
from ragkit.flow import Event, Finished, Flow, Progress, call, emit, steps
from ragkit.index import VectorIndex
from ragkit.ingest import IngestPipeline
from ragkit.ingest.queue import ATTEMPTS, LEASE, Kept, Lease, Queue, when_free
from ragkit.ingest.reading import Did, FileReading, IngestRequest, find
from ragkit.ingest.report import Failure, IngestReport, encodable
from ragkit.keys import KeptReplies
from ragkit.read import LoadedSource, source_of

T = TypeVar("T")

log = logging.getLogger("ragkit")

_POLL = 0.5  # seconds
_LONELY = 10.0  # seconds without a worker, after which who waits is told
_PATIENCE = 120.0  # seconds without the database, after which a worker ends
_EMBEDDED_AT_ONCE = 256  # texts, after which the vectors are kept
_STORED_AT_ONCE = 50  # files that are read, after which a worker stores them although more are waiting


def queue_of(
    pipeline: IngestPipeline, corpus: Corpus, lease: float = LEASE, attempts: int = ATTEMPTS
) -> Queue:
    """The queue of the files that are to be read with the settings of *pipeline*.

    Raises `UsageError` where there can be none: in a directory, and for a loader that knows no files.
    """
    if isinstance(source_of(pipeline.read), LoadedSource):
        raise UsageError(
            f"a queue takes files, and this configuration loads with {type(pipeline.read).__name__}"
        )
    if not corpus.store.is_shared:
        raise UsageError(
            f"a queue needs a corpus in Postgres, and '{corpus.name}' is a directory; use --corpus postgresql://..."
        )
    names = [pipeline.name_of(index) for index in pipeline.index]
    settings = digest(pipeline.attempt, pipeline.chunker, *pipeline.writers, *names)
    return Queue(corpus, settings, lease, attempts)


def enqueue(pipeline: IngestPipeline, given: IngestRequest, wait: bool = True) -> Flow[IngestReport | int]:
    """Put the files of *given* into the queue.

    Returns how many there are or, with *wait*, the report once workers have published them.
    """
    started = time.perf_counter()
    corpus, source, batch = given.corpus, source_of(pipeline.read), uuid.uuid4().hex
    queue = queue_of(pipeline, corpus)
    with when_free(corpus), source.reading() as reader:
        found = yield from find(given, source, reader)
        named = [uri for uri in found.uris if uri == encodable(uri)]
        odd = [uri for uri in found.uris if uri != encodable(uri)]  # no database can name these
        did = yield from pipeline.reading(corpus, reader).flow(odd, found.named.again)
        queue.put(named, found.named.again, batch)
    if not wait:
        return len(named)
    lonely = time.monotonic() + _LONELY
    while (states := queue.of(batch)) and set(states) != {"published"}:
        done = sum(states.values()) - states.get("waiting", 0) - states.get("running", 0)
        running = states.get("running", 0)
        yield from emit(Progress("queue", done, len(named), f"{running} running"))
        if running or done:
            lonely = float("inf")
        elif time.monotonic() > lonely:
            lonely = float("inf")
            log.warning(
                "no worker takes files from the queue; start some by `ragkit work` with the same configuration"
            )
        yield from call("queue", time.sleep, _POLL)
    did.add(queue.did(batch))
    with when_free(corpus):
        return pipeline.report(corpus, found, did, time.perf_counter() - started)


class Worker:
    """Takes files from the queue of *corpus* and works on them as *pipeline* says.

    See `Queue` for *lease* and *attempts*.
    """

    def __init__(
        self, pipeline: IngestPipeline, corpus: Corpus, lease: float = LEASE, attempts: int = ATTEMPTS
    ) -> None:
        self.pipeline, self.corpus = pipeline, corpus
        self.queue = queue_of(pipeline, corpus, lease, attempts)
        self.files = 0
        """How many files this worker has read."""
        self.publications = 0
        self._unfinished: tuple[Lease, str | None] | None = None
        self._stopping = threading.Event()

    def run(self, drain: bool = False) -> Iterator[Event]:
        """Work until the caller stops, with *drain* until everything in the queue is published.

        A database that is away is waited for.  Raises `CorpusError` if it stays away.
        """
        with closing(self._events(drain)) as events:
            for event in events:
                yield event
                if self._stopping.is_set():
                    return  # which closes them, and so gives the file back

    def stop(self) -> None:
        """Let `run`, which is in another thread, end at its next event, and give back the file that it works on."""
        self._stopping.set()

    def _events(self, drain: bool) -> Generator[Event, None, None]:
        if not self.corpus.exists() or not self.corpus.has_table("queue"):
            with when_free(self.corpus):
                pass  # it makes the tables
        warn_of_others(self.queue)
        away: float | None = None
        with source_of(self.pipeline.read).reading() as reader:
            reading, cutter = (
                self.pipeline.reading(self.corpus, reader),
                Cutter(self.pipeline.chunk, reader.pool),
            )
            while not self._stopping.is_set():
                try:
                    if not (yield from self._step(reading, cutter)):
                        if drain and self.queue.is_empty():
                            return
                        self._stopping.wait(_POLL)
                    away = None
                except LeaseLost as lost:
                    log.warning("%s", lost)
                except CorpusError as error:
                    if away is None:
                        away = time.monotonic() + _PATIENCE
                        log.warning("%s; trying again for %d s", error, _PATIENCE)
                    if time.monotonic() > away:
                        raise
                    self._stopping.wait(_POLL)

    def _step(self, reading: FileReading, cutter: Cutter) -> Generator[Event, None, bool]:
        """Work on a file, or store and publish what is read; say whether there was something to do."""
        self._give_back()
        if (claim := self.queue.claim()) is None:
            return (yield from _driven(self._settle(reading, cutter)))
        try:
            with self.queue.held(claim):
                yield from _driven(self._kept(claim, reading, cutter))
        except LeaseLost:
            raise
        except BaseException as error:
            is_of_file = isinstance(error, Exception) and not isinstance(error, RagkitError)
            self._unfinished = claim, f"{type(error).__name__}: {error}" if is_of_file else None
            with suppress(CorpusError):
                self._give_back()
            raise
        self.files += 1
        if self.files % _STORED_AT_ONCE == 0:
            yield from _driven(self._settle(reading, cutter))
        return True

    def _give_back(self) -> None:
        """Give back what could not be finished, now or once the database is there again."""
        if self._unfinished:
            self.queue.give_back(*self._unfinished)
            self._unfinished = None

    def _kept(self, claim: Lease, reading: FileReading, cutter: Cutter) -> Flow[None]:
        kept, again = Kept(), {claim.uri} if claim.again else ()
        try:
            if claim.attempts > self.queue.attempts:
                raise LoadError(
                    f"{self.queue.attempts} times a worker ended while it worked on it"
                    f" ({claim.error or 'it was killed, or needs too much memory'}); name the file to try it again"
                )
            did = yield from reading.flow([claim.uri], again, kept)
            yield from self._prepare(kept, did, cutter)
            yield from call("queue", self.queue.keep, claim, kept, did)
        except LoadError as error:
            content = kept.digest
            if claim.attempts == self.queue.attempts + 1:  # else even this has ended a worker
                with suppress(LoadError):
                    content = reading.digest(claim.uri)
            failed = Kept(failure=FailedRead(content, reading.attempt, str(error)))
            did = Did(failed=[Failure(source=claim.uri, error=str(error))])
            yield from call("queue", self.queue.keep, claim, failed, did)

    def _prepare(self, kept: Kept, did: Did, cutter: Cutter) -> Flow[None]:
        """Cut the papers, and let key writers and models fill the caches with what the indexes will ask for."""
        papers = [
            each.model_copy(update={"id": paper_id(each)}) for each in kept.papers or () if each.page_content
        ]
        cuts = yield from call("chunk", cutter.cut, papers)
        passages = [
            each for cut in cuts for each in cut.passages
        ]  # who publishes says which could not be cut
        replies, texts = KeptReplies(self.corpus), [searchable(passage) for passage in passages]
        for writer in self.pipeline.keys:
            for written in (yield from writer.flow(passages, replies)) if passages else ():
                texts += written
        for index in self.pipeline.index:
            if isinstance(index, VectorIndex) and texts:
                cached = CachedEmbeddings(index.embed, self.corpus)
                yield from self._embed(cached, texts)
                did.encoded += cached.encoded

    def _embed(self, cached: CachedEmbeddings, texts: list[str]) -> Flow[None]:
        for at in range(0, len(texts), _EMBEDDED_AT_ONCE):
            yield from emit(Progress("embed", at, len(texts)))
            yield from call("embed", cached.vectors, texts[at : at + _EMBEDDED_AT_ONCE])

    def _settle(self, reading: FileReading, cutter: Cutter) -> Flow[bool]:
        """Store what is next in order, and publish if nothing is left; say whether something was done.

        Nothing is if another process holds the corpus lock.
        """
        some = self.queue.in_order()
        if not some and not self.queue.is_drained():
            return False
        try:
            with self.corpus.writing():
                for uri in self.queue.in_order():
                    self.queue.store(uri, reading.loader)
                if self.queue.is_drained():
                    did = yield from self.pipeline.settle(self.corpus, reading.lookup, cutter)
                    self.queue.published(did)
                    self.publications += 1
        except CorpusBusy:
            return False
        return True


def warn_of_others(queue: Queue) -> None:
    """Say in a warning how many files of a queue only workers with other settings take."""
    if others := queue.count_of_others():
        log.warning(
            "the queue has %d files for workers with another configuration, or with other formats or another ragkit"
            " installed; they are left to these",
            others,
        )


def _driven(flow: Flow[T]) -> Generator[Event, None, T]:
    """The events of a flow, and its result."""
    with closing(steps(flow)) as events:
        for event in events:
            if not isinstance(event, Finished):
                yield event
    result: T = event.result  # type: ignore[attr-defined]
    return result

"""Papers into the corpus: read, deduplicate, store, chunk, embed, index."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_core.vectorstores import VectorStore
from pydantic import BaseModel, ConfigDict

from ragkit.chunk import check_splitter, chunker_of
from ragkit.config import components
from ragkit.config.spec import describe, identify
from ragkit.corpus import Corpus, IndexState
from ragkit.document import digest, entry, searchable
from ragkit.errors import CorpusError, LoadError, RagkitError
from ragkit.flow import Flow, Pipeline, Progress, call, emit
from ragkit.index import Index, LexicalIndex, VectorIndex
from ragkit.models.embeddings import CachedEmbeddings, fingerprint_of
from ragkit.read import PaperSource, source_of
from ragkit.read.files import Files

AnyIndex = VectorStore | Index

log = logging.getLogger("ragkit")

_AT_ONCE = 256  # passages that are embedded, indexed and marked together


class Failure(BaseModel):
    """A file that could not be read, and why."""

    source: str
    error: str


class IngestReport(BaseModel):
    """What an ingest did, and what the corpus holds now.

    `entries`: papers as the files named list them; `documents`: distinct papers in the corpus; `duplicates`: entries
    that another entry had made known; `variants`: those whose text differs; `descriptions`: entries of bibliographies,
    which add to what is known of the papers that they name; `pruned`: files that are gone and were forgotten; `encoded`: texts that were embedded.
    """

    model_config = ConfigDict(frozen=True)

    files: int
    entries: int
    documents: int
    duplicates: int
    variants: int
    descriptions: int
    chunks: int
    failed: tuple[Failure, ...]
    pruned: int = 0
    encoded: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Reading:
    """What is ingested: *paths*, into *corpus*.  Without paths, only the indexes are brought up to date.

    With `prune`, files that are gone are forgotten.
    """

    corpus: Corpus
    paths: Sequence[str | Path] = ()
    prune: bool = False


@dataclass(frozen=True, kw_only=True)
class IngestPipeline(Pipeline[Reading, IngestReport]):
    """read -> deduplicate -> corpus -> chunk -> embed -> index.

    Every step asks the corpus what is still to be done, so an ingest that was cut short goes on where it stopped.
    """

    read: BaseLoader = Files()
    chunk: BaseDocumentTransformer
    index: Sequence[VectorStore | LexicalIndex]

    def __post_init__(self) -> None:
        check_splitter(self.chunk)

    def flow(self, given: Reading) -> Flow[IngestReport]:
        started = time.perf_counter()
        corpus = given.corpus
        with corpus.writing():
            source = source_of(self.read)
            found = yield from call("read", source.find, given.paths)
            pruned = source.gone(corpus.uris(), given.paths) if given.prune else []
            corpus.forget_files(pruned)
            uris, failed = yield from self._read(corpus, source, found)
            yield from self._chunk(corpus)
            encoded = 0
            encoded += yield from self.fill(corpus)
            corpus.drop_orphans()
            counts = corpus.counts(uris)
        return IngestReport(
            files=counts.files,
            entries=counts.entries,
            documents=counts.documents,
            duplicates=counts.duplicates,
            variants=counts.variants,
            descriptions=counts.descriptions,
            chunks=len(corpus.held(self.name_of(self.index[0]))) if self.index else counts.chunks,
            failed=tuple(failed),
            pruned=len(pruned),
            encoded=encoded,
            seconds=round(time.perf_counter() - started, 3),
        )

    def _read(
        self, corpus: Corpus, source: PaperSource, found: Sequence[str]
    ) -> Flow[tuple[list[str], list[Failure]]]:
        """Read what is new or changed; a file that cannot be read fails alone."""
        uris, failed, papers = [], [], 0
        with source.reading() as read:
            for number, uri in enumerate(found):
                name = Path(uri).name.encode(errors="replace").decode()
                yield from emit(Progress("read", number, len(found), name, papers))
                try:
                    content = source.digest(uri)
                    if not corpus.has_file(uri, content, self.loader):
                        entries: list[Document] = []  # no write transaction may wait for who takes the events
                        batches = read(uri)
                        while some := (yield from call("read", _next, batches)):
                            entries += some
                            papers += len(some)
                            yield from emit(Progress("read", number, len(found), name, papers))
                        corpus.put_file(uri, content, self.loader, entries)
                    uris.append(uri)
                except LoadError as error:
                    failed.append(Failure(source=uri.encode(errors="replace").decode(), error=str(error)))
        yield from emit(Progress("read", len(found), len(found), "", papers))
        return uris, failed

    def _chunk(self, corpus: Corpus) -> Flow[None]:
        waiting = corpus.unchunked(self._chunker)
        for at in range(0, len(waiting), _AT_ONCE):
            yield from emit(Progress("chunk", at, len(waiting)))
            papers = list(corpus.documents(waiting[at : at + _AT_ONCE]).values())
            chunks = yield from call("chunk", chunker_of(self.chunk).transform_documents, papers)
            corpus.put_chunks(self._chunker, papers, chunks)
        yield from emit(Progress("chunk", len(waiting), len(waiting)))

    def fill(self, corpus: Corpus, damaged: Collection[str] = ()) -> Flow[int]:
        """Bring the indexes up to date, and build those *damaged* anew; return how many texts had to be embedded.

        Readers see all of them change at the same moment.
        """
        encoded, states, written = 0, [], []
        last = corpus.published()
        for index in self.index:
            if isinstance(index, Index):
                twin = index.twin()  # this process may be searching with the index itself
                state, more = yield from self._next_state(corpus, twin, self.name_of(index) in damaged)
                if state:
                    states.append(state)
                    written.append(twin)
            else:
                more = yield from self._fill_foreign(corpus, index)
            encoded += more
        corpus.publish(states)
        for twin in written:
            twin.sweep(keep=[last.get(self.name_of(twin), ("", 0))[1], twin.generation])
        return encoded

    def _next_state(self, corpus: Corpus, index: Index, anew: bool) -> Flow[tuple[IndexState | None, int]]:
        """Make the next generation of an index, if it needs one.  One that cannot be written is built anew."""
        name = self.name_of(index)
        fingerprint, generation = corpus.published().get(name, ("", 0))
        anew = anew or fingerprint != made_with(index)
        if not anew and not corpus.missing(name, self._chunker) and not corpus.surplus(name):
            return None, 0
        index.use(generation)
        if not anew and not index.is_sound():
            log.warning("index %s is damaged and is built anew from the corpus", name)
            anew = True
        try:
            return (yield from self._fill(corpus, index, generation, anew))
        except _BrokenIndex as broken:
            index.sweep(keep=[generation])
            if anew or _is_out_of_space(broken.__cause__):
                raise CorpusError(
                    f"index {name} cannot be written: {broken.__cause__}; what was there before is intact"
                ) from None
            log.warning(
                "index %s could not be written (%s) and is built anew from the corpus", name, broken.__cause__
            )
        try:
            return (yield from self._fill(corpus, index, generation, anew=True))
        except _BrokenIndex as broken:
            index.sweep(keep=[generation])
            raise CorpusError(
                f"index {name} cannot be written: {broken.__cause__}; what was there before is intact"
            ) from None

    def _fill(
        self, corpus: Corpus, index: Index, generation: int, anew: bool
    ) -> Flow[tuple[IndexState, int]]:
        name = self.name_of(index)
        missing = corpus.missing("" if anew else name, self._chunker)
        surplus = [] if anew else corpus.surplus(name)
        index.use(generation)
        new = max(generation + 1, time.time_ns() // 1_000_000)  # so that no folder's name is ever used again
        yield from _written(index, index.begin, new, not anew)
        encoded = 0
        for at in range(0, len(missing), _AT_ONCE):
            yield from emit(Progress("index", at, len(missing), name))
            passages = list(corpus.passages(missing[at : at + _AT_ONCE]).values())
            encoded += yield from self._add(corpus, index, passages)
        if surplus:
            yield from _written(index, index.remove, surplus)
        yield from _written(index, index.seal)
        yield from emit(Progress("index", len(missing), len(missing), name))
        return IndexState(name, made_with(index), new, missing, surplus, anew), encoded

    def _add(self, corpus: Corpus, index: Index, passages: Sequence[Document]) -> Flow[int]:
        """Add passages to an index; return how many had to be embedded."""
        if isinstance(index, LexicalIndex):
            yield from _written(index, index.add_passages, passages)
        if not isinstance(index, VectorIndex):
            return 0
        assert index.embeddings is not None
        cached = CachedEmbeddings(index.embeddings, corpus)
        vectors = yield from call("embed", cached.vectors, [searchable(p) for p in passages])
        yield from _written(index, index.add_vectors, passages, vectors)
        return cached.encoded

    def _fill_foreign(self, corpus: Corpus, index: AnyIndex) -> Flow[int]:
        """A LangChain vector store, which embeds by itself: what it holds is noted as it is added."""
        assert isinstance(index, VectorStore)
        name = self.name_of(index)
        if corpus.index_fingerprint(name) != made_with(index):
            corpus.begin_index(name, made_with(index))
        missing = corpus.missing(name, self._chunker)
        for at in range(0, len(missing), _AT_ONCE):
            yield from emit(Progress("index", at, len(missing), name))
            ids = missing[at : at + _AT_ONCE]
            yield from call("index", index.add_documents, [entry(p) for p in corpus.passages(ids).values()])
            corpus.mark(name, ids)
        if surplus := corpus.surplus(name):
            yield from call("index", index.delete, surplus)
            corpus.unmark(name, surplus)
        yield from emit(Progress("index", len(missing), len(missing), name))
        return 0

    def backlog(self, corpus: Corpus, index: AnyIndex) -> tuple[list[str], list[str]]:
        """The passages that *index* still lacks, and those it holds too much."""
        name = self.name_of(index)
        return corpus.missing(name, self._chunker), corpus.surplus(name)

    def name_of(self, index: AnyIndex) -> str:
        """What the ledger calls *index*: its settings and the chunker's decide, so configurations do not collide."""
        short = components.name_of(type(index)).rpartition(".")[2]
        return f"{short}-{digest(str(_described(index)), self._chunker)[:8]}"

    @property
    def settings(self) -> str:
        """What identifies how papers are read, cut and indexed."""
        return digest(identify(self))

    @property
    def loader(self) -> str:
        return digest(source_of(self.read).settings)

    @property
    def _chunker(self) -> str:
        return digest(str(_described(self.chunk)))


def made_with(index: AnyIndex) -> str:
    """What an index was built with: the settings, and the model's weights if it has one."""
    embed = index.embeddings if isinstance(index, VectorStore) else None
    return digest(str(_described(index)), fingerprint_of(embed) if embed else "")


def _described(value: Any) -> Any:
    """*value* as its YAML says it; for an object that has none, its class."""
    try:
        return describe(value)
    except TypeError:
        return type(value).__qualname__


def _is_out_of_space(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _next(batches: Iterator[list[Document]]) -> list[Document]:
    return next(batches, [])


class _BrokenIndex(Exception):
    """An index of ours could not be written; the cause says why."""


def _written(index: AnyIndex, method: Callable[..., object], *arguments: object) -> Flow[None]:
    """Write to an index; what goes wrong inside one of ours is the index's fault, since the corpus is sound."""
    try:
        yield from call("index", method, *arguments)
    except Exception as error:
        if isinstance(index, Index) and not isinstance(error, RagkitError):
            raise _BrokenIndex from error
        raise

"""Papers into the corpus: read, deduplicate, store, chunk, write keys, embed, index."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import BaseDocumentTransformer
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from ragkit import __version__
from ragkit.chunk import check_splitter
from ragkit.chunk.process import Cutter
from ragkit.config import components
from ragkit.config.spec import describe, identify
from ragkit.corpus import Corpus
from ragkit.corpus.ledger import Holding, IndexState, Passages
from ragkit.corpus.vectors import CachedEmbeddings
from ragkit.document import digest, searchable, sources_of, span_of
from ragkit.errors import CorpusError, DepotError, DepotLacks, RagkitError
from ragkit.flow import Flow, Pipeline, Progress, call, emit
from ragkit.index import Builder, Index, LexicalIndex, Place, VectorIndex, external
from ragkit.index.depot import Depot, depot_of, is_shipped
from ragkit.ingest.reading import Did, FileReading, FoundFiles, IngestRequest, find
from ragkit.ingest.report import Failure, IngestReport, Versions, encodable, merged
from ragkit.keys import KeptReplies, KeyWriter
from ragkit.models.embeddings import Vectors, fingerprint_of
from ragkit.read import PaperSource, source_of
from ragkit.read.files import Files
from ragkit.read.lookup.run import Lookup

AnyIndex = VectorStore | Index
T = TypeVar("T")

log = logging.getLogger("ragkit")

_AT_ONCE = (
    256  # passages that are embedded, indexed and marked together, or a few more: papers are not parted
)

_EMBEDDED_AT_ONCE = 64  # texts after which a progress bar moves: some seconds of a slow model
_CUT_AT_ONCE = 64  # papers that are cut, and whose passages are stored, together

_FULL = (*map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)), "database or disk is full")
"""How the system, and SQLite, say that a disk or the user's share of it is full."""


@dataclass(frozen=True, kw_only=True)
class IngestPipeline(Pipeline[IngestRequest, IngestReport]):
    """read -> deduplicate -> corpus -> chunk -> keys -> embed -> index.

    Every step asks the corpus what is still to be done, so an interrupted ingest resumes where it
    stopped.
    """

    read: BaseLoader = Files()
    chunk: BaseDocumentTransformer
    keys: Sequence[KeyWriter] = ()
    index: Sequence[VectorStore | VectorIndex | LexicalIndex]

    def __post_init__(self) -> None:
        check_splitter(self.chunk)

    def flow(self, given: IngestRequest) -> Flow[IngestReport]:
        started = time.perf_counter()
        corpus, source = given.corpus, source_of(self.read)
        with corpus.writing(), source.reading() as reader:
            found = yield from find(given, source, reader)
            reading = self.reading(corpus, reader)
            did = yield from reading.flow(found.uris, found.named.again)
            did.add((yield from self.settle(corpus, reading.lookup, Cutter(self.chunk, reader.pool))))
            return self.report(corpus, found, did, time.perf_counter() - started)

    def reading(self, corpus: Corpus, reader: PaperSource) -> FileReading:
        """How *reader*, of this pipeline, reads for *corpus*."""
        source = source_of(self.read)
        return FileReading(corpus, reader, Lookup(source.lookup, corpus), self.loader, self.attempt)

    def settle(self, corpus: Corpus, lookup: Lookup, cutter: Cutter) -> Flow[Did]:
        """Do what is still to be done with the papers in the corpus, which *cutter* cuts, and publish the indexes."""
        did = Did(looked_up=len((yield from lookup.stored()).found))
        did.failed = yield from self._chunk(corpus, cutter)
        did.dropped = yield from self._write_keys(corpus)
        did.encoded = yield from self.fill(corpus)
        corpus.drop_orphans()
        return did

    def report(self, corpus: Corpus, found: FoundFiles, did: Did, seconds: float) -> IngestReport:
        """What an ingest *did* with the files *found*, and what the corpus holds now."""
        counts, works = corpus.counts(did.uris), corpus.works(did.uris)
        return IngestReport(
            files=counts.files,
            new=len(did.read - set(found.known)),
            changed=len(did.read & set(found.known)),
            unchanged=len(set(did.uris) - did.read),
            entries=counts.entries,
            documents=counts.documents,
            duplicates=counts.duplicates,
            variants=counts.variants,
            descriptions=counts.descriptions,
            chunks=corpus.count_held(self.name_of(self.index[0])) if self.index else counts.chunks,
            failed=(*found.named.failed, *found.named.settled(corpus, did.failed)),
            pruned=len(found.pruned),
            encoded=did.encoded,
            seconds=round(seconds, 3),
            skipped=tuple(map(encodable, [*found.skipped, *found.unused])),
            unused=tuple(map(encodable, found.unused)),
            hidden=tuple(did.hidden),
            lost=tuple(did.lost),
            known=tuple(did.known),
            encodings=did.encodings,
            looked_up=did.looked_up,
            dropped_keys=did.dropped,
            merged=tuple(each for work in works for each in merged(work, set(did.uris))),
            versions=tuple(Versions.of(work) for work in works if len(work.documents) > 1),
        )

    def _chunk(self, corpus: Corpus, cutter: Cutter) -> Flow[list[Failure]]:
        """Cut what this chunker has not cut; a paper that it cannot cut fails alone, and is tried again next
        time.
        """
        number, failed = corpus.count_unchunked(self.chunker), list[Failure]()
        waiting, done = corpus.unchunked(self.chunker), 0
        while some := list(islice(waiting, _CUT_AT_ONCE)):
            yield from emit(Progress("chunk", done, number))
            done += len(some)
            cuts = yield from call("chunk", cutter.cut, list(corpus.documents(some).values()))
            whole = [cut for cut in cuts if not cut.error]
            corpus.put_chunks(
                self.chunker, [cut.paper for cut in whole], [each for cut in whole for each in cut.passages]
            )
            failed += [
                Failure(source=str(sources_of(cut.paper)[0]["uri"]), error=str(cut.error))
                for cut in cuts
                if cut.error
            ]
        yield from emit(Progress("chunk", number, number))
        return failed

    def _write_keys(self, corpus: Corpus) -> Flow[dict[str, int]]:
        """Write the keys that are missing; what was written and dropped is counted, by reason."""
        replies = KeptReplies(corpus)
        for writer, name in zip(self.keys, self.writers, strict=True):
            total, done = corpus.count_unkeyed(self.chunker, name), 0
            for some in _at_once(corpus.unkeyed(self.chunker, name)):
                yield from emit(Progress("keys", done, total, writer.kind))
                passages = list(corpus.passages(i for each in some for i in each.ids).values())
                written = yield from writer.flow(passages, replies)
                keys = zip((str(p.id) for p in passages), written, strict=True)
                corpus.put_keys(self.chunker, name, writer.kind, [each.document for each in some], keys)
                done += len(some)
            yield from emit(Progress("keys", total, total, writer.kind))
        return dict(replies.dropped)

    def fill(self, corpus: Corpus, damaged: Collection[str] = ()) -> Flow[int]:
        """Update the indexes, rebuild those *damaged*, and return how many texts were embedded.

        Papers whose titles were corrected are indexed again.
        Readers see all of them change at the same moment; before it, what they will fetch is in the depot.
        """
        encoded, states, depot = 0, [], depot_of(corpus)
        last = corpus.published()
        number = max([time.time_ns() // 1_000_000, *(n + 1 for _, n in last.values())])  # never used before
        for index in self.index:
            anew = self.name_of(index) in damaged
            if isinstance(index, Index):
                through = depot if is_shipped(index) else None
                state, more = yield from self._next_state(corpus, index, number, anew, through)
                states += [state] if state else []
            else:
                more = yield from self._fill_external(corpus, index, anew)
            encoded += more
        corpus.publish(states)
        for index in self.index:
            if isinstance(index, Index) and self.name_of(index) in {state.holding.name for state in states}:
                before = last.get(self.name_of(index), ("", 0))[1]
                root = self.place(corpus, index, number).root
                index.sweep(root, keep=[before, number])
                if depot and is_shipped(index):
                    try:
                        yield from call("depot", depot.sweep, root.name, [before, number])
                    except DepotError as error:
                        log.warning("old generations of index %s stay in the depot: %s", root.name, error)
        return encoded

    def _next_state(
        self, corpus: Corpus, index: Index, number: int, anew: bool, depot: Depot | None
    ) -> Flow[tuple[IndexState | None, int]]:
        """Make the next generation of an index, if it needs one, and ship it through its *depot*, if there is one."""
        name, holding = self.name_of(index), self.holding(index)
        fingerprint, generation = corpus.published().get(name, ("", 0))
        if anew or fingerprint != made_with(index):
            return (yield from self._made(corpus, index, None, number, depot))
        last = self.place(corpus, index, generation)
        waiting = any(map(any, (corpus.missing(holding), corpus.surplus(name), corpus.renewed(name))))
        lacking = (yield from call("depot", depot.problem, name, generation)) if depot else ""
        if not waiting and not lacking:
            return None, 0
        is_whole = yield from _brought(index, last, depot)
        if is_whole and not waiting:
            log.warning("%s; it is put there again", lacking)
            yield from _shipped(depot, index, last)
            return None, 0
        if not is_whole:
            log.warning("index %s is damaged and is built anew from the corpus", name)
        return (yield from self._made(corpus, index, last if is_whole else None, number, depot))

    def _made(
        self, corpus: Corpus, index: Index, last: Place | None, number: int, depot: Depot | None
    ) -> Flow[tuple[IndexState, int]]:
        """Build a generation and ship it; if that fails, nothing of it stays, and the published one is intact."""
        name, place = self.name_of(index), self.place(corpus, index, number)
        _, published = corpus.published().get(name, ("", 0))
        try:
            last, encoded = yield from self._built_or_rebuilt(corpus, index, last, place)
            yield from _shipped(depot, index, place, last)
        except _BrokenIndex as broken:
            index.sweep(place.root, keep=[published])
            why = "the disk is full" if _is_out_of_space(broken.__cause__) else broken.__cause__
            raise CorpusError(
                f"index {name} cannot be written: {why}; what was there before is intact"
            ) from None
        except DepotError:
            index.sweep(place.root, keep=[published])
            raise
        return IndexState(self.holding(index), made_with(index), number, anew=last is None), encoded

    def _built_or_rebuilt(
        self, corpus: Corpus, index: Index, last: Place | None, place: Place
    ) -> Flow[tuple[Place | None, int]]:
        """Build the generation at *place*, from nothing if it cannot be built from the *last* one.

        Returns what it was built from, and how many texts were embedded.
        """
        try:
            return last, (yield from self._built(corpus, index, last, place))
        except _BrokenIndex as broken:
            if not last or _is_out_of_space(broken.__cause__):
                raise
            log.warning(
                "index %s could not be written (%s) and is built anew from the corpus",
                self.name_of(index),
                broken.__cause__,
            )
        return None, (yield from self._built(corpus, index, None, place))

    def _built(self, corpus: Corpus, index: Index, last: Place | None, place: Place) -> Flow[int]:
        """Build the generation at *place* from the *last* one, or from nothing.

        Returns how many texts were embedded.
        """
        name = self.name_of(index)
        # An index that is new holds nothing.
        holding = self.holding(index) if last else replace(self.holding(index), name="")
        builder: Builder = yield from _written(index.build, last, place)
        if last:
            for some in _at_once(chain(corpus.surplus(name), corpus.renewed(name))):
                yield from _written(builder.remove, [i for each in some for i in each.ids])
        total, done, encoded = corpus.count_missing(holding), 0, 0
        for some in _at_once(chain(corpus.missing(holding), corpus.renewed(holding.name))):
            yield from emit(Progress("index", done, total, name))
            passages = corpus.passages(i for each in some for i in each.ids)
            keys = corpus.keys(passages.values(), self.writers)
            vectors = None
            if isinstance(index, VectorIndex):
                cached, made = CachedEmbeddings(index.embed, corpus), dict[int, Vectors]()
                for group in _alike_in_length([key.text for key in keys]):
                    found = yield from call("embed", cached.vectors, [keys[n].text for n in group])
                    made |= zip(group, found, strict=True)
                    embedded = len(made) * len(passages) // len(keys)
                    yield from emit(Progress("index", done + embedded, total, name))
                vectors = np.stack([made[n] for n in range(len(keys))])
                encoded += cached.encoded
            yield from _written(builder.add, keys, vectors)
            done += sum(len(each.ids) for each in some)
        yield from _written(builder.seal)
        yield from emit(Progress("index", total, total, name))
        return encoded

    def _fill_external(self, corpus: Corpus, store: VectorStore, anew: bool) -> Flow[int]:
        """A LangChain vector store, which embeds by itself: what it holds is noted as it is added."""
        name, holding = self.name_of(store), self.holding(store)
        if corpus.index_fingerprint(name) == made_with(store) and not anew and not self.holds(corpus, store):
            log.warning("index %s is empty, although it was filled, and is filled anew from the corpus", name)
            anew = True
        if anew or corpus.index_fingerprint(name) != made_with(store):
            corpus.begin_index(holding, made_with(store))
        for each in list(corpus.renewed(name)):
            yield from call("index", external.remove, store, corpus.numbers(each.ids))
            corpus.unmark(name, [each.document])
        total, done = corpus.count_missing(holding), 0
        for some in _at_once(corpus.missing(holding)):
            yield from emit(Progress("index", done, total, name))
            passages = corpus.passages(i for each in some for i in each.ids)
            keys = corpus.keys(passages.values(), self.writers)
            papers = [span_of(passages[key.passage]).document_id for key in keys]
            yield from call("index", external.add, store, keys, papers)
            corpus.mark(name, [each.document for each in some])
            done += sum(len(each.ids) for each in some)
        for some in _at_once(corpus.surplus(name)):
            gone = corpus.numbers(i for each in some for i in each.ids)
            yield from call("index", external.remove, store, gone)
            corpus.unmark(name, [each.document for each in some])
        yield from emit(Progress("index", total, total, name))
        return 0

    def holds(self, corpus: Corpus, store: VectorStore) -> bool:
        """Does a LangChain vector store hold the first of the passages that the ledger says it does?"""
        first = next(corpus.held(self.name_of(store)), None)
        known = corpus.passages([first] if first else [])
        return all(external.holds(store, i, searchable(passage)) for i, passage in known.items())

    def holding(self, index: AnyIndex) -> Holding:
        """What *index* is to hold."""
        return Holding(self.name_of(index), self.chunker, self.writers)

    def name_of(self, index: AnyIndex) -> str:
        """The ledger's name for *index*.

        It depends on the settings of index, chunker and key writers, so that configurations do not collide.
        """
        short = components.name_of(type(index)).rpartition(".")[2]
        return f"{short}-{digest(str(_described(index)), self.chunker, *self.writers)[:8]}"

    def place(self, corpus: Corpus, index: Index, generation: int) -> Place:
        return Place(corpus.directory / "indexes" / self.name_of(index), generation)

    @property
    def settings(self) -> str:
        """What identifies how papers are read, cut and indexed."""
        return digest(identify(self))

    @property
    def loader(self) -> str:
        return digest(source_of(self.read).settings)

    @property
    def attempt(self) -> str:
        """What identifies how reading a file was tried; a newer ragkit may read what another could not."""
        return digest(__version__, source_of(self.read).attempt)

    @property
    def chunker(self) -> str:
        """What the corpus calls the chunker."""
        return digest(str(_described(self.chunk)))

    @property
    def writers(self) -> tuple[str, ...]:
        """What the corpus calls the key writers."""
        return tuple(digest(str(_described(writer))) for writer in self.keys)


def made_with(index: AnyIndex) -> str:
    """What an index was built with: the settings, and the model's weights if it has one."""
    embed = embeddings_of(index)
    return digest(str(_described(index)), fingerprint_of(embed) if embed else "")


def embeddings_of(index: AnyIndex) -> Embeddings | None:
    if isinstance(index, VectorIndex):
        return index.embed
    return index.embeddings if isinstance(index, VectorStore) else None


def _described(value: Any) -> Any:
    """*value* as its YAML says it; for an object that has none, its class."""
    try:
        return describe(value)
    except TypeError:
        return type(value).__qualname__


def _is_out_of_space(error: BaseException | None) -> bool:
    """Libraries that are not written in Python pass on what the system says as text."""
    return any(said in str(error) for said in _FULL)


def _alike_in_length(texts: Sequence[str]) -> Iterator[Sequence[int]]:
    """The numbers of *texts* in groups that are embedded one after another, short ones first: they need no padding."""
    order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
    return (order[at : at + _EMBEDDED_AT_ONCE] for at in range(0, len(order), _EMBEDDED_AT_ONCE))


def _at_once(papers: Iterable[Passages]) -> Iterator[list[Passages]]:
    """Papers together that have so many passages, or a few more, as a paper is not parted."""
    some: list[Passages] = []
    passages = 0
    for paper in papers:
        some.append(paper)
        passages += len(paper.ids)
        if passages >= _AT_ONCE:
            yield some
            some, passages = [], 0
    if some:
        yield some


def _brought(index: Index, place: Place, depot: Depot | None) -> Flow[bool]:
    """Is the generation at *place* here as it was sealed, fetched if need be?"""
    if index.is_sound(place):
        return True
    if depot and is_shipped(index):
        try:
            yield from call("depot", depot.fetch, index, place)
            return True
        except DepotLacks as lacking:
            log.warning("%s", lacking)
    return False


def _shipped(depot: Depot | None, index: Index, place: Place, last: Place | None = None) -> Flow[None]:
    """Put the generation at *place* into the depot, if there is one."""
    if depot and is_shipped(index):
        yield from call("depot", depot.ship, index, place, last)


class _BrokenIndex(Exception):
    """An index of ours could not be written; the cause says why."""


def _written(method: Callable[..., T], *arguments: object) -> Flow[T]:
    """Write to an index; what goes wrong inside is the index's fault, since the corpus is sound."""
    try:
        return (yield from call("index", method, *arguments))
    except RagkitError:
        raise
    except Exception as error:
        raise _BrokenIndex from error

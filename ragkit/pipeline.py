"""The data flow, top to bottom: how papers get into the corpus, and how a question is answered from it.

ingest   load -> deduplicate -> corpus -> chunk -> embed -> index
answer   rewrite -> retrieve -> fuse -> read -> refine -> gate -> focus -> generate -> verify -> policy
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import BaseDocumentCompressor, BaseDocumentTransformer, Document
from langchain_core.messages import BaseMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from pydantic import BaseModel, ConfigDict, PositiveFloat

from ragkit import policy, registry
from ragkit.answer import Answer
from ragkit.config import describe, identify
from ragkit.corpus import Corpus, IndexState
from ragkit.document import Span, digest, entry, facts_of, score_of, scored, scores_of, searchable, span_of
from ragkit.draft import Draft
from ragkit.embed import CachedEmbeddings, fingerprint_of
from ragkit.errors import CorpusError, DeadlinePassed, LoadError, RagkitError, UsageError
from ragkit.files import Files
from ragkit.flow import (
    Flow,
    Pipeline,
    Progress,
    Reached,
    call,
    emit,
    gather,
    overhear,
    within,
)
from ragkit.fuse import Fusion, MinMaxFusion, Ranking
from ragkit.gate import Gate, Relevance, support
from ragkit.generate import Generator
from ragkit.index import Index, LexicalIndex, VectorIndex
from ragkit.policy import Policy
from ragkit.question import Said, answers, unmentioned
from ragkit.reader import Reader
from ragkit.retrieve import FilteredRetriever
from ragkit.rewrite import QueryRewriter
from ragkit.verify import Verifier
from ragkit.where import Where, both, parse

AnyIndex = VectorStore | Index
T = TypeVar("T")

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


@dataclass(frozen=True)
class Question:
    """What is asked, of which corpus, after which messages (oldest first), and of which passages (all, if None)."""

    corpus: Corpus
    text: str
    history: Sequence[BaseMessage] = ()
    where: Where | None = None
    refresh: Callable[[], bool] = lambda: False  # opens newer generations of the indexes; were there any?
    opening: AbstractContextManager[object] = nullcontext()  # held while they are opened


@dataclass(frozen=True, kw_only=True)
class IngestPipeline(Pipeline[Reading, IngestReport]):
    """load -> deduplicate -> corpus -> chunk -> embed -> index.

    Every step asks the corpus what is still to be done, so an ingest that was cut short goes on where it stopped.
    """

    load: BaseLoader = Files()
    chunk: BaseDocumentTransformer
    index: Sequence[VectorStore | LexicalIndex]

    def flow(self, given: Reading) -> Flow[IngestReport]:
        started = time.perf_counter()
        corpus = given.corpus
        with corpus.writing():
            pruned = self.gone(corpus, given.paths) if given.prune else []
            corpus.forget_files(pruned)
            uris, failed = yield from self._load(corpus, given.paths)
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

    def gone(self, corpus: Corpus, paths: Sequence[str | Path]) -> list[str]:
        """The files that the corpus lists and that are no longer there; those under *paths*, if there are any."""
        if not isinstance(self.load, Files):
            return []
        within = [Path(path).resolve() for path in paths]
        return [u for u in corpus.uris() if not Path(u).exists() and (not within or any(Path(u).is_relative_to(w) for w in within))]

    def _load(self, corpus: Corpus, paths: Sequence[str | Path]) -> Flow[tuple[list[str], list[Failure]]]:
        """Read what is new or changed; one file that cannot be read costs only itself."""
        if not isinstance(self.load, Files):
            return (yield from self._load_all(corpus, self.load, paths))
        found = self.load.find([*self.load.paths, *paths])
        uris, failed, papers = [], [], 0
        with Reader(self.load) as reader:
            for number, path in enumerate(found):
                name = path.name.encode(errors="replace").decode()
                yield from emit(Progress("load", number, len(found), name, papers))
                uri = str(path)
                try:
                    digest = self.load.digest(path)
                    if not corpus.has_file(uri, digest, self.loader):
                        batches = reader.papers(path)
                        with corpus.replacing(uri, digest, self.loader) as put:
                            while some := (yield from call("load", _next, batches)):
                                put(some)
                                papers += len(some)
                                yield from emit(Progress("load", number, len(found), name, papers))
                    uris.append(uri)
                except LoadError as error:
                    failed.append(Failure(source=uri.encode(errors="replace").decode(), error=str(error)))
        yield from emit(Progress("load", len(found), len(found), "", papers))
        return uris, failed

    def _load_all(self, corpus: Corpus, loader: BaseLoader, paths: Sequence[str | Path]) -> Flow[tuple[list[str], list[Failure]]]:
        """Read everything that a LangChain loader brings, as one source after another."""
        if paths:
            raise UsageError(
                f"'{paths[0]}' cannot be ingested: this configuration loads with {type(loader).__name__}, which takes no paths"
            )
        by_uri: dict[str, list[Document]] = {}
        for document in (yield from call("load", loader.load)):
            by_uri.setdefault(str(document.metadata.get("source", type(loader).__name__)), []).append(document)
        for uri, documents in by_uri.items():
            content = digest(*(d.page_content for d in documents))
            if not corpus.has_file(uri, content, self.loader):
                corpus.put_file(uri, content, self.loader, documents)
        return list(by_uri), []

    def _chunk(self, corpus: Corpus) -> Flow[None]:
        waiting = corpus.unchunked(self._chunker)
        for at in range(0, len(waiting), _AT_ONCE):
            yield from emit(Progress("chunk", at, len(waiting)))
            papers = list(corpus.documents(waiting[at : at + _AT_ONCE]).values())
            chunks = yield from call("chunk", self.chunk.transform_documents, papers)
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
                raise CorpusError(f"index {name} cannot be written: {broken.__cause__}; what was there before is intact") from None
            log.warning("index %s could not be written (%s) and is built anew from the corpus", name, broken.__cause__)
        try:
            return (yield from self._fill(corpus, index, generation, anew=True))
        except _BrokenIndex as broken:
            index.sweep(keep=[generation])
            raise CorpusError(f"index {name} cannot be written: {broken.__cause__}; what was there before is intact") from None

    def _fill(self, corpus: Corpus, index: Index, generation: int, anew: bool) -> Flow[tuple[IndexState, int]]:
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
        short = registry.name_of(type(index)).rpartition(".")[2]
        return f"{short}-{digest(str(_described(index)), self._chunker)[:8]}"

    @property
    def settings(self) -> str:
        """What identifies how papers are read, cut and indexed."""
        return digest(identify(self))

    @property
    def loader(self) -> str:
        return digest(str(_described(self.load)))

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


@dataclass(frozen=True, kw_only=True)
class AnswerPipeline(Pipeline[Question, Answer]):
    """rewrite -> retrieve -> fuse -> read -> refine -> gate -> focus -> generate -> verify -> policy.

    The gate, the verifier and `otherwise` see all that `refine` leaves; `generate` sees what `focus` leaves of that.
    `where` filters what is answered from, together with the question's own filter.  A question that takes longer than
    `deadline` seconds ends in an abstention, whatever it waits for.  Where nothing is left of what `generate` writes, it
    declines, or it does not say the kind of thing that is asked for (a number, a name), `otherwise` writes the answer, if that does.
    """

    deadline: PositiveFloat | None = None
    where: Where | None = parse("kind != references")
    rewrite: Sequence[QueryRewriter] = ()
    retrieve: Sequence[BaseRetriever]
    fuse: Fusion = MinMaxFusion()
    refine: Sequence[BaseDocumentCompressor] = ()
    gate: Gate | None = None
    focus: Sequence[BaseDocumentCompressor] = ()
    generate: Generator
    otherwise: Generator | None = None
    verify: Verifier | None = None
    policy: Policy = "drop"

    def flow(self, given: Question) -> Flow[Answer]:
        begun = time.monotonic()
        searching = self.search(replace(given, where=both(self.where, given.where)))
        searched = yield from self._in_time(begun, searching)
        if searched is None:
            return self._late(given.text, ())
        answer = yield from self.answer(*searched, time.monotonic() - begun)
        return answer.model_copy(update={"question": given.text})

    def answer(self, question: str, found: Sequence[Document], taken: float = 0.0) -> Flow[Answer]:
        """The answer to *question* from what was *found* for it, which has *taken* so many seconds of its time."""
        begun = time.monotonic() - taken
        passages = yield from self._in_time(begun, self.refined(question, found))
        if passages is None:
            return self._late(question, found)
        answer = yield from self._in_time(begun, self.respond(question, passages))
        if answer is None:
            return self._late(question, passages)
        lost = () if answer.abstained else unmentioned(question, [Said.by(searchable(passage)) for passage in passages])
        return answer.model_copy(update={"unmentioned": tuple(lost)})

    def _in_time(self, begun: float, flow: Flow[T]) -> Flow[T | None]:
        """What *flow* comes to, or None where the time of a question that was *begun* then is over before."""
        if self.deadline is None:
            return (yield from flow)
        try:
            return (yield from within(begun + self.deadline, flow))
        except DeadlinePassed:
            return None

    def _late(self, question: str, passages: Sequence[Document]) -> Answer:
        return policy.abstain(question, f"the {self.deadline:g} seconds that a question may take were over", passages)

    def refined(self, question: str, found: Sequence[Document]) -> Flow[Sequence[Document]]:
        """The passages that an answer is written from."""
        return (yield from _refined(self.refine, question, found))

    def ranking(self, given: Question) -> Flow[list[Document]]:
        """Everything found, best first: what the refiners keep (whole or in part) as they score it, then the rest as it was found."""
        question, found = yield from self.search(given)
        refined = yield from self.refined(question, found)
        spans = {span_of(passage): passage for passage in found}
        ranked: dict[Span, Document] = {}
        for kept in sorted(refined, key=score_of, reverse=True):  # a refiner may order what it keeps for the generator
            own = span_of(kept)
            for span in [own] if own in spans else [s for s in spans if own.holds(s) or s.holds(own)]:
                ranked.setdefault(span, scored(spans[span], score_of(kept)))
        return list((ranked | {span: passage for span, passage in spans.items() if span not in ranked}).values())

    def respond(self, question: str, passages: Sequence[Document]) -> Flow[Answer]:
        """The answer to *question* from *passages* and nothing else."""
        yield from emit(Reached("context", passages))
        relevance = (yield from call("gate", self.gate.weigh, question, passages)) if self.gate else Relevance()
        if relevance.refusal:
            return policy.abstain(question, relevance.refusal, passages, round(relevance.score, 4))
        shown = yield from _refined(self.focus, question, passages)
        draft = Draft(self.verify, self.policy)
        first = yield from self._written(self.generate, draft, question, shown, passages)
        answer = self._settled(relevance, first)
        if self.otherwise and not _answers(question, answer):
            second = yield from self._written(self.otherwise, draft, question, passages, passages)
            other = self._settled(relevance, second)
            if answer.abstained or _answers(question, other):
                return (yield from self._translated(self.otherwise, draft, other))
            yield from draft.tell(first)
        return (yield from self._translated(self.generate, draft, answer))

    def _translated(self, generate: Generator, draft: Draft, answer: Answer) -> Flow[Answer]:
        translated = yield from generate.translated(answer)
        if translated != answer:
            yield from draft.tell(translated)
        return translated

    def _written(
        self, generate: Generator, draft: Draft, question: str, shown: Sequence[Document], passages: Sequence[Document]
    ) -> Flow[Answer]:
        """What *generate* writes from what it is *shown* of *passages*, with its verdicts.

        Each claim is told of (`Checked`), while the next is written if that can be.
        """

        def so_far(text: str) -> Answer | None:
            answer = generate.so_far(question, text, shown)
            return answer and _over(passages, answer)

        def judged(writing: Flow[Answer]) -> Flow[Answer]:
            answer = _over(passages, (yield from overhear(writing, draft.listening(so_far)) if draft.judges_as_written else writing))
            yield from emit(Reached("draft", answer))
            if self.verify and not answer.abstained:
                answer = yield from self.verify.flow(answer)
            yield from emit(Reached("judged", answer))
            yield from draft.tell(answer)
            return answer

        answer = yield from judged(generate.flow(question, shown))
        if self.policy == "regenerate" and answer.faults:
            another = yield from judged(generate.again(question, shown, answer))
            answer = policy.better(answer, another)
            yield from draft.tell(answer)
        return answer

    def _settled(self, relevance: Relevance, judged: Answer) -> Answer:
        """*judged* as the reader may see it."""
        sure = self.gate.confirm(relevance, judged) if self.gate else Relevance(support(judged))
        if sure.refusal and not judged.abstained:
            return policy.abstain(judged.question, sure.refusal, judged.context, round(sure.score, 4))
        return policy.apply(self.policy, judged.model_copy(update={"confidence": round(sure.score, 4)}))

    def search(self, given: Question) -> Flow[tuple[str, list[Document]]]:
        """The question as it is searched for, and every passage found for it, best first."""
        queries = [given.text]
        for rewriter in self.rewrite:
            queries = yield from rewriter.flow(queries, given.history)
        among = (yield from call("filter", given.corpus.matching, given.where)) if given.where else None
        with given.opening:  # so that all search the same state of their indexes
            retrievers = [_kept_to(among, retriever) for retriever in self.retrieve]
        asked = [(retriever, query) for query in queries for retriever in retrievers]
        found = yield from _found(asked)
        rankings = [Ranking(label(retriever), documents) for (retriever, _), documents in zip(asked, found, strict=True)]
        fused = yield from call("fuse", self.fuse.fuse, rankings)
        passages = yield from call("read", read, given.corpus, fused)
        if len(passages) < len(fused) and given.refresh():  # of a paper that was replaced meanwhile
            return (yield from self.search(given))
        if given.where:  # a retriever of another make knows nothing of the filter
            passages = [passage for passage in passages if given.where.matches(facts_of(passage.metadata))]
        yield from emit(Reached("found", passages))
        return queries[0], passages


def _refined(refiners: Sequence[BaseDocumentCompressor], question: str, passages: Sequence[Document]) -> Flow[Sequence[Document]]:
    for refiner in refiners:
        passages = yield from call("refine", refiner.compress_documents, passages, question)
    return passages


def _over(passages: Sequence[Document], answer: Answer) -> Answer:
    """*answer*, which may cite anything in *passages*."""
    return answer.model_copy(update={"context": tuple(passages)})


def _answers(question: str, answer: Answer) -> bool:
    """Does *answer* say the kind of thing that *question* asks for?"""
    return not answer.abstained and answers(question, " ".join(claim.text for claim in answer.claims))


def _found(asked: Sequence[tuple[BaseRetriever, str]]) -> Flow[list[list[Document]]]:
    """What each retriever finds for its query, in the order asked; those that wait for a server do so at the same time."""
    computes = [isinstance(retriever, FilteredRetriever) and retriever.computes for retriever, _ in asked]
    waiting = [(retriever.invoke, query) for (retriever, query), here in zip(asked, computes, strict=True) if not here]
    heard = iter((yield from gather("retrieve", waiting)) if waiting else [])
    found = []
    for (retriever, query), here in zip(asked, computes, strict=True):
        found.append((yield from call("retrieve", retriever.invoke, query)) if here else next(heard))
    return found


def _kept_to(among: frozenset[str] | None, retriever: BaseRetriever) -> BaseRetriever:
    return retriever.within(among) if isinstance(retriever, FilteredRetriever) else retriever


def label(retriever: BaseRetriever) -> str:
    """What a retriever's ranking is called in weights and scores: its `name`, else its component name."""
    return retriever.name or registry.name_of(type(retriever)).rpartition(".")[2]


def read(corpus: Corpus, hits: Sequence[Document]) -> list[Document]:
    """The passages that *hits* name, read from the corpus.

    A hit of an index that has not heard of a deletion yet is passed over; a passage that another source brought
    whole stays as it came.
    """
    known = corpus.passages(str(h.id) for h in hits)
    read = []
    for found in hits:
        if passage := known.get(str(found.id)):
            read.append(scored(passage, score_of(found), scores_of(found)))
        elif found.page_content and "document_id" not in found.metadata:
            read.append(found)
    return read
